package messages

import (
	"sync/atomic"
	"time"
)

// Freshness says what is known of the writes of other processes: whether they are told,
// and whether the store answers. All of a client shares one. An era is a time in which every
// write was told; 0 is none.
type Freshness struct {
	era  atomic.Uint64
	eras atomic.Uint64
	down atomic.Int64 // nanoseconds since the Unix epoch until which the store is not asked; 0: it answers
}

// Era returns the present era, 0 while writes are not told.
func (f *Freshness) Era() uint64 { return f.era.Load() }

// Lost begins a new era: writes are told from now on, and some before may not have been.
func (f *Freshness) Lost() { f.era.Store(f.eras.Add(1)) }

// Silent says that writes are not told any more.
func (f *Freshness) Silent() { f.era.Store(0) }

// Down reports whether the store did not answer lately and is not to be asked again at now.
func (f *Freshness) Down(now time.Time) bool {
	until := f.down.Load()
	return until != 0 && now.UnixNano() < until
}

// Probe reports whether the caller is to ask the store now. While it does not answer, one
// caller at a time is, and nobody else before until.
func (f *Freshness) Probe(now, until time.Time) bool {
	was := f.down.Load()
	return was == 0 || now.UnixNano() >= was && f.down.CompareAndSwap(was, until.UnixNano())
}

// Answered says that the store answered.
func (f *Freshness) Answered() {
	if f.down.Load() != 0 {
		f.down.Store(0)
	}
}

// Failed says that the store did not answer, and is to be asked again from until on.
func (f *Freshness) Failed(until time.Time) { f.down.Store(until.UnixNano()) }

// Read notes that at the given time, in era, the store held what e shows or is about to
// show.
func (e *Entry) Read(era uint64, at time.Time) {
	e.era.Store(era)
	e.read.Store(at.UnixNano())
}

// ReadAs notes that what e shows is as new as what other shows.
func (e *Entry) ReadAs(other *Entry) { e.Read(other.era.Load(), time.Unix(0, other.read.Load())) }

// Doubt notes that the store may hold something newer than e shows.
func (e *Entry) Doubt() { e.era.Store(0) }

// Fresh reports whether what e shows is what the store holds, as far as that is known: every
// write since was told, or it was read less than age before now.
func (e *Entry) Fresh(f *Freshness, now time.Time, age time.Duration) bool {
	if era := f.era.Load(); era != 0 && e.era.Load() == era {
		return true
	}
	return e.Age(now) < age
}

// Age returns how long ago the store held what e shows, as far as is known.
func (e *Entry) Age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - e.read.Load())
}
