package tokenward

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// loginKey names in the state store the login that state belongs to. It is no session's key: the
// identifier of sessions is the name of a cookie, which has no space.
func (c *Client) loginKey(state string) session.Key {
	return session.KeyOf("login "+c.opts.txName, state)
}

// claim takes a login for this callback alone, just before its code is sent. One that fails otherwise
// than with a *MissingTransactionError leaves the login under way.
//
// Taking the transaction is not enough where it is in the browser's cookies: another process that
// is given the same cookies would take it too, spend the code again, and have the provider revoke the
// tokens of the first. So the login's key is leased in a state store that is shared, for as long as a
// transaction lives. Only a callback whose transaction was opened comes this far, so made-up ones
// leave nothing there. A process that dies after it claimed, and perhaps before it sent the code, keeps
// the claim: whether the code was spent cannot be known, and the user starts a new login.
func (c *Client) claim(ctx context.Context, state string, o store.Options) error {
	key, owner := c.loginKey(state), session.RandomString(c.rand, 22)
	err := c.lease(ctx, key, owner, o)
	if errors.Is(err, store.ErrLeased) {
		return &MissingTransactionError{}
	}
	if err == nil {
		_, err = c.transaction(ctx, state, c.opts.transactions.Take, o)
	}
	if err != nil && !errors.As(err, new(*MissingTransactionError)) {
		c.release(key, owner, o)
	}
	return err
}

// lease fails with store.ErrLeased where another callback has the login. A shared store without leases
// (store.Simple) can only say whether the login was completed: there, two callbacks that reach two
// processes at the same time both spend the code.
func (c *Client) lease(ctx context.Context, key session.Key, owner string, o store.Options) error {
	if !c.callers.Trust.Shared {
		return nil
	}
	return c.attempt(ctx, func(ctx context.Context) error {
		if c.env.Rules.Leases {
			_, err := c.env.Leaser.Lease(ctx, key, owner, transactionLife, o)
			return err
		}
		switch _, err := c.opts.states.Load(ctx, key, o); {
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
func (c *Client) release(key session.Key, owner string, o store.Options) {
	if !c.env.Rules.Leases {
		return
	}
	o = store.Options{Values: o.Values, Background: true}
	c.runner.Run(actors.StoreWork, func(ctx context.Context) any {
		ctx, cancel := clock.WithTimeout(ctx, c.clock, c.opts.limits.StoreTimeout)
		defer cancel()
		return actors.Contain(func() error {
			epoch, err := c.env.Leaser.Lease(ctx, key, owner, time.Second, o)
			if err != nil {
				return err
			}
			return c.env.Leaser.Release(ctx, key, owner, epoch, o)
		})
	}, func(any) {})
}

// completion is which session a login made, and what its host wanted back.
type completion struct {
	Session     session.Key         `json:"session"`
	Incarnation session.Incarnation `json:"incarnation"`
	AppState    json.RawMessage     `json:"app_state,omitempty"`

	until time.Time
}

// complete notes that a browser's login is complete, for CompletedLogin: sealed under the login's key
// where processes share the store, else in memory.
func (c *Client) complete(ctx context.Context, state string, done completion, o store.Options) {
	if o.Request == nil {
		return
	}
	key := c.loginKey(state)
	if !c.callers.Trust.Shared {
		c.completed.add(key, done, c.clock.Now())
		return
	}
	plain, err := asJSON(done)
	if err == nil {
		r := store.Record{
			Version: session.NewVersion(c.rand), Incarnation: session.NewIncarnation(c.rand),
			Sealed: c.sealer.Seal(bindingOf(key), plain), TTL: transactionLife,
		}
		err = c.attempt(ctx, func(ctx context.Context) error { return c.opts.states.Replace(ctx, key, r, o) })
	}
	if err != nil {
		c.log.Warn("a completed login could not be noted in the store: a reload of its callback leads nowhere", zap.Error(err))
	}
}

// completion returns what complete noted.
func (c *Client) completion(ctx context.Context, state string, o store.Options) (done completion, ok bool) {
	key := c.loginKey(state)
	if !c.callers.Trust.Shared {
		return c.completed.find(key, c.clock.Now())
	}
	var r store.Record
	if err := c.attempt(ctx, func(ctx context.Context) (err error) {
		r, err = c.opts.states.Load(ctx, key, o)
		return err
	}); err != nil {
		return done, false
	}
	plain, err := c.sealer.Open(bindingOf(key), r.Sealed)
	return done, err == nil && json.Unmarshal(plain, &done) == nil
}

func bindingOf(login session.Key) string { return "login:" + login.String() }

const (
	maxCompletions = 10_000
	maxKeptState   = 4096 // bytes; a login with a larger app state is not kept, as with cookies
)

// completions are the logins that were completed lately, in a process that shares its store with no
// other. When there are too many the oldest goes.
type completions struct {
	mu    sync.Mutex
	byKey map[session.Key]completion
	order []session.Key
}

func (l *completions) init() { l.byKey = make(map[session.Key]completion) }

func (l *completions) add(key session.Key, done completion, now time.Time) {
	if len(done.AppState) > maxKeptState {
		return
	}
	done.until = now.Add(transactionLife)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 && (len(l.order) >= maxCompletions || !now.Before(l.byKey[l.order[0]].until)) {
		delete(l.byKey, l.order[0])
		l.order = l.order[1:]
	}
	l.byKey[key] = done // a state is completed once, so it is not there yet
	l.order = append(l.order, key)
}

func (l *completions) find(key session.Key, now time.Time) (completion, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done, ok := l.byKey[key]
	return done, ok && now.Before(done.until)
}
