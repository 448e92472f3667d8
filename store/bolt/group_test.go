package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

var opt store.Options

func key(i int) (k session.Key) {
	copy(k[:], fmt.Sprintf("session %08d", i))
	return k
}

func version(i int) (v session.Version) {
	copy(v[:], fmt.Sprintf("v %d", i))
	return v
}

// rig is a store whose writing goroutine the test can hold, with a batch in hand.
type rig struct {
	*bolt.Store
	t    *testing.T
	mu   sync.Mutex
	hook func(bolt.Stage)
}

func newRig(t *testing.T, opts ...bolt.Option) *rig {
	r := &rig{t: t}
	r.Store = open(t, newPath(t), append(opts, bolt.WithHook(func(at bolt.Stage) {
		r.mu.Lock()
		hook := r.hook
		r.mu.Unlock()
		if hook != nil {
			hook(at)
		}
	}))...)
	return r
}

func (r *rig) onStage(hook func(bolt.Stage)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

// hold has the writing goroutine stop when the next batch comes to the stage, which
// held tells, until release is called.
func (r *rig) hold(at bolt.Stage) (held <-chan struct{}, release func()) {
	arrived, gate := make(chan struct{}), make(chan struct{})
	r.onStage(func(stage bolt.Stage) {
		if stage == at {
			r.onStage(nil)
			close(arrived)
			<-gate
		}
	})
	release = sync.OnceFunc(func() { close(gate) })
	r.t.Cleanup(release)
	return arrived, release
}

// start calls f on n goroutines and returns when all of their requests wait, which
// the writing goroutine must not take.
func (r *rig) start(n int, f func(i int) error) (wait func() []error) {
	errs := make([]error, n)
	var done sync.WaitGroup
	before := r.Waiting()
	for i := range n {
		done.Go(func() { errs[i] = f(i) })
	}
	for r.Waiting() < before+n {
		if r.t.Context().Err() != nil {
			r.t.Fatal("the requests did not come to wait")
		}
		runtime.Gosched()
	}
	return func() []error { done.Wait(); return errs }
}

func (r *rig) replace(i int) error {
	return r.Replace(r.t.Context(), key(i), store.Record{Version: version(i)}, opt)
}

const waiting = 64 // that come while a write is held

// together returns how many transactions are made of one write, which is held in a stage, and of those that come until it goes on.
func (r *rig) together(at bolt.Stage) int {
	r.t.Helper()
	held, release := r.hold(at)
	first := make(chan error, 1)
	go func() { first <- r.replace(0) }()
	<-held
	before := r.Commits()
	wait := r.start(waiting, func(i int) error { return r.replace(i + 1) })
	release()
	must(r.t, errors.Join(append(wait(), <-first)...))
	return r.Commits() - before
}

func TestWrites_thatWaitTogetherShareOneFsync(t *testing.T) {
	r := newRig(t)
	if n := r.together(bolt.StageApplied); n != 2 {
		t.Errorf("the first write, and %d that waited together, took %d transactions, want 2", waiting, n)
	}
	must(t, r.Verify())
}

// Who comes while others are being carried out joins them.
func TestWrites_joinTheTransactionThatIsOpen(t *testing.T) {
	if n := newRig(t).together(bolt.StageTaken); n != 1 {
		t.Errorf("%d writes took %d transactions, want 1", waiting+1, n)
	}
}

// A batch that is too large is split; no caller is left out.
func TestWrites_moreThanOneBatchHolds(t *testing.T) {
	r := newRig(t)
	held, release := r.hold(bolt.StageApplied)
	first := make(chan error, 1)
	go func() { first <- r.replace(0) }()
	<-held
	before := r.Commits()
	wait := r.start(bolt.MaxBatch+1, func(i int) error { return r.replace(i + 1) })
	release()
	must(t, errors.Join(append(wait(), <-first)...))
	if n := r.Commits() - before; n != 3 {
		t.Errorf("%d transactions, want 3", n)
	}
	if n := r.Keys(bolt.SessionBucket); n != bolt.MaxBatch+2 {
		t.Errorf("%d sessions, want %d", n, bolt.MaxBatch+2)
	}
}

// Those of one key are judged in the order in which they came, in one transaction.
func TestWrites_ofOneKeyAreJudgedInOrder(t *testing.T) {
	r := newRig(t)
	must(t, r.replace(0))
	held, release := r.hold(bolt.StageApplied)
	blocker := make(chan error, 1)
	go func() { blocker <- r.replace(1) }()
	<-held
	var waits []func() []error
	order := []func() error{
		func() error { return r.update(0, version(0), version(10)) },
		func() error { return r.update(0, version(0), version(11)) }, // overtaken
		func() error { return r.update(0, version(10), version(12)) },
		func() error {
			return r.End(t.Context(), key(0), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)
		},
		func() error { return r.update(0, version(12), version(13)) }, // gone
		func() error { return r.replace(0) },
		func() error { return r.update(0, version(0), version(14)) },
	}
	for _, f := range order {
		waits = append(waits, r.start(1, func(int) error { return f() }))
	}
	release()
	must(t, <-blocker)
	var got []error
	for _, wait := range waits {
		got = append(got, wait()...)
	}
	want := []error{nil, store.ErrConflict, nil, nil, store.ErrNotFound, nil, nil}
	if !slices.EqualFunc(got, want, func(a, b error) bool { return errors.Is(a, b) }) {
		t.Errorf("errors = %v, want %v", got, want)
	}
	rec, err := r.Load(t.Context(), key(0), opt)
	if err != nil || rec.Version != version(14) {
		t.Errorf("Load = %v, %v, want version %v", rec.Version, err, version(14))
	}
}

func (r *rig) update(i int, prev, next session.Version) error {
	return r.Update(r.t.Context(), key(i), prev, store.Record{Version: next}, opt)
}

// What changes nothing syncs nothing.
func TestWrites_thatChangeNothingAreNotCommitted(t *testing.T) {
	r := newRig(t)
	must(t, r.replace(0))
	before := r.Commits()
	must(t, r.End(t.Context(), key(1), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	must(t, r.End(t.Context(), key(0), session.Incarnation{9}, store.Ending{Reason: session.ReasonLogout}, opt))
	must(t, r.ClearIntent(t.Context(), key(0), store.Intent{}, opt))
	wantErr(t, r.update(0, version(5), version(6)), store.ErrConflict)
	wantErr(t, r.update(1, version(5), version(6)), store.ErrNotFound)
	if _, err := r.Transactions().Take(t.Context(), "state", opt); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Take: err = %v, want %v", err, store.ErrNotFound)
	}
	if n := r.Commits() - before; n != 0 {
		t.Errorf("%d transactions, want none", n)
	}
}

func TestContext_thatEndsBeforeTheRequestIsTaken(t *testing.T) {
	r := newRig(t)
	held, release := r.hold(bolt.StageTaken)
	blocker := make(chan error, 1)
	go func() { blocker <- r.replace(0) }()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	wait := r.start(3, func(i int) error {
		return r.Replace(ctx, key(i+1), store.Record{}, opt)
	})
	cancel()
	for _, err := range wait() { // the writing goroutine is still held
		wantErr(t, err, context.Canceled)
	}
	if n := r.Waiting(); n != 0 {
		t.Errorf("%d requests wait on behalf of nobody", n)
	}
	release()
	must(t, <-blocker)
	if n := r.Keys(bolt.SessionBucket); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
}

// A context that ends while the request waits counts, also when the writer is quicker
// than the caller to notice.
func TestContext_thatEndsAsTheRequestIsTaken(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.onStage(func(at bolt.Stage) {
		if at == bolt.StageTaken {
			cancel()
		}
	})
	wantErr(t, r.Replace(ctx, key(0), store.Record{}, opt), context.Canceled)
	must(t, r.replace(1))
	_, err := r.Load(t.Context(), key(0), opt)
	wantErr(t, err, store.ErrNotFound)
}

func TestContext_thatEndsWhileTheDiskHangs(t *testing.T) {
	for _, at := range []bolt.Stage{bolt.StageTaken, bolt.StageApplied} {
		r := newRig(t)
		must(t, r.replace(7))
		held, release := r.hold(at)
		ctx, cancel := context.WithCancel(t.Context())
		hanging := make(chan error, 1)
		go func() { hanging <- r.Replace(ctx, key(0), store.Record{}, opt) }()
		<-held
		if _, err := r.Load(t.Context(), key(7), opt); err != nil { // readers don't wait
			t.Error(err)
		}
		cancel()
		wantErr(t, <-hanging, context.Canceled) // while it hangs
		late, cancelLate := context.WithCancel(t.Context())
		wait := r.start(1, func(int) error { return r.Replace(late, key(1), store.Record{}, opt) })
		cancelLate()
		wantErr(t, wait()[0], context.Canceled)
		release()
		must(t, r.replace(2))
		_, err := r.Load(t.Context(), key(0), opt)
		if at == bolt.StageApplied && err != nil {
			t.Errorf("the write that was under way: %v", err)
		}
		_, err = r.Load(t.Context(), key(1), opt)
		wantErr(t, err, store.ErrNotFound)
	}
}

// A caller may use what it lent again, once its call has returned.
func TestContext_whoGivesUpTakesBackWhatWasLent(t *testing.T) {
	r := newRig(t)
	held, release := r.hold(bolt.StageTaken)
	ctx, cancel := context.WithCancel(t.Context())
	rec := store.Record{Ceiling: 5, Index: []store.IndexValue{{1}}, Sealed: make([]byte, 4096)}
	hanging := make(chan error, 1)
	go func() { hanging <- r.Replace(ctx, key(0), rec, opt) }()
	<-held
	cancel()
	wantErr(t, <-hanging, context.Canceled)
	rec.Index[0], rec.Sealed[0] = store.IndexValue{2}, 1 // the race detector watches
	release()
	must(t, r.replace(1))
	must(t, r.Verify())
}

// A reader of a session behind a write that was left sees what came of it.
func TestContext_aReadWaitsForAWriteThatWasLeft(t *testing.T) {
	r := newRig(t)
	held, release := r.hold(bolt.StageApplied)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- r.Replace(ctx, key(0), store.Record{}, opt) }()
	<-held
	cancel()
	wantErr(t, <-left, context.Canceled)
	impatient, stop := context.WithCancel(t.Context())
	stop()
	_, err := r.Load(impatient, key(0), opt)
	wantErr(t, err, context.Canceled)
	_, err = r.Load(t.Context(), key(1), opt) // of another session
	wantErr(t, err, store.ErrNotFound)
	read := make(chan error, 1)
	go func() {
		_, err := r.Load(t.Context(), key(0), opt)
		read <- err
	}()
	release()
	must(t, <-read)
}

func TestWriter_panicFailsItsBatchOnly(t *testing.T) {
	r := newRig(t)
	must(t, r.replace(0))
	r.onStage(func(at bolt.Stage) {
		if at == bolt.StageApplied {
			r.onStage(nil)
			panic("a defect")
		}
	})
	var damage *bolt.DamageError
	if err := r.replace(1); !errors.As(err, &damage) {
		t.Fatalf("err = %v, want a DamageError", err)
	}
	_, err := r.Load(t.Context(), key(1), opt)
	wantErr(t, err, store.ErrNotFound)
	must(t, r.replace(1))
	_, err = r.Load(t.Context(), key(0), opt)
	must(t, err)
	must(t, r.Verify())
}

func TestClose_writesWhatWaitsAndRefusesWhatComes(t *testing.T) {
	path := newPath(t)
	gate, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s, err := bolt.Open(path, bolt.WithHook(func(at bolt.Stage) {
		if at == bolt.StageTaken {
			once.Do(func() { close(held); <-gate })
		}
	}))
	must(t, err)
	r := &rig{Store: s, t: t}
	first := make(chan error, 1)
	go func() { first <- r.replace(0) }()
	<-held
	wait := r.start(10, func(i int) error { return r.replace(i + 1) })
	closed := make(chan error, 2)
	for range 2 {
		go func() { closed <- s.Close() }()
	}
	for err == nil || errors.Is(err, store.ErrNotFound) { // Close has begun
		runtime.Gosched()
		_, err = s.Load(t.Context(), key(0), opt)
	}
	close(gate)
	must(t, errors.Join(append(wait(), <-first, <-closed, <-closed)...))

	_, err = s.Load(t.Context(), key(0), opt)
	wantErr(t, err, bolt.ErrClosed)
	wantErr(t, r.replace(0), bolt.ErrClosed)
	_, err = s.Find(t.Context(), []store.IndexValue{{}}, opt)
	wantErr(t, err, bolt.ErrClosed)
	must(t, s.Close())

	again := open(t, path)
	if n := again.Keys(bolt.SessionBucket); n != 11 {
		t.Errorf("%d sessions, want 11", n)
	}
	must(t, again.Verify())
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("err = %v, want %v", err, want)
	}
}

// together calls f on n goroutines and waits for all of them.
func together(n int, f func(i int)) {
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { f(i) })
	}
	done.Wait()
}
