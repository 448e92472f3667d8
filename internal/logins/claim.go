package logins

import (
	"context"
	"errors"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// loginKey names in the state store the login that state belongs to. It is no session's key: the
// identifier of sessions is the name of a cookie, which has no space.
func (l *Logins) loginKey(state string) session.Key {
	return session.KeyOf("login "+l.Name, state)
}

// Claim takes a login for this callback alone, just before its code is sent. One that fails otherwise
// than with a *MissingTransactionError leaves the login under way.
//
// Taking the transaction is not enough where it is in the browser's cookies: another process that
// is given the same cookies would take it too, spend the code again, and have the provider revoke the
// tokens of the first. So the login's key is leased in a state store that is shared, for as long as a
// transaction lives. Only a callback whose transaction was opened comes this far, so made-up ones
// leave nothing there. A process that dies after it claimed, and perhaps before it sent the code, keeps
// the claim: whether the code was spent cannot be known, and the user starts a new login.
func (l *Logins) Claim(ctx context.Context, state string, o store.Options) error {
	key, owner := l.loginKey(state), session.RandomString(l.Env.Rand, 22)
	err := l.lease(ctx, key, owner, o)
	if errors.Is(err, store.ErrLeased) {
		return &session.MissingTransactionError{}
	}
	if err == nil {
		_, err = l.Take(ctx, state, o)
	}
	if err != nil && !errors.As(err, new(*session.MissingTransactionError)) {
		l.release(key, owner, o)
	}
	return err
}

// lease fails with store.ErrLeased where another callback has the login. A shared store without leases
// (store.Simple) can only say whether the login was completed: there, two callbacks that reach two
// processes at the same time both spend the code.
func (l *Logins) lease(ctx context.Context, key session.Key, owner string, o store.Options) error {
	if !l.Shared {
		return nil
	}
	return lookup.Attempt(ctx, l.Env, func(ctx context.Context) error {
		if l.Env.Rules.Leases {
			begun, err := l.Env.Leaser.Begin(ctx, key, store.Beginning{Owner: owner, TTL: Life}, o)
			if begun.Moved != nil { // it was completed
				return store.ErrLeased
			}
			return err
		}
		switch _, err := l.Env.Store.Load(ctx, key, o); {
		case err == nil:
			return store.ErrLeased
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		return nil
	})
}

// release gives a lease back in the background. Its epoch is asked for, for the answer that had it may
// be what did not come.
func (l *Logins) release(key session.Key, owner string, o store.Options) {
	if !l.Env.Rules.Leases {
		return
	}
	o = store.Options{Values: o.Values, Background: true}
	l.Env.Runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, l.Env.Clock, l.Env.Rules.StoreTimeout)
		defer cancel()
		return actors.Contain(func() error {
			begun, err := l.Env.Leaser.Begin(ctx, key, store.Beginning{Owner: owner, TTL: time.Second}, o)
			if err != nil {
				return err
			}
			return l.Env.Leaser.Release(ctx, key, owner, begun.Epoch, o)
		})
	}, func(any) {})
}
