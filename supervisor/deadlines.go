package supervisor

import (
	"container/heap"
	"maps"
	"slices"
)

// Deadlines, to the second. The supervisor has four wheels: for the ceilings of sessions in memory, for when such a session was unused for
// long enough (idle), for the ceilings of sessions that have left memory (absentees), and for all other timers (due). Most deadlines are
// cancelled or moved before they come, and many ceilings come in one second. So a place in a bucket is cheap to leave, and a million
// ceilings in one second are one bucket.
//
// A second is fine enough. Ceilings are whole seconds, and so is the leeway by which they are due early. Any other timer may come up to
// a second late.

// wheel keeps what has a deadline in buckets, one for each whole second. Adding and cancelling
// take constant time, but for a heap of the seconds that have a bucket. T keeps its own place (deadline), so it is found without a search,
// and is in one bucket at most. Of the deadlines of one second none is promised to come first.
type wheel[T any] struct {
	of      func(T) *deadline // where T keeps its deadline
	buckets map[int64][]T
	seconds secondHeap // the keys of buckets, each once
	empty   int        // buckets that everything was cancelled from
}

// deadline is the second, since the Unix epoch, in which something is to be done. The wheel alone writes it.
type deadline struct {
	second int64
	place  int32 // in its bucket, from 1; 0 when it is in none
}

// timer is a deadline of any kind but the two that stand in a resident itself: its ceiling, and its idle time.
type timer struct {
	deadline
	kind     timerKind
	resident *resident // whose it is; nil for what is about no session in memory
	ref      absentee  // of nonResidentTimer
}

func deadlineOf(t *timer) *deadline          { return &t.deadline }
func ceilingDeadline(sl *resident) *deadline { return &sl.ceiling }
func idleDeadline(sl *resident) *deadline    { return &sl.idle }

// timerKind says what a timer is about.
type timerKind uint8

const (
	releaseTimer     timerKind = iota // an active session gives its actor back
	forgetTimer                       // a marker is dropped
	quarantineTimer                   // a failed session may start again
	nonResidentTimer                  // a session that is not in memory ends; the store has no index
	claimTimer                        // the store's index names sessions that end in this second
	claimAgainTimer                   // such sessions could not be claimed, or not all of them
	listTimer                         // look in the index again
	intentsTimer                      // look for requests that were cut off
	unreadableTimer                   // say how many records could not be read
)

func newWheel[T any](of func(T) *deadline) wheel[T] {
	return wheel[T]{of: of, buckets: make(map[int64][]T)}
}

// add puts t into the bucket of second, and takes it out of any other.
func (w *wheel[T]) add(t T, second int64) {
	w.cancel(t)
	bucket, ok := w.buckets[second]
	switch {
	case !ok:
		heap.Push(&w.seconds, second)
	case len(bucket) == 0:
		w.empty--
	}
	w.buckets[second] = append(bucket, t)
	d := w.of(t)
	d.second, d.place = second, int32(len(bucket)+1)
}

// cancel takes t out again, if it is in a bucket.
func (w *wheel[T]) cancel(t T) {
	d := w.of(t)
	if d.place == 0 {
		return
	}
	bucket := w.buckets[d.second]
	last := len(bucket) - 1
	bucket[d.place-1] = bucket[last] // the last one takes its place, so that no other moves
	w.of(bucket[last]).place = d.place
	clear(bucket[last:])
	w.buckets[d.second] = bucket[:last] // an empty bucket goes when its second comes up
	d.place = 0
	if last == 0 {
		w.empty++
		w.compact()
	}
}

// compact drops empty buckets once they are half of all, for their seconds may be far away. Example: users sign in and out all day, each
// with a ceiling in eight hours. Each second would leave an empty bucket for that long. A pass over all buckets is paid for by as many
// cancels, so cancel takes constant time on average all the same. Fewer than a thousand are left alone.
func (w *wheel[T]) compact() {
	if w.empty < 1000 || w.empty < len(w.buckets)/2 {
		return
	}
	w.seconds = w.seconds[:0]
	for second, bucket := range w.buckets {
		if len(bucket) == 0 {
			delete(w.buckets, second)
			continue
		}
		w.seconds = append(w.seconds, second)
	}
	heap.Init(&w.seconds)
	w.empty = 0
}

// next returns the earliest second that has a deadline in it. Empty buckets before it go.
func (w *wheel[T]) next() (second int64, ok bool) {
	for len(w.seconds) > 0 {
		second = w.seconds[0]
		if len(w.buckets[second]) > 0 {
			return second, true
		}
		heap.Pop(&w.seconds)
		delete(w.buckets, second)
		w.empty--
	}
	return 0, false
}

// all returns everything, by second. Its order does not depend on that of a map: lookBack moves what it returns, and the simulation plays
// a seed again turn by turn.
func (w *wheel[T]) all() (all []T) {
	for _, second := range slices.Sorted(maps.Keys(w.buckets)) {
		all = append(all, w.buckets[second]...)
	}
	return all
}

// take removes and returns one of the earliest second, if that has come by now: the last of its bucket, because no other has to move
// then.
func (w *wheel[T]) take(now int64) (t T, ok bool) {
	second, ok := w.next()
	if !ok || second > now {
		return t, false
	}
	bucket := w.buckets[second]
	t = bucket[len(bucket)-1]
	w.cancel(t)
	return t, true
}

type secondHeap []int64

func (h secondHeap) Len() int           { return len(h) }
func (h secondHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h secondHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *secondHeap) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *secondHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
