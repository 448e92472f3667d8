package supervisor

import (
	"container/heap"

	"github.com/tokenward/tokenward/session"
)

// deadlines are kept in buckets, one for each whole second. Adding and cancelling
// take constant time, but for a heap of the seconds that have a bucket.
type deadlines struct {
	buckets map[int64][]*deadline
	seconds secondHeap
}

// deadline is something to be done once a second has come.
type deadline struct {
	second int64
	index  int // in its bucket; -1 when it is in none
	what   duty
	slot   *slot       // whose it is, nil for what sleeps
	ref    session.Key // of what sleeps
	only   session.Incarnation
}

// duty says what a deadline is about.
type duty uint8

const (
	dutyCeiling    duty = iota // the session ends
	dutyIdle                   // it may have been unused for long
	dutyForget                 // a marker goes
	dutyQuarantine             // a failed session may start again
	dutySleeper                // a session that sleeps ends; the store cannot tell
	dutyClaim                  // sessions that sleep end, says the store's index
	dutySweep                  // look in the index again
)

func newDeadlines() deadlines { return deadlines{buckets: make(map[int64][]*deadline)} }

// add puts d into the bucket of second.
func (ds *deadlines) add(d *deadline, second int64) {
	bucket, ok := ds.buckets[second]
	if !ok {
		heap.Push(&ds.seconds, second)
	}
	d.second, d.index = second, len(bucket)
	ds.buckets[second] = append(bucket, d)
}

// cancel takes d out again. Nil, and one that is in no bucket, are fine.
func (ds *deadlines) cancel(d *deadline) {
	if d == nil || d.index < 0 {
		return
	}
	bucket := ds.buckets[d.second]
	last := len(bucket) - 1
	bucket[d.index] = bucket[last]
	bucket[d.index].index = d.index
	bucket[last] = nil
	ds.buckets[d.second] = bucket[:last] // an empty bucket goes when its second comes up
	d.index = -1
}

// next returns the earliest second that has a deadline in it.
func (ds *deadlines) next() (second int64, ok bool) {
	for len(ds.seconds) > 0 {
		second = ds.seconds[0]
		if len(ds.buckets[second]) > 0 {
			return second, true
		}
		heap.Pop(&ds.seconds)
		delete(ds.buckets, second)
	}
	return 0, false
}

// take removes and returns a deadline of the earliest second up to now, or nil.
func (ds *deadlines) take(now int64) *deadline {
	second, ok := ds.next()
	if !ok || second > now {
		return nil
	}
	bucket := ds.buckets[second]
	d := bucket[len(bucket)-1]
	ds.cancel(d)
	return d
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
