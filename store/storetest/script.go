package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Op names an operation of a store.
type Op string

// The operations of a StateStore and of its abilities, as store.Call names them, and of a TransactionStore.
const (
	OpLoad         Op = "load"
	OpReplace      Op = "replace"
	OpUpdate       Op = "update"
	OpEnd          Op = "end"
	OpEndAll       Op = "end_all"
	OpFind         Op = "find"
	OpDue          Op = "due"
	OpClaimDue     Op = "claim_due"
	OpBegin        Op = "begin"
	OpRenew        Op = "renew"
	OpRelease      Op = "release"
	OpClearIntent  Op = "clear_intent"
	OpStaleIntents Op = "stale_intents"
	OpWatch        Op = "watch"
	OpTouch        Op = "touch"
	OpPut          Op = "put"
	OpGet          Op = "get"
	OpTake         Op = "take"
	OpList         Op = "list"

	OpAny Op = "" // every operation, in a Fault
)

// ErrFault is the error of a scripted fault that names no other.
var ErrFault = errors.New("storetest: a scripted fault")

// Fault is something that goes wrong. Faults are looked through in the order in which
// they were added, and a call meets the first that fits.
type Fault struct {
	Op    Op          // OpAny: every operation
	Key   session.Key // zero: every session
	Times int         // how many calls meet it; 0: all, until Heal
	Every int         // of those that fit only each such one meets it, the first after Every-1; 0: all
	After bool        // the call takes effect first; else it has none

	// What the call does then. With Takes it waits until that has passed on Clock, with a
	// Gate it waits there; once through it fails with Err; without Err it goes on as if
	// nothing were wrong. With Hang it waits for its context to end instead. A call whose
	// context ends while it waits fails with that error.
	Clock clock.Clock // that of Takes; must be set with it
	Takes time.Duration
	Gate  *Gate
	Err   error
	Hang  bool

	fit int // calls that fitted; for Every
}

// Call is one call as a Script saw it.
type Call struct {
	Op      Op
	Key     session.Key // zero where the operation has none
	Options store.Options
}

// Script decides which calls go wrong, and counts all of them. It is the part that
// Faulty and FaultyTransactions have in common. It is safe for concurrent use.
type Script struct {
	mu     sync.Mutex
	faults []*Fault
	counts map[opKey]int
	last   map[Op]store.Options
	seen   func(Call)
}

type opKey struct {
	op  Op
	key session.Key
}

func newScript() *Script {
	return &Script{counts: make(map[opKey]int), last: make(map[Op]store.Options)}
}

// Inject adds a fault.
func (s *Script) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Fail makes the next n calls of op fail with ErrFault before they have any effect.
func (s *Script) Fail(op Op, n int) {
	if n > 0 {
		s.Inject(Fault{Op: op, Times: n, Err: ErrFault})
	}
}

// FailAfter makes the next n calls of op take effect, and then fail with ErrFault.
func (s *Script) FailAfter(op Op, n int) {
	if n > 0 {
		s.Inject(Fault{Op: op, Times: n, After: true, Err: ErrFault})
	}
}

// Down makes every call fail with ErrFault before it has any effect, until Heal.
func (s *Script) Down() { s.Inject(Fault{Err: ErrFault}) }

// Slow makes every call take d of c before it has any effect, until Heal.
func (s *Script) Slow(c clock.Clock, d time.Duration) { s.Inject(Fault{Clock: c, Takes: d}) }

// SlowAfter makes every call take effect, and then take d of c to answer, until Heal.
func (s *Script) SlowAfter(c clock.Clock, d time.Duration) {
	s.Inject(Fault{Clock: c, Takes: d, After: true})
}

// Hang makes the next n calls of op wait for their context to end, without any effect.
func (s *Script) Hang(op Op, n int) {
	if n > 0 {
		s.Inject(Fault{Op: op, Times: n, Hang: true})
	}
}

// Hold makes every call of op wait at the gate it returns before it has any effect.
func (s *Script) Hold(op Op) *Gate {
	g := NewGate()
	s.Inject(Fault{Op: op, Gate: g})
	return g
}

// HoldAfter makes every call of op take effect, and then wait at the gate it
// returns.
func (s *Script) HoldAfter(op Op) *Gate {
	g := NewGate()
	s.Inject(Fault{Op: op, After: true, Gate: g})
	return g
}

// Heal removes every fault and opens every gate. Calls that hang go on hanging.
func (s *Script) Heal() {
	s.mu.Lock()
	faults := s.faults
	s.faults = nil
	s.mu.Unlock()
	for _, f := range faults {
		if f.Gate != nil {
			f.Gate.Release()
		}
	}
}

// Count returns how often op was called, for these keys or at all. Calls count as
// they arrive, those that go wrong included.
func (s *Script) Count(op Op, keys ...session.Key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c, times := range s.counts {
		if c.op == op && (len(keys) == 0 || slices.Contains(keys, c.key)) {
			n += times
		}
	}
	return n
}

// LastOptions returns the options of the latest call of op.
func (s *Script) LastOptions(op Op) store.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[op]
}

// OnCall has f called with every call as it arrives, before any fault. It is called on
// the caller's goroutine. A nil f ends that.
func (s *Script) OnCall(f func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = f
}

// run carries out call, with what the script has in store for it.
func (s *Script) run(ctx context.Context, call Call, effect func() error) error {
	f := s.meet(call)
	if f.After {
		if err := effect(); err != nil {
			if late := f.take(ctx); late != nil {
				return late
			}
			return err
		}
		return f.strike(ctx)
	}
	if err := f.strike(ctx); err != nil {
		return err
	}
	return effect()
}

// answer is run for operations that return a value.
func answer[T any](ctx context.Context, s *Script, call Call, effect func() (T, error)) (T, error) {
	var value, none T
	err := s.run(ctx, call, func() (err error) {
		value, err = effect()
		return err
	})
	if err != nil {
		return none, err
	}
	return value, nil
}

// meet counts call and returns the fault that it meets, which is zero when none.
func (s *Script) meet(call Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[opKey{call.Op, call.Key}]++
	s.last[call.Op] = call.Options
	if seen := s.seen; seen != nil {
		s.mu.Unlock()
		seen(call)
		s.mu.Lock()
	}
	for i, f := range s.faults {
		if f.Op != OpAny && f.Op != call.Op || f.Key != (session.Key{}) && f.Key != call.Key {
			continue
		}
		if f.fit++; f.Every > 1 && f.fit%f.Every != 0 {
			continue
		}
		met := *f
		if f.Times == 1 {
			s.faults = slices.Delete(s.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return met
	}
	return Fault{}
}

func (f Fault) strike(ctx context.Context) error {
	if f.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := f.take(ctx); err != nil {
		return err
	}
	if f.Gate != nil {
		if err := f.Gate.pass(ctx); err != nil {
			return err
		}
	}
	return f.Err
}

// take waits until the call has taken as long as it shall. One whose context ends in that very
// moment has come too late.
func (f Fault) take(ctx context.Context) error {
	if f.Takes <= 0 {
		return nil
	}
	over := make(chan struct{})
	timer := f.Clock.AfterFunc(f.Takes, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
	return ctx.Err()
}
