package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func passing(ctx context.Context, _ store.Call, do func(context.Context) error) error {
	return do(ctx)
}

// What a store promises holds for what goes through a function, too.
func TestAround(t *testing.T) {
	storetest.Run(t, func(_ *testing.T, c clock.Clock) store.StateStore {
		return store.Around(store.NewMemory(c, store.Shared()), passing)
	})
}

// It has no ability that the store inside has not.
func TestAround_abilities(t *testing.T) {
	s := store.Around(store.NewMemory(clock.NewFake(t0)), passing)
	_, leases := store.As[store.Leaser](s)
	_, intents := store.As[store.Intents](s)
	_, feed := store.As[store.ChangeFeed](s)
	if leases || intents || feed || !store.IsExclusive(s) {
		t.Errorf("an exclusive store has leases %v, intents %v, a feed %v", leases, intents, feed)
	}
}

// Each call is told with its key and its options, and its answer is the function's.
func TestAround_tells(t *testing.T) {
	var calls []store.Call
	s := store.Around(store.NewMemory(clock.NewFake(t0), store.Shared()), func(ctx context.Context, c store.Call, do func(context.Context) error) error {
		calls = append(calls, c)
		if c.Op == "load" {
			return store.ErrUnreadable
		}
		return do(ctx)
	})
	o := store.Options{Background: true}
	must(t, s.Replace(t.Context(), keyOf(1), store.Record{}, o))
	if r, err := s.Load(t.Context(), keyOf(1), o); err != store.ErrUnreadable { //nolint:errorlint // the very error
		t.Errorf("Load = %v, %v", r, err)
	}
	l, _ := store.As[store.Leaser](s)
	_, err := l.Begin(t.Context(), keyOf(2), store.Beginning{Owner: "a"}, o)
	must(t, err)
	var ops []string
	keys := []session.Key{keyOf(1), keyOf(1), keyOf(2)}
	for i, c := range calls {
		ops = append(ops, c.Op)
		if c.Key != keys[i] || !c.Options.Background {
			t.Errorf("call %d is of %v, %+v", i, c.Key, c.Options)
		}
	}
	if !slices.Equal(ops, []string{"replace", "load", "begin"}) {
		t.Errorf("calls = %v", ops)
	}
}

func ExampleAround() {
	counted := store.Around(store.NewMemory(nil), func(ctx context.Context, call store.Call, do func(context.Context) error) error {
		err := do(ctx)
		fmt.Println(call.Op, err)
		return err
	})
	_, _ = counted.Load(context.Background(), session.Key{}, store.Options{})
	// Output: load store: no such record
}
