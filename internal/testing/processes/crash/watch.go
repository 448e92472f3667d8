package crash

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// watch is what a child notices between its client, its store and the provider. It tells of
// the moments that the parent waits for, and objects when a refresh token is presented that
// the store has not acknowledged.
type watch struct {
	say    func(report)
	reader reader
	fault  Fault

	mu    sync.Mutex
	kept  map[string]bool // digests of refresh tokens that the store is known to have held
	trap  trap
	saves int
}

func newWatch(say func(report), fault Fault) (*watch, error) {
	r, err := newReader()
	return &watch{say: say, reader: r, fault: fault, kept: make(map[string]bool)}, err
}

// set lays a trap.
func (w *watch) set(t trap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trap = t
}

// pass says that a moment has come. Where that is what the parent waits for, nothing
// goes on from here until the parent has killed the process.
func (w *watch) pass(m moment) {
	w.mu.Lock()
	sprung := false
	if w.trap.At == m && w.trap.Count > 0 {
		w.trap.Count--
		sprung = w.trap.Count == 0
	}
	w.mu.Unlock()
	if sprung {
		w.say(report{At: m})
		select {}
	}
}

// keep notes that the store holds r.
func (w *watch) keep(key session.Key, r store.Record) {
	token, err := w.reader.refreshToken(key, r)
	if err != nil {
		w.say(report{Wrong: "a record cannot be read: " + err.Error()})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[digest(token)] = true
}

// forgets reports whether the store is to forget this save.
func (w *watch) forgets() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saves++
	return w.fault == Forgets && w.saves%8 == 0
}

// transport is the child's way to the provider.
type transport struct {
	*watch
	life string
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(lifeHeader, t.life)
	if r.Method == http.MethodPost && r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		t.presents(string(body))
	}
	return t.base.RoundTrip(r)
}

func (t *transport) presents(body string) {
	form, err := url.ParseQuery(body)
	token := form.Get("refresh_token")
	if err != nil || token == "" {
		return
	}
	t.mu.Lock()
	kept := t.kept[digest(token)]
	t.mu.Unlock()
	if !kept {
		t.say(report{Wrong: "a refresh token is spent that the store has never acknowledged"})
	}
}

// watchedStore is a store under watch, with the abilities of the one inside.
type watchedStore struct {
	store.StateStore
	watch *watch
}

// Unwrap returns the store inside.
func (s watchedStore) Unwrap() store.StateStore { return s.StateStore }

// Ability puts what takes leases and writes intents in the store inside under watch too.
func (s watchedStore) Ability(target any) bool {
	switch t := target.(type) {
	case *store.Leaser:
		if inner, ok := store.As[store.Leaser](s.StateStore); ok {
			*t = watchedLeaser{watchedBeginner{inner, s.watch}, inner}
			return true
		}
	case *store.Intents:
		if inner, ok := store.As[store.Intents](s.StateStore); ok {
			*t = watchedIntents{watchedBeginner{inner, s.watch}, inner}
			return true
		}
	}
	return false
}

// Load implements store.StateStore.
func (s watchedStore) Load(ctx context.Context, key session.Key, o store.Options) (store.Record, error) {
	r, err := s.StateStore.Load(ctx, key, o)
	if err == nil {
		s.watch.keep(key, r)
	}
	return r, err
}

// Replace implements store.StateStore.
func (s watchedStore) Replace(ctx context.Context, key session.Key, r store.Record, o store.Options) error {
	err := s.StateStore.Replace(ctx, key, r, o)
	if err == nil {
		s.watch.keep(key, r)
	}
	return err
}

// Update implements store.StateStore.
func (s watchedStore) Update(ctx context.Context, key session.Key, prev session.Version, r store.Record, o store.Options) error {
	s.watch.pass(saving)
	if s.watch.forgets() {
		s.watch.keep(key, r)
		return nil
	}
	err := s.StateStore.Update(ctx, key, prev, r, o)
	if err == nil {
		s.watch.keep(key, r)
		s.watch.pass(saved)
	}
	return err
}

type watchedLeaser struct {
	watchedBeginner
	store.Leaser
}

// Begin implements store.Leaser.
func (s watchedLeaser) Begin(ctx context.Context, key session.Key, b store.Beginning, o store.Options) (store.Begun, error) {
	return s.watchedBeginner.Begin(ctx, key, b, o)
}

type watchedIntents struct {
	watchedBeginner
	store.Intents
}

// Begin implements store.Intents.
func (s watchedIntents) Begin(ctx context.Context, key session.Key, b store.Beginning, o store.Options) (store.Begun, error) {
	return s.watchedBeginner.Begin(ctx, key, b, o)
}

type watchedBeginner struct {
	inner store.Beginner
	watch *watch
}

// Begin is under watch as the lease and the intent that it leaves are.
func (s watchedBeginner) Begin(ctx context.Context, key session.Key, b store.Beginning, o store.Options) (store.Begun, error) {
	begun, err := s.inner.Begin(ctx, key, b, o)
	switch {
	case err != nil:
	case begun.Moved != nil:
		s.watch.keep(key, *begun.Moved)
	default:
		if begun.Epoch != 0 {
			s.watch.pass(leased)
		}
		if begun.Intent != (store.Intent{}) {
			s.watch.pass(intended)
		}
	}
	return begun, err
}
