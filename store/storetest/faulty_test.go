package storetest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	t0   = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)
	a, b = session.Key{'a'}, session.Key{'b'}
	none store.Options
	all  session.Incarnation
)

func newFaulty() *storetest.Faulty {
	return storetest.NewFaulty(store.NewMemory(clock.NewFake(t0), store.Shared()))
}

func TestFaulty_failsBeforeOrAfter(t *testing.T) {
	f := newFaulty()
	f.Fail(storetest.OpReplace, 2)
	f.FailAfter(storetest.OpReplace, 1)
	for i := range 2 {
		if err := f.Replace(t.Context(), a, store.Record{}, none); !errors.Is(err, storetest.ErrFault) {
			t.Errorf("call %d: err = %v, want %v", i, err, storetest.ErrFault)
		}
		if _, err := f.Load(t.Context(), a, none); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after failing before: Load: err = %v, want %v", err, store.ErrNotFound)
		}
	}
	if err := f.Replace(t.Context(), a, store.Record{}, none); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("failing after: err = %v, want %v", err, storetest.ErrFault)
	}
	if _, err := f.Load(t.Context(), a, none); err != nil {
		t.Errorf("after failing after: Load: %v", err)
	}
	if err := f.Replace(t.Context(), a, store.Record{}, none); err != nil {
		t.Errorf("when the script is over: %v", err)
	}
}

func TestFaulty_failsOneSessionOrOperationOnly(t *testing.T) {
	f := newFaulty()
	odd := errors.New("odd")
	f.Inject(storetest.Fault{Op: storetest.OpEnd, Key: a, Err: odd})
	for range 3 {
		if err := f.End(t.Context(), a, all, store.Ending{Reason: session.ReasonLogout}, none); !errors.Is(err, odd) {
			t.Errorf("End of a: err = %v, want %v", err, odd)
		}
	}
	if err := f.End(t.Context(), b, all, store.Ending{Reason: session.ReasonLogout}, none); err != nil {
		t.Errorf("End of b: %v", err)
	}
	f.Heal()
	if err := f.End(t.Context(), a, all, store.Ending{Reason: session.ReasonLogout}, none); err != nil {
		t.Errorf("End of a, healed: %v", err)
	}
	if n, ofA, ofB := f.Ends(), f.Ends(a), f.Ends(b); n != 5 || ofA != 4 || ofB != 1 || f.Loads() != 0 {
		t.Errorf("ends = %d, %d of a, %d of b, want 5, 4, 1", n, ofA, ofB)
	}
}

func TestFaulty_downMeansEveryOperation(t *testing.T) {
	f := newFaulty()
	f.Down()
	index, _ := store.As[store.Index](f)
	leaser, _ := store.As[store.Leaser](f)
	intents, _ := store.As[store.Intents](f)
	feed, _ := store.As[store.ChangeFeed](f)
	toucher, _ := store.As[store.Toucher](f)
	_, load := f.Load(t.Context(), a, none)
	_, find := index.Find(t.Context(), nil, none)
	_, due := index.Due(t.Context(), 0, 1, store.Ref{}, 1, none)
	_, claim := index.ClaimDue(t.Context(), 1, 1, 0, none)
	_, lease := leaser.Begin(t.Context(), a, store.Beginning{Owner: "x", TTL: time.Hour}, none)
	_, stale := intents.StaleIntents(t.Context(), 1, none)
	lister, _ := store.As[store.Lister](f)
	_, list := lister.List(t.Context(), store.Listing{Limit: 1}, none)
	_, intent := intents.Begin(t.Context(), a, store.Beginning{}, none)
	errs := []error{
		load, f.Replace(t.Context(), a, store.Record{}, none), f.Update(t.Context(), a, session.Version{}, store.Record{}, none),
		f.End(t.Context(), a, all, store.Ending{Reason: ""}, none), find, due, claim, list, lease, leaser.Release(t.Context(), a, "x", 1, none),
		intent, intents.ClearIntent(t.Context(), a, store.Intent{}, none), stale,
		feed.Watch(t.Context(), nil, nil), toucher.Touch(t.Context(), a, 0, none),
	}
	for i, err := range errs {
		if !errors.Is(err, storetest.ErrFault) {
			t.Errorf("operation %d: err = %v, want %v", i, err, storetest.ErrFault)
		}
	}
	if f.Count(storetest.OpBegin, a) != 2 || f.Count(storetest.OpFind) != 1 {
		t.Error("abilities are not counted")
	}
}

func TestFaulty_hangsUntilTheContextEnds(t *testing.T) {
	f := newFaulty()
	f.Hang(storetest.OpLoad, 1)
	ctx, cancel := context.WithCancel(t.Context())
	f.OnCall(func(storetest.Call) { cancel() })
	if _, err := f.Load(ctx, a, none); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want %v", err, context.Canceled)
	}
	f.OnCall(nil)
	if _, err := f.Load(t.Context(), a, none); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the next: err = %v, want %v", err, store.ErrNotFound)
	}
}

func TestFaulty_failsEveryTenthCall(t *testing.T) {
	f := newFaulty()
	f.Inject(storetest.Fault{Op: storetest.OpLoad, Every: 10, Err: storetest.ErrFault})
	var failed []int
	for i := range 30 {
		if _, err := f.Load(t.Context(), a, none); errors.Is(err, storetest.ErrFault) {
			failed = append(failed, i)
		}
		if err := f.End(t.Context(), b, all, store.Ending{Reason: session.ReasonLogout}, none); err != nil {
			t.Fatalf("End: %v", err)
		}
	}
	if !slices.Equal(failed, []int{9, 19, 29}) {
		t.Errorf("failed: %v, want every tenth", failed)
	}
}

func TestFaulty_takesItsTime(t *testing.T) {
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := clock.NewFake(t0)
			f := storetest.NewFaulty(store.NewMemory(c))
			f.Slow(c, 5*time.Second)
			if after {
				f.Heal()
				f.SlowAfter(c, 5*time.Second)
			}
			replace := func(key session.Key, patience time.Duration) chan error {
				done := make(chan error, 1)
				go func() {
					ctx, cancel := clock.WithTimeout(t.Context(), c, patience)
					defer cancel()
					done <- f.Replace(ctx, key, store.Record{}, none)
				}()
				synctest.Wait()
				return done
			}
			patient, impatient := replace(a, time.Minute), replace(b, 5*time.Second)
			c.Advance(5*time.Second - 1)
			synctest.Wait()
			if len(patient)+len(impatient) != 0 {
				t.Error("a call came back early")
			}
			c.Advance(1)
			if err := <-patient; err != nil {
				t.Errorf("after %v: err = %v", after, err)
			}
			if err := <-impatient; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after %v, out of time: err = %v, want %v", after, err, context.DeadlineExceeded)
			}
			f.Heal()
			if _, err := f.Load(t.Context(), b, none); (err == nil) != after {
				t.Errorf("after %v, out of time: Load: err = %v", after, err)
			}
			synctest.Wait() // until the calls have stopped their timers
			if n := c.Waiting(); n != 0 {
				t.Errorf("timers left = %d", n)
			}
		})
	}
}

func TestFaulty_holdsCallsAtAGate(t *testing.T) {
	f := newFaulty()
	before := f.Hold(storetest.OpReplace)
	after := f.HoldAfter(storetest.OpEnd)
	var wg sync.WaitGroup
	for _, key := range []session.Key{a, b} {
		wg.Go(func() {
			_ = f.Replace(t.Context(), key, store.Record{}, none)
			_ = f.End(t.Context(), key, all, store.Ending{Reason: session.ReasonLogout}, none)
		})
	}
	before.Arrived(t, 2)
	for _, key := range []session.Key{a, b} {
		if _, err := f.Load(t.Context(), key, none); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("while Replace is held: Load: err = %v, want %v", err, store.ErrNotFound)
		}
	}
	before.ReleaseOne()
	after.Arrived(t, 1)
	if n := before.Waiting(); n != 1 {
		t.Errorf("%d wait for Replace, want 1", n)
	}
	before.Release()
	after.Arrived(t, 2)
	var gone *store.GoneError
	if _, err := f.Load(t.Context(), a, none); !errors.As(err, &gone) {
		t.Errorf("while End is held: Load: err = %v, want a GoneError", err)
	}
	f.Heal()
	wg.Wait()
	if err := f.Replace(t.Context(), a, store.Record{}, none); err != nil {
		t.Errorf("healed: %v", err)
	}
}

func TestGate_letsGoOfWhoGivesUp(t *testing.T) {
	f := newFaulty()
	g := f.Hold(storetest.OpLoad)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.Load(ctx, a, none)
		ended <- err
	}()
	g.Arrived(t, 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || g.Waiting() != 0 {
		t.Errorf("err = %v with %d waiting, want %v and none", err, g.Waiting(), context.Canceled)
	}
	if err := g.Wait(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait for a second: err = %v, want %v", err, context.Canceled)
	}
}

func TestFaulty_remembersOptions(t *testing.T) {
	f := newFaulty()
	var ops []storetest.Op
	f.OnCall(func(c storetest.Call) { ops = append(ops, c.Op) })
	_ = f.Replace(t.Context(), a, store.Record{}, store.Options{Values: map[string]any{"n": 1}})
	_ = f.Replace(t.Context(), a, store.Record{}, store.Options{Values: map[string]any{"n": 2}})
	_ = f.End(t.Context(), a, all, store.Ending{Reason: session.ReasonCeiling}, store.Options{Background: true})
	if n := f.LastOptions(storetest.OpReplace).Values["n"]; n != 2 {
		t.Errorf("last options of Replace have n = %v, want 2", n)
	}
	if !f.LastOptions(storetest.OpEnd).Background || f.LastOptions(storetest.OpLoad).Background {
		t.Error("last options of End and Load are mixed up")
	}
	want := []storetest.Op{storetest.OpReplace, storetest.OpReplace, storetest.OpEnd}
	if !slices.Equal(ops, want) {
		t.Errorf("calls = %v, want %v", ops, want)
	}
}

func TestFaulty_feed(t *testing.T) {
	f := newFaulty()
	feed, _ := store.As[store.ChangeFeed](f)
	lost, notices, ended := make(chan bool, 9), make(chan session.Key, 9), make(chan error)
	go func() {
		ended <- feed.Watch(t.Context(), func(key session.Key, _ session.Version) { notices <- key }, func() { lost <- true })
	}()
	<-lost
	f.MuteFeed(true)
	_ = f.Replace(t.Context(), a, store.Record{}, none)
	f.LoseNotices()
	<-lost
	broken := errors.New("broken")
	f.BreakFeed(broken)
	if err := <-ended; !errors.Is(err, broken) || len(notices) != 0 || f.Watchers() != 0 {
		t.Errorf("Watch = %v after %d notices, with %d watching, want %v, none and none", err, len(notices), f.Watchers(), broken)
	}
	f.MuteFeed(false)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- feed.Watch(ctx, func(key session.Key, _ session.Version) { notices <- key }, func() { lost <- true })
	}()
	<-lost
	_ = f.Replace(t.Context(), b, store.Record{}, none)
	if key := <-notices; key != b {
		t.Errorf("told of %v, want %v", key, b)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v, want %v", err, context.Canceled)
	}
}

func TestFaultyTransactions(t *testing.T) {
	f := storetest.NewFaultyTransactions(store.NewTransactions(clock.NewFake(t0)))
	f.Fail(storetest.OpPut, 1)
	f.FailAfter(storetest.OpTake, 1)
	put := func() error { return f.Put(t.Context(), "k", []byte("v"), time.Hour, none) }
	if err := put(); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("Put: err = %v, want %v", err, storetest.ErrFault)
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Take(t.Context(), "k", none); got != nil || !errors.Is(err, storetest.ErrFault) {
		t.Errorf("Take = %q, %v, want %v", got, err, storetest.ErrFault)
	}
	if _, err := f.Get(t.Context(), "k", none); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of what was taken: err = %v, want %v", err, store.ErrNotFound)
	}
	if f.Count(storetest.OpPut) != 2 || f.Count(storetest.OpTake) != 1 {
		t.Error("transactions are not counted")
	}
}
