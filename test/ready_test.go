package test_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store"
)

// checked is a store that says of itself whether it would serve.
type checked struct {
	store.StateStore
	err error
}

func (c *checked) Check(context.Context) error { return c.err }

func (c *checked) Unwrap() store.StateStore { return c.StateStore }

func TestReady_aStoreThatReadsAndDoesNotWriteIsNotReady(t *testing.T) {
	r := newRig(t)
	s := &checked{StateStore: r.store}
	c := r.newClient(tokenward.WithStateStore(s))
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.err = &store.NotServingError{Why: store.Full, Remedy: "make room"}
	err := c.Ready(t.Context())
	var not *tokenward.NotReadyError
	if !errors.As(err, &not) || not.Store == nil || not.Provider != nil || !errors.Is(err, &store.NotServingError{Why: store.Full}) {
		t.Errorf("Ready: err = %v, want that the store is full", err)
	}
	s.err = nil
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("Ready, once it serves again: %v", err)
	}
}
