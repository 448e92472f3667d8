package directory

import (
	"slices"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/session"
)

// Entry is a session as everyone in this process sees it: the snapshot it shows, the flights
// that can be joined, and the actor to ask. At every moment one actor owns it and is its only
// writer: the session's, or the supervisor while the session has no actor. The exceptions
// are Join and Use, which callers call.
type Entry struct {
	// What a hit reads comes first: one cache line, where the entry begins at one.
	ID       string // empty where only the key is known; for the supervisor
	snapshot atomic.Pointer[Snapshot]
	used     atomic.Int64
	read     atomic.Int64              // when the store held what is shown, by the monotonic clock
	epoch    atomic.Uint64             // of the feed, in which it was read
	flights  atomic.Pointer[[]*Flight] // nil: none
	pid      atomic.Pointer[actor.PID]

	Key     session.Key
	hash    uint64                        // of the ID; for the directory
	gone    atomic.Pointer[chan struct{}] // nil: no caller has asked for it
	unsaved atomic.Int32
}

// NewEntry returns an entry that shows s.
func NewEntry(id string, key session.Key, s *Snapshot) *Entry {
	e := &Entry{}
	e.Init(id, key, s)
	return e
}

// Init makes e, which is zero, an entry that shows s.
func (e *Entry) Init(id string, key session.Key, s *Snapshot) {
	e.ID, e.Key = id, key
	if s != nil && s.Outcome == nil {
		s.Outcome = &noOutcome
	}
	e.snapshot.Store(s)
	e.Unread()
}

// Snapshot returns what the entry shows now.
func (e *Entry) Snapshot() *Snapshot { return e.snapshot.Load() }

// Publish shows s, and releases the callers who waited for an opening session to settle. For the
// owner.
func (e *Entry) Publish(s *Snapshot) {
	if old := e.snapshot.Swap(s); old.Phase == Opening && old.Settled != s.Settled {
		close(old.Settled)
	}
}

// PID returns the session's actor, nil while it has none.
func (e *Entry) PID() *actor.PID { return e.pid.Load() }

// SetPID says who owns the entry. For the supervisor.
func (e *Entry) SetPID(pid *actor.PID) { e.pid.Store(pid) }

// Gone is closed once the entry is of no more use: look in the directory again.
func (e *Entry) Gone() <-chan struct{} {
	if gone := e.gone.Load(); gone != nil {
		return *gone
	}
	fresh := make(chan struct{})
	if e.gone.CompareAndSwap(nil, &fresh) {
		return fresh
	}
	return *e.gone.Load()
}

// Retire closes Gone. For the supervisor, once.
func (e *Entry) Retire() {
	if gone := e.gone.Swap(&closed); gone != nil {
		close(*gone)
	}
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Use notes that the session was used at second, in whole seconds since the Unix epoch.
func (e *Entry) Use(second int64) {
	if e.used.Load() != second {
		e.used.Store(second)
	}
}

// Used returns the second of the last use.
func (e *Entry) Used() int64 { return e.used.Load() }

// Unsaved says how far the store is behind what a session knows.
type Unsaved int32

// What a store may lack.
const (
	Saved       Unsaved = iota // nothing
	Saving                     // something that is being written
	SaveFailing                // something that could not be written so far
)

// SetUnsaved sets how far the store is behind and returns the value before. For
// the owner.
func (e *Entry) SetUnsaved(u Unsaved) Unsaved { return Unsaved(e.unsaved.Swap(int32(u))) }

// Unsaved returns what SetUnsaved said last.
func (e *Entry) Unsaved() Unsaved { return Unsaved(e.unsaved.Load()) }

// Flights returns the flights that can be joined, oldest first.
func (e *Entry) Flights() []*Flight {
	if list := e.flights.Load(); list != nil {
		return *list
	}
	return nil
}

// Find returns the flight for key that can be joined, or nil.
func (e *Entry) Find(key session.FlightKey) *Flight {
	for _, f := range e.Flights() {
		if f.Query.Key == key {
			return f
		}
	}
	return nil
}

// Join returns the flight for f's key: one that can be joined, else f itself, and
// then first is true and the caller must send NeedToken. It returns nil when limit flights
// are there already.
func (e *Entry) Join(f *Flight, limit int) (joined *Flight, first bool) {
	for {
		old := e.flights.Load()
		var list []*Flight
		if old != nil {
			list = *old
		}
		for _, g := range list {
			if g.Query.Key == f.Query.Key {
				return g, false
			}
		}
		if len(list) >= limit {
			return nil, false
		}
		grown := &f.alone
		if len(list) > 0 {
			more := append(slices.Clip(list), f)
			grown = &more
		}
		if e.flights.CompareAndSwap(old, grown) {
			return f, true
		}
	}
}

// Complete answers everyone who waits for f. The order is: set the answer, take f off the list, release
// the waiters. So a flight that is off the list has its answer, and a caller who comes after a release
// starts a new flight. For the owner.
func (e *Entry) Complete(f *Flight, a Answer) {
	if f.complete(a) {
		f.tell(&a)
		defer close(f.done)
	}
	for {
		old := e.flights.Load()
		if old == nil {
			break
		}
		i := slices.Index(*old, f)
		if i < 0 {
			break
		}
		var rest *[]*Flight
		if len(*old) > 1 {
			left := slices.Delete(slices.Clone(*old), i, i+1)
			rest = &left
		}
		if e.flights.CompareAndSwap(old, rest) {
			break
		}
	}
}

// CompleteAll completes every flight with a. For the owner.
func (e *Entry) CompleteAll(a Answer) {
	for _, f := range e.Flights() {
		e.Complete(f, a)
	}
}
