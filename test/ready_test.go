package test_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
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

// Also without writes: a second process may have opened the path.
func TestReady_aFileThatIsGoneIsNoStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	s, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	r := newRig(t, withClient(tokenward.WithStateStore(s)))
	r.login()
	if err := errors.Join(r.client.Ready(t.Context()), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Ready(t.Context()); !errors.Is(err, &bolt.FileError{Why: bolt.Removed}) {
		t.Errorf("Ready: err = %v, want that the file was removed", err)
	}
	_, err = r.tryLogin(tokenward.StoreOptions{})
	if !errors.Is(err, &bolt.FileError{Why: bolt.Removed}) || tokenward.CodeOf(err) != "store_error" {
		t.Errorf("a login: err = %v, want store_error, for the file was removed", err)
	}
}
