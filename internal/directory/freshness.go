package directory

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
	down atomic.Int64            // nanoseconds since the Unix epoch until which the store is not asked; 0: it answers
	past atomic.Pointer[pastEra] // the last era that has ended; nil: none
	calm atomic.Int64            // nanoseconds since the Unix epoch from which on the last outage is over for everybody; 0: there was none
}

// pastEra is an era, and when it ended in nanoseconds since the Unix epoch.
type pastEra struct {
	era uint64
	at  int64
}

// Gap notes, before Lost and Silent, that writes after now may not have been told.
func (f *Freshness) Gap(now time.Time) {
	if era := f.era.Load(); era != 0 {
		f.past.Store(&pastEra{era, now.UnixNano()})
	}
}

// Era returns the present era, 0 while writes are not told.
func (f *Freshness) Era() uint64 { return f.era.Load() }

// Lost begins a new era: writes are told from now on, and some before may not have been.
func (f *Freshness) Lost() { f.era.Store(f.eras.Add(1)) }

// Silent says that writes are not told any more.
func (f *Freshness) Silent() { f.era.Store(0) }

// Down reports whether the store did not answer lately and is not to be asked again at now. It is
// never left alone for longer than most: the clock was set back then.
func (f *Freshness) Down(now time.Time, most time.Duration) bool {
	left := f.down.Load() - now.UnixNano()
	return left > 0 && left <= int64(most)
}

// Probe reports whether the caller is to ask the store now. While it does not answer, one
// caller at a time is, and nobody else within most, which is as long as an attempt may take and
// the store is then left alone.
func (f *Freshness) Probe(now time.Time, most time.Duration) bool {
	was := f.down.Load()
	return was == 0 || !f.Down(now, most) && f.down.CompareAndSwap(was, now.Add(most).UnixNano())
}

// Answered says that the store answered.
func (f *Freshness) Answered() {
	if f.down.Load() != 0 {
		f.down.Store(0)
	}
}

// Failed says that the store did not answer, and is to be asked again from until on.
func (f *Freshness) Failed(until time.Time) { f.down.Store(until.UnixNano()) }

// Unsettled says that the store does not answer, or has begun to again: until then other processes
// may have refresh tokens in hand that it lacks, and come first.
func (f *Freshness) Unsettled(until time.Time) { f.calm.Store(until.UnixNano()) }

// Settled returns how long Unsettled goes on after now, 0 when it does not. It never does for
// longer than most: the clock was set back then.
func (f *Freshness) Settled(now time.Time, most time.Duration) time.Duration {
	left := time.Duration(f.calm.Load() - now.UnixNano())
	if left < 0 || left > most {
		return 0
	}
	return left
}

// Read notes that at the given time, in era, the store held what e shows or is about to
// show.
func (e *Entry) Read(era uint64, at time.Time) {
	e.era.Store(era)
	e.read.Store(at.UnixNano())
}

// ReadAs notes that what e shows is as new as what other shows.
func (e *Entry) ReadAs(other *Entry) { e.Read(other.era.Load(), time.Unix(0, other.read.Load())) }

// outdated in place of an era says that the store holds something newer.
const outdated = ^uint64(0)

// Outdate notes that the store holds something newer than e shows. It is shown no more until it was read, but
// for an outage.
func (e *Entry) Outdate() { e.era.Store(outdated) }

// Doubt notes that the store may hold something newer than e shows.
func (e *Entry) Doubt() { e.era.Store(0) }

// Fresh reports whether what e shows is what the store holds, as far as that is known: every
// write since was told, or it was read less than age before now.
func (e *Entry) Fresh(f *Freshness, now time.Time, age time.Duration) bool {
	switch read := e.era.Load(); {
	case read == outdated:
		return false
	case read != 0 && read == f.era.Load():
		return true
	}
	since := e.Age(now)
	return since >= 0 && since < age // below 0 the clock was set back
}

// Age returns how long ago the store held what e shows, as far as is known.
func (e *Entry) Age(now time.Time) time.Duration {
	return time.Duration(now.UnixNano() - e.read.Load())
}

// Stood reports whether the record of e is known to have stood within age before now: it was read or written here then, or
// every write until then was told.
func (e *Entry) Stood(f *Freshness, now time.Time, age time.Duration) bool {
	if e.Fresh(f, now, age) {
		return true
	}
	past := f.past.Load()
	return past != nil && past.era == e.era.Load() && now.UnixNano()-past.at < int64(age)
}
