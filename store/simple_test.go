package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// kv is a SimpleStore over a map. It is as careless as it may be: it hands out what
// it keeps.
type kv struct {
	clock  clock.Clock
	before func(op, key string) error // called without the lock; may be nil

	mu   sync.Mutex
	data map[string]kvValue
	last store.Options
	ttl  time.Duration // of the last Set
}

type kvValue struct {
	bytes   []byte
	expires time.Time
}

func newKV(c clock.Clock) *kv { return &kv{clock: c, data: make(map[string]kvValue)} }

func (m *kv) Get(_ context.Context, key string, o store.Options) ([]byte, error) {
	if err := m.enter("get", key); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = o
	v := m.data[key]
	if !v.expires.IsZero() && !m.clock.Now().Before(v.expires) {
		return nil, nil
	}
	return v.bytes, nil
}

func (m *kv) Set(_ context.Context, key string, value []byte, ttl time.Duration, o store.Options) error {
	if err := m.enter("set", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.ttl = o, ttl
	v := kvValue{bytes: bytes.Clone(value)}
	if ttl > 0 {
		v.expires = m.clock.Now().Add(ttl)
	}
	m.data[key] = v
	return nil
}

func (m *kv) Delete(_ context.Context, key string, o store.Options) error {
	if err := m.enter("delete", key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = o
	delete(m.data, key)
	return nil
}

func (m *kv) enter(op, key string) error {
	if m.before == nil {
		return nil
	}
	return m.before(op, key)
}

func TestSimple(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, c clock.Clock) store.StateStore { return store.NewSimple(newKV(c), c) })
}

func TestSimple_hasNoAbilityButToSayWhoseItIs(t *testing.T) {
	s := store.NewSimple(newKV(nil), nil)
	if store.IsExclusive(s) {
		t.Error("a Simple counts as exclusive, want shared")
	}
	if !store.IsExclusive(store.NewSimple(newKV(nil), nil, store.OwnedByThisProcess())) {
		t.Error("a Simple owned by this process counts as shared")
	}
	_, index := store.As[store.Index](s)
	_, leaser := store.As[store.Leaser](s)
	if index || leaser {
		t.Error("a Simple has an index or leases")
	}
}

func TestSimple_passesOnWhatItIsGiven(t *testing.T) {
	m := newKV(clock.NewFake(t0))
	s := store.NewSimple(m, m.clock, store.KeyPrefix("mine/"))
	key := session.Key{0xab}
	o := store.Options{Values: map[string]any{"tenant": "x"}, Background: true}
	must(t, s.Replace(t.Context(), key, store.Record{TTL: time.Hour}, o))
	if m.ttl != time.Hour || !m.last.Background || m.last.Values["tenant"] != "x" {
		t.Errorf("Set was given ttl %v and options %+v", m.ttl, m.last)
	}
	if _, ok := m.data["mine/ab"+strings.Repeat("0", 62)]; !ok {
		t.Errorf("keys are %v", m.data)
	}
}

// Another process may write back what this one deleted. That login stays ended here;
// a new login by that process does not.
func TestSimple_doesNotReadAgainWhatItDeleted(t *testing.T) {
	m := newKV(clock.NewFake(t0))
	here, there := store.NewSimple(m, m.clock), store.NewSimple(m, m.clock)
	key := session.Key{1}
	old := store.Record{Incarnation: session.Incarnation{1}}
	must(t, there.Replace(t.Context(), key, old, store.Options{}))
	must(t, here.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	must(t, there.Replace(t.Context(), key, old, store.Options{})) // stands for a late write

	var gone *store.GoneError
	if _, err := here.Load(t.Context(), key, store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("Load of what was written back: err = %v, want a GoneError", err)
	}
	if err := here.Update(t.Context(), key, old.Version, old, store.Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Update of what was written back: err = %v, want %v", err, store.ErrNotFound)
	}
	must(t, there.Replace(t.Context(), key, store.Record{Incarnation: session.Incarnation{2}}, store.Options{}))
	if got, err := here.Load(t.Context(), key, store.Options{}); err != nil || got.Incarnation != (session.Incarnation{2}) {
		t.Errorf("Load of a new login = %v, %v", got.Incarnation, err)
	}
}

// A Delete that fails has ended the login in this process all the same: it is to be repeated.
func TestSimple_endsWhatItCouldNotDelete(t *testing.T) {
	m := newKV(clock.NewFake(t0))
	s := store.NewSimple(m, m.clock)
	key := session.Key{1}
	must(t, s.Replace(t.Context(), key, store.Record{Incarnation: session.Incarnation{1}}, store.Options{}))
	down := errors.New("down")
	m.before = func(op, _ string) error {
		if op == "delete" {
			return down
		}
		return nil
	}
	if err := s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}); !errors.Is(err, down) {
		t.Fatalf("Delete: %v, want %v", err, down)
	}
	var gone *store.GoneError
	if _, err := s.Load(t.Context(), key, store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("Load: err = %v, want a GoneError", err)
	}
}

func TestSimple_leavesAloneWhatItCannotRead(t *testing.T) {
	m := newKV(clock.NewFake(t0))
	s := store.NewSimple(m, m.clock)
	key := session.Key{1}
	must(t, s.Replace(t.Context(), key, store.Record{}, store.Options{}))
	for name := range m.data {
		m.data[name] = kvValue{bytes: []byte{99, 1, 2}}
	}
	_, err := s.Load(t.Context(), key, store.Options{})
	wantUnreadable(t, "Load", err, store.NewerFormat)
	err = s.Update(t.Context(), key, session.Version{}, store.Record{}, store.Options{})
	wantUnreadable(t, "Update", err, store.NewerFormat)
	err = s.End(t.Context(), key, session.Incarnation{1}, store.Ending{Reason: session.ReasonCeiling}, store.Options{})
	wantUnreadable(t, "Delete of one incarnation", err, store.NewerFormat)
	if len(m.data) != 1 {
		t.Error("what cannot be read was removed")
	}
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	if len(m.data) != 0 {
		t.Error("a logout left what cannot be read")
	}
}

// A failing store says nothing about the session: no error looks like absence, and a
// failed delete can be repeated.
func TestSimple_failingStoreIsNoAbsence(t *testing.T) {
	m := newKV(clock.NewFake(t0))
	s := store.NewSimple(m, m.clock)
	key := session.Key{1}
	must(t, s.Replace(t.Context(), key, store.Record{}, store.Options{}))
	down := errors.New("down")
	failing := ""
	m.before = func(op, _ string) error {
		if op == failing {
			return down
		}
		return nil
	}
	check := func(doing string, err error) {
		t.Helper()
		if !errors.Is(err, down) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: err = %v, want %v", doing, err, down)
		}
	}
	failing = "get"
	_, err := s.Load(t.Context(), key, store.Options{})
	check("Load", err)
	check("Update", s.Update(t.Context(), key, session.Version{}, store.Record{}, store.Options{}))
	check("Delete", s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	failing = "set"
	check("Replace", s.Replace(t.Context(), key, store.Record{}, store.Options{}))
	check("Update", s.Update(t.Context(), key, session.Version{}, store.Record{}, store.Options{}))
	failing = "delete"
	check("Delete", s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	if len(m.data) != 1 {
		t.Fatal("the record is gone")
	}
	failing = ""
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	if len(m.data) != 0 {
		t.Error("the repeated Delete left the record")
	}
	var gone *store.GoneError
	if _, err := s.Load(t.Context(), key, store.Options{}); !errors.As(err, &gone) {
		t.Errorf("Load: err = %v, want a GoneError", err)
	}
}

// One session never waits for another, and who waits for the same one leaves when its
// context ends.
func TestSimple_locksByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newKV(clock.NewFake(t0))
		s := store.NewSimple(m, m.clock)
		slow, release := session.Key{1}, make(chan struct{})
		m.before = func(op, key string) error {
			if op == "set" && strings.HasSuffix(key, slow.String()) {
				<-release
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var holding, waiting, leaving error
		go func() { holding = s.Replace(t.Context(), slow, store.Record{}, store.Options{}) }()
		synctest.Wait()
		go func() { waiting = s.Update(t.Context(), slow, session.Version{}, store.Record{}, store.Options{}) }()
		go func() { leaving = s.Update(ctx, slow, session.Version{}, store.Record{}, store.Options{}) }()
		synctest.Wait()
		must(t, s.Replace(t.Context(), session.Key{2}, store.Record{}, store.Options{}))
		cancel()
		synctest.Wait()
		if !errors.Is(leaving, context.Canceled) || s.Locks() != 1 {
			t.Errorf("err = %v with %d locks kept, want %v and 1", leaving, s.Locks(), context.Canceled)
		}
		close(release)
		synctest.Wait()
		if holding != nil || waiting != nil || s.Locks() != 0 {
			t.Errorf("errs = %v, %v with %d locks kept at the end, want none", holding, waiting, s.Locks())
		}
	})
}
