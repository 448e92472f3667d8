package storetest

import (
	"context"
	"sync"
	"testing"
)

// Gate is where calls wait for the test. It is closed until it is released, and then
// open for good. A call whose context ends leaves the gate with that error. It is safe
// for concurrent use.
type Gate struct {
	mu      sync.Mutex
	arrived int           // how many have come
	waiting int           // how many of them wait
	one     int           // how many may pass though it is closed
	open    bool          // released
	changed chan struct{} // closed and replaced at every change
}

// NewGate returns a closed gate, for a Fault.
func NewGate() *Gate { return &Gate{changed: make(chan struct{})} }

// Release lets everybody through, now and later.
func (g *Gate) Release() { g.change(func() { g.open = true }) }

// ReleaseOne lets one call through: one that waits, or else the next.
func (g *Gate) ReleaseOne() { g.change(func() { g.one++ }) }

// Waiting returns how many calls wait at the gate.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// Arrived returns when n calls have come to the gate, those already let through
// included. The test fails when it ends before.
func (g *Gate) Arrived(t testing.TB, n int) {
	t.Helper()
	if err := g.Wait(t.Context(), n); err != nil {
		t.Fatalf("waiting for %d calls at the gate: %v", n, err)
	}
}

// Wait is Arrived with a context of its own.
func (g *Gate) Wait(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		arrived, changed := g.arrived, g.changed
		g.mu.Unlock()
		if arrived >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass waits until the gate lets the caller through.
func (g *Gate) pass(ctx context.Context) error {
	g.change(func() { g.arrived++; g.waiting++ })
	defer g.change(func() { g.waiting-- })
	for {
		g.mu.Lock()
		through, changed := g.open, g.changed
		if !through && g.one > 0 {
			through = true
			g.one--
		}
		g.mu.Unlock()
		if through {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	close(g.changed)
	g.changed = make(chan struct{})
}
