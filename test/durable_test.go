package test_test

import (
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
)

// durable is a store like a file: it belongs to one process alone, outlives it, and keeps intents.
type durable struct{ *store.Memory }

func newDurable(c clock.Clock) durable { return durable{store.NewMemory(c, store.Shared())} }

// Exclusive implements the ability of that name.
func (d durable) Exclusive() bool { return true }

// Ability has the abilities of the memory store that is shared, but for the one that says so.
func (d durable) Ability(target any) bool {
	if e, ok := target.(*store.Exclusive); ok {
		*e = d
		return true
	}
	return d.Memory.Ability(target)
}
