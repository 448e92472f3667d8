package logins

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Completion is which session a login made, and what its host wanted back.
type Completion struct {
	Session     session.Key         `json:"session"`
	Incarnation session.Incarnation `json:"incarnation"`
	AppState    json.RawMessage     `json:"app_state,omitempty"`

	until time.Time
}

// Complete notes that a browser's login is complete, for CompletedLogin: sealed under the login's key
// where processes share the store, else in memory.
func (l *Logins) Complete(ctx context.Context, state string, done Completion, o store.Options) {
	if o.Request == nil {
		return
	}
	key := l.loginKey(state)
	if !l.Shared {
		l.completed.add(key, done, l.Env.Clock.Now())
		return
	}
	plain, err := asJSON(done)
	if err == nil {
		r := store.Record{
			Version: session.NewVersion(l.Env.Rand), Incarnation: session.NewIncarnation(l.Env.Rand),
			Sealed: l.Sealer.Seal(bindingOf(key), plain), TTL: Life,
		}
		err = lookup.Attempt(ctx, l.Env, func(ctx context.Context) error { return l.Env.Store.Replace(ctx, key, r, o) })
	}
	if err != nil {
		l.Env.Log.Warn("a completed login could not be noted in the store: a reload of its callback leads nowhere", zap.Error(err))
	}
}

// Completion returns what Complete noted.
func (l *Logins) Completion(ctx context.Context, state string, o store.Options) (done Completion, ok bool) {
	key := l.loginKey(state)
	if !l.Shared {
		return l.completed.find(key, l.Env.Clock.Now())
	}
	var r store.Record
	if err := lookup.Attempt(ctx, l.Env, func(ctx context.Context) (err error) {
		r, err = l.Env.Store.Load(ctx, key, o)
		return err
	}); err != nil {
		return done, false
	}
	plain, err := l.Sealer.Open(bindingOf(key), r.Sealed)
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
	byKey map[session.Key]Completion
	order []session.Key
}

func (cs *completions) init() { cs.byKey = make(map[session.Key]Completion) }

func (cs *completions) add(key session.Key, done Completion, now time.Time) {
	if len(done.AppState) > maxKeptState {
		return
	}
	done.until = now.Add(Life)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for len(cs.order) > 0 && (len(cs.order) >= maxCompletions || !now.Before(cs.byKey[cs.order[0]].until)) {
		delete(cs.byKey, cs.order[0])
		cs.order = cs.order[1:]
	}
	cs.byKey[key] = done // a state is completed once, so it is not there yet
	cs.order = append(cs.order, key)
}

func (cs *completions) find(key session.Key, now time.Time) (Completion, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	done, ok := cs.byKey[key]
	return done, ok && now.Before(done.until)
}
