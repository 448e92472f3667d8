package store_test

import (
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// counting is a wrapper as a host may write one, which passes everything on.
type counting struct{ store.StateStore }

func (c counting) Unwrap() store.StateStore { return c.StateStore }

// borrowed is a wrapper that has a say in one ability.
type borrowed struct{ counting }

func (borrowed) Exclusive() bool { return false }

func TestAs(t *testing.T) {
	m := store.NewMemory(clock.NewFake(t0))
	tests := []struct {
		name             string
		s                store.StateStore
		index, exclusive bool
	}{
		{"the store itself", m, true, true},
		{"wrapped", counting{m}, true, true},
		{"wrapped twice", counting{counting{m}}, true, true},
		{"the outer one comes first", borrowed{counting{m}}, true, false},
		{"no way in", storetest.Bare(m), false, false},
		{"wrapped, no way in", counting{storetest.Bare(m)}, false, false},
		{"faulty", storetest.NewFaulty(m), true, true},
		{"faulty around nothing", storetest.NewFaulty(storetest.Bare(m)), false, false},
		{"wrapped faulty", counting{storetest.NewFaulty(counting{m})}, true, true},
		{"without an index", storetest.Without[store.Index](m), false, true},
		{"faulty without an index", storetest.NewFaulty(storetest.Without[store.Index](counting{m})), false, true},
		{"without exclusive", counting{storetest.Without[store.Exclusive](storetest.NewFaulty(m))}, true, false},
		{"nothing", nil, false, false},
	}
	for _, tt := range tests {
		if ix, ok := store.As[store.Index](tt.s); ok != tt.index || ok != (ix != nil) {
			t.Errorf("%s: As[Index] = %v, %v, want %v", tt.name, ix, ok, tt.index)
		}
		if got := store.IsExclusive(tt.s); got != tt.exclusive {
			t.Errorf("%s: IsExclusive = %v, want %v", tt.name, got, tt.exclusive)
		}
	}
}

func TestAbility_refusesWhatIsNoTarget(t *testing.T) {
	for _, target := range []any{nil, 1, new(int), (*store.Index)(nil)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Ability(%T) did not panic", target)
				}
			}()
			store.Ability(store.NewMemory(nil), target)
		}()
	}
}
