package store

import (
	"cmp"
	"iter"
	"slices"

	"github.com/tokenward/tokenward/session"
)

// agenda keeps entries by a whole second. Those of one second are in a bucket, in which an entry is found by its seat: so to take
// out 100,000 of one second reads no other entry.
type agenda struct {
	of      func(*entry) *seat // where an entry keeps its seat
	buckets ordered[*bucket]
	last    *bucket // to which an entry was added last; may be nil
}

// seat is where an entry is in an agenda; zero where it is not in it.
type seat struct {
	in *bucket
	at int32
}

// bucket has the entries of one second, since the Unix epoch.
type bucket struct {
	second  int64
	entries []*entry // nil where one was taken out; the last one is not
	n       int32    // that are not nil
	sorted  bool     // by key
}

func (b *bucket) compare(other *bucket) int { return cmp.Compare(b.second, other.second) }

// add puts e, which is not in it, under a second.
func (a *agenda) add(e *entry, second int64) {
	b := a.last
	if b == nil || b.second != second {
		b = a.bucket(second)
		a.last = b
	}
	if len(b.entries) == cap(b.entries) && int(b.n) <= len(b.entries)/2 {
		b.close(a.of)
	}
	*a.of(e) = seat{b, int32(len(b.entries))}
	b.entries = append(b.entries, e)
	b.n++
	b.sorted = false
}

// bucket returns the bucket of a second, which is made where there is none.
func (a *agenda) bucket(second int64) *bucket {
	b := &bucket{second: second}
	for have := range a.buckets.from(b) {
		if have.second == second {
			return have
		}
		break
	}
	a.buckets.add(b)
	return b
}

// remove takes e out, if it is in.
func (a *agenda) remove(e *entry) {
	s := a.of(e)
	b := s.in
	if b == nil {
		return
	}
	b.entries[s.at] = nil
	*s = seat{}
	if b.n--; b.n == 0 {
		a.buckets.remove(b)
		if a.last == b {
			a.last = nil
		}
		return
	}
	for b.entries[len(b.entries)-1] == nil {
		b.entries = b.entries[:len(b.entries)-1]
	}
}

// first returns an entry of the earliest second, and that; nil where there is none.
func (a *agenda) first() (*entry, int64) {
	b, ok := a.buckets.first()
	if !ok {
		return nil, 0
	}
	return b.entries[len(b.entries)-1], b.second
}

// from yields the entries from a second on, those of one second by key and those of the first one from a key on. The agenda must
// not be changed during that.
func (a *agenda) from(second int64, key session.Key) iter.Seq2[int64, *entry] {
	return func(yield func(int64, *entry) bool) {
		for b := range a.buckets.from(&bucket{second: second}) {
			b.sort(a.of)
			i := 0
			if b.second == second {
				i, _ = slices.BinarySearchFunc(b.entries, &key, func(e *entry, key *session.Key) int { return compareKeys(&e.key, key) })
			}
			for _, e := range b.entries[i:] {
				if !yield(b.second, e) {
					return
				}
			}
		}
	}
}

// sort closes the gaps in b, and sorts it.
func (b *bucket) sort(of func(*entry) *seat) {
	if b.sorted && int(b.n) == len(b.entries) {
		return
	}
	if b.close(of); b.sorted {
		return
	}
	slices.SortFunc(b.entries, func(x, y *entry) int { return compareKeys(&x.key, &y.key) })
	b.number(of)
	b.sorted = true
}

// close closes the gaps in b.
func (b *bucket) close(of func(*entry) *seat) {
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool { return e == nil })
	b.number(of)
}

func (b *bucket) number(of func(*entry) *seat) {
	for i, e := range b.entries {
		of(e).at = int32(i)
	}
}
