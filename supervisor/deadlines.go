package supervisor

import (
	"container/heap"
	"maps"
	"slices"

	"github.com/tokenward/tokenward/session"
)

// deadlines are kept in buckets, one for each whole second. Adding and cancelling
// take constant time, but for a heap of the seconds that have a bucket.
type deadlines struct {
	buckets map[int64][]*deadline
	seconds secondHeap
	empty   int // buckets that everything was cancelled from
}

// deadline is something to be done once a second has come.
type deadline struct {
	second int64
	place  int // in its bucket, from 1; 0 when it is in none
	what   duty
	slot   *slot       // whose it is, nil for what sleeps
	ref    session.Key // of what sleeps
	only   session.Incarnation
}

// duty says what a deadline is about.
type duty uint8

const (
	dutyCeiling    duty = iota // the session ends
	dutyRelease                // it gives its actor back
	dutyIdle                   // it may have been unused for long
	dutyForget                 // a marker goes
	dutyQuarantine             // a failed session may start again
	dutySleeper                // a session that sleeps ends; the store cannot tell
	dutyClaim                  // sessions that sleep end, says the store's index
	dutyClaimAgain             // they could not be claimed, or not all
	dutySweep                  // look in the index again
	dutyOrphans                // look for requests that were cut off
	dutyUnreadable             // say how many records could not be read
)

func newDeadlines() deadlines { return deadlines{buckets: make(map[int64][]*deadline)} }

// add puts d into the bucket of second, and takes it out of any other.
func (ds *deadlines) add(d *deadline, second int64) {
	ds.cancel(d)
	bucket, ok := ds.buckets[second]
	switch {
	case !ok:
		heap.Push(&ds.seconds, second)
	case len(bucket) == 0:
		ds.empty--
	}
	ds.buckets[second] = append(bucket, d)
	d.second, d.place = second, len(bucket)+1
}

// cancel takes d out again. Nil, and one that is in no bucket, are fine.
func (ds *deadlines) cancel(d *deadline) {
	if d == nil || d.place == 0 {
		return
	}
	bucket := ds.buckets[d.second]
	last := len(bucket) - 1
	bucket[d.place-1] = bucket[last]
	bucket[d.place-1].place = d.place
	bucket[last] = nil
	ds.buckets[d.second] = bucket[:last] // an empty bucket goes when its second comes up
	d.place = 0
	if last == 0 {
		ds.empty++
		ds.compact()
	}
}

// compact drops empty buckets once they are most of all, for their seconds may be far away.
func (ds *deadlines) compact() {
	if ds.empty < 1000 || ds.empty < len(ds.buckets)/2 {
		return
	}
	ds.seconds = ds.seconds[:0]
	for second, bucket := range ds.buckets {
		if len(bucket) == 0 {
			delete(ds.buckets, second)
			continue
		}
		ds.seconds = append(ds.seconds, second)
	}
	heap.Init(&ds.seconds)
	ds.empty = 0
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
		ds.empty--
	}
	return 0, false
}

// all returns everything, by second.
func (ds *deadlines) all() (all []*deadline) {
	for _, second := range slices.Sorted(maps.Keys(ds.buckets)) {
		all = append(all, ds.buckets[second]...)
	}
	return all
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
