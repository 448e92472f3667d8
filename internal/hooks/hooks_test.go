package hooks

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tokenward/tokenward/session"
)

// The events of one session come in order, one at a time; those of another session do not wait for them.
func TestQueue_inOrder(t *testing.T) {
	var jobs []func()
	var heard []session.Reason
	var dropped atomic.Int64
	pending := int64(0)
	q := New(func(job func()) { jobs = append(jobs, job) }, func(e Event) { heard = append(heard, e.Reason) },
		func(n int64) { pending += n }, &dropped)
	for _, why := range []session.Reason{"a", "b", "c"} {
		q.Tell(Event{Reason: why})
	}
	q.Tell(Event{Key: session.Key{1}, Reason: "other"})
	if len(jobs) != 2 || pending != 4 {
		t.Fatalf("%d jobs for two sessions, %d events pending", len(jobs), pending)
	}
	jobs[1]()
	jobs[0]()
	if want := []session.Reason{"other", "a", "b", "c"}; !slices.Equal(heard, want) || pending != 0 {
		t.Errorf("heard %v, want %v; %d pending", heard, want, pending)
	}
	q.Tell(Event{Reason: "d"})
	if len(jobs) != 3 {
		t.Error("a shard that was worked off is not worked off again")
	}
}

// A function that does not return costs the events of some sessions, which are counted, and no memory.
func TestQueue_isBounded(t *testing.T) {
	var dropped atomic.Int64
	q := New(func(func()) {}, func(Event) {}, func(int64) {}, &dropped)
	for range queued + 5 {
		q.Tell(Event{})
	}
	if n := dropped.Load(); n != 5 {
		t.Errorf("dropped %d, want 5", n)
	}
	var none *Queue
	none.Tell(Event{})
}
