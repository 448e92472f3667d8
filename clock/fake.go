package clock

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Fake is a Clock that stands still until a test moves it. It is safe for
// concurrent use.
type Fake struct {
	moving sync.Mutex // held throughout a move, callbacks included

	mu     sync.Mutex // never held during a callback
	now    time.Time
	mono   time.Duration
	mover  string // the goroutine that moves the clock, empty when it stands
	armed  fakeHeap
	arming uint64        // counts what was armed, for the order of equal instants
	more   chan struct{} // closed when a timer is armed; nil while nobody waits
}

// NewFake returns a Fake that stands at t.
func NewFake(t time.Time) *Fake { return &Fake{now: t.Round(0)} }

// Now returns the instant the clock stands at; inside a callback, the very
// instant that the callback was armed for.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Mono returns for how long the clock was moved forwards.
func (f *Fake) Mono() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mono
}

// AfterFunc arms a timer. See Clock for who calls fn.
func (f *Fake) AfterFunc(d time.Duration, fn func()) Timer {
	t := &fakeTimer{fake: f, fn: fn, index: -1}
	t.Reset(d)
	return t
}

// at is At.
func (f *Fake) at(due time.Time, fn func()) Timer {
	t := &fakeTimer{fake: f, fn: fn, index: -1}
	t.arm(func() time.Time { return due.Round(0) })
	return t
}

// Advance moves the clock by d. It stops at each instant a timer is due, in
// order of time, then of arming, and calls the timer's function; timers that such
// functions arm on the way are included. It returns when all of them have run.
//
// Moves wait for each other. One made from inside a callback of another move
// would wait for itself, so it panics.
func (f *Fake) Advance(d time.Duration) {
	defer f.startMove()()
	f.moveTo(f.Now().Add(d))
}

// Set moves the clock to t. Forwards it is like Advance. Backwards it calls
// nothing, and timers stay due at the instants they were armed for.
func (f *Fake) Set(t time.Time) {
	defer f.startMove()()
	f.moveTo(t.Round(0))
}

// SetWall sets the wall clock to t, and nothing else: no time passes. Mono stands, nothing is
// called, and every armed timer has as long to wait as before.
func (f *Fake) SetWall(t time.Time) {
	defer f.startMove()()
	f.mu.Lock()
	defer f.mu.Unlock()
	t = t.Round(0)
	for _, armed := range f.armed {
		armed.due = t.Add(armed.due.Sub(f.now))
	}
	f.now = t
}

// Waiting returns how many timers are armed.
func (f *Fake) Waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.armed)
}

// WaitTimers waits until at least n timers are armed. If ctx ends first, it
// says how many there were, and wraps ctx.Err().
func (f *Fake) WaitTimers(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		armed := len(f.armed)
		if f.more == nil {
			f.more = make(chan struct{})
		}
		more := f.more
		f.mu.Unlock()

		if armed >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("clock: %d of %d timers armed: %w", armed, n, ctx.Err())
		}
	}
}

// startMove waits until no other move is under way, and returns what ends this
// one, also when a callback panics.
func (f *Fake) startMove() (end func()) {
	me := goroutine()
	f.mu.Lock()
	inCallback := f.mover == me
	f.mu.Unlock()
	if inCallback {
		panic("clock: a callback of a Fake moved that Fake")
	}
	f.moving.Lock()
	f.setMover(me)
	return func() {
		f.setMover("")
		f.moving.Unlock()
	}
}

func (f *Fake) setMover(g string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mover = g
}

func (f *Fake) moveTo(to time.Time) {
	for {
		fn := f.next(to)
		if fn == nil {
			return
		}
		fn()
	}
}

// next moves the clock to the first timer due by to, disarms it and returns its
// callback. When none is left, the clock stands at to and the result is nil.
func (f *Fake) next(to time.Time) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.armed) == 0 || f.armed[0].due.After(to) {
		f.stand(to)
		return nil
	}
	t := heap.Pop(&f.armed).(*fakeTimer)
	f.stand(t.due)
	return t.fn
}

// stand has the clock stand at t. Where that is forwards, so much time has passed.
func (f *Fake) stand(t time.Time) {
	f.mono += max(0, t.Sub(f.now))
	f.now = t
}

// goroutine names the goroutine it is called on: "goroutine 7 ".
func goroutine() string {
	var buf [64]byte
	stack := buf[:runtime.Stack(buf[:], false)]
	name, _, _ := bytes.Cut(stack, []byte("["))
	return string(name)
}

type fakeTimer struct {
	fake *Fake
	fn   func()

	// Guarded by fake.mu.
	due   time.Time // no Duration: a Duration from 1970 ends in 2262
	order uint64
	index int // in the heap, -1 when disarmed
}

func (t *fakeTimer) Stop() bool {
	t.fake.mu.Lock()
	defer t.fake.mu.Unlock()
	return t.disarm()
}

func (t *fakeTimer) Reset(d time.Duration) bool {
	return t.arm(func() time.Time { return t.fake.now.Add(d) })
}

// arm arms the timer for the instant that due returns under the lock.
func (t *fakeTimer) arm(due func() time.Time) bool {
	f := t.fake
	f.mu.Lock()
	was := t.disarm()
	at := due()
	if !at.After(f.now) {
		f.mu.Unlock()
		t.fn()
		return was
	}
	defer f.mu.Unlock()
	f.arming++
	t.due, t.order = at, f.arming
	heap.Push(&f.armed, t)
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
	return was
}

func (t *fakeTimer) disarm() bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.fake.armed, t.index)
	return true
}

// fakeHeap has the timer that is due first in front.
type fakeHeap []*fakeTimer

func (h fakeHeap) Len() int { return len(h) }

func (h fakeHeap) Less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}

func (h fakeHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *fakeHeap) Push(x any) {
	t := x.(*fakeTimer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *fakeHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
