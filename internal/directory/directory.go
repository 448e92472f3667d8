package directory

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const shards = 256

// Directory finds the entry of a resident session by its id. Reading takes no lock, for
// that would be a third of a hit. Only the supervisor writes.
type Directory struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shard is a hash table with open addressing. A reader may see it change: each seat is
// written so that it finds the entry before or the entry after, and it keeps to the seats that it
// began with when they are replaced by more.
type shard struct {
	seats atomic.Pointer[[]seat] // nil while empty; a power of two of them, some always free

	mu   sync.Mutex // guards what follows, and who writes
	used int        // seats that are not free, those of removed entries included
	live int
}

// seat is free while entry is nil. Its entry may be replaced, but the seat is not freed: a lookup
// for an entry that lies behind it must go on.
type seat struct {
	hash  atomic.Uint64 // of the entry's id, written first: so that others' entries need not be looked at
	entry atomic.Pointer[Entry]
	shown atomic.Pointer[Snapshot] // of the entry, as NoteShown said last; nil: not known
}

// removed stands where an entry was. It has no id, so no lookup finds it.
var removed = &Entry{}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory { return &Directory{seed: maphash.MakeSeed()} }

// Lookup returns the entry of the session id, or nil when it is not resident.
func (d *Directory) Lookup(id string) *Entry {
	e, _ := d.Find(id)
	return e
}

// Find returns the entry of the session id and what that shows, or nil when it is not resident.
//
// The entry decides: what it shows is returned, whatever the seat has noted. Where many sessions are asked for in turn, most of a hit is the time
// that memory takes to bring the seat, then the entry, then the snapshot. With the note the processor brings entry and snapshot at once. For that the
// note itself is returned where it is right: the processor expects the two to be equal, and goes on with the note before the entry has come.
func (d *Directory) Find(id string) (*Entry, *Snapshot) {
	hash := maphash.String(d.seed, id)
	seats := d.shards[hash%shards].seats.Load()
	if seats == nil {
		return nil, nil
	}
	mask := uint64(len(*seats) - 1)
	for i := hash / shards; ; i++ {
		s := &(*seats)[i&mask]
		e := s.entry.Load()
		if e == nil {
			return nil, nil
		}
		if s.hash.Load() != hash {
			continue
		}
		noted := s.shown.Load()
		if e.ID != id {
			continue
		}
		if shown := e.Snapshot(); shown != noted {
			return e, shown
		}
		return e, noted
	}
}

// NoteShown notes what e shows for Find; nil takes the note away, and so does the end of e's place here. A note that is behind costs a hit time, and
// no more. For the supervisor, which notes what idle sessions show. A session that has an actor has no note, which would keep tokens in memory that
// were replaced.
func (d *Directory) NoteShown(e *Entry, shown *Snapshot) {
	if e.ID == "" {
		return
	}
	sh := &d.shards[e.hash%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.seatOf(e); s != nil {
		s.shown.Store(shown)
	}
}

// Put links e, in place of an entry of the same id. It does nothing for an entry without an id.
func (d *Directory) Put(e *Entry) {
	if e.ID == "" {
		return // known by its key only
	}
	hash := maphash.String(d.seed, e.ID)
	e.hash = hash
	sh := &d.shards[hash%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.find(hash, e.ID); s != nil {
		s.shown.Store(nil)
		s.entry.Store(e)
		return
	}
	if seats := sh.seats.Load(); seats == nil || 4*(sh.used+1) > 3*len(*seats) {
		sh.grow()
	}
	sh.add(*sh.seats.Load(), hash, e, nil)
	sh.used++
	sh.live++
}

// Remove unlinks e, unless another entry has taken its place.
func (d *Directory) Remove(e *Entry) {
	if e.ID == "" {
		return
	}
	sh := &d.shards[e.hash%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.seatOf(e); s != nil {
		s.shown.Store(nil)
		s.entry.Store(removed)
		if sh.live--; sh.live == 0 {
			sh.seats.Store(nil)
			sh.used = 0
		}
	}
}

// find returns the seat of an id, or nil. The caller holds the lock.
func (sh *shard) find(hash uint64, id string) *seat {
	seats := sh.seats.Load()
	if seats == nil {
		return nil
	}
	mask := uint64(len(*seats) - 1)
	for i := hash / shards; ; i++ {
		s := &(*seats)[i&mask]
		switch e := s.entry.Load(); {
		case e == nil:
			return nil
		case s.hash.Load() == hash && e.ID == id:
			return s
		}
	}
}

// seatOf returns the seat of e, or nil. The caller holds the lock.
func (sh *shard) seatOf(e *Entry) *seat {
	seats := sh.seats.Load()
	if seats == nil {
		return nil
	}
	mask := uint64(len(*seats) - 1)
	for i := e.hash / shards; ; i++ {
		s := &(*seats)[i&mask]
		switch s.entry.Load() {
		case nil:
			return nil
		case e:
			return s
		}
	}
}

// add puts e into the first free seat of its hash. The caller holds the lock.
func (*shard) add(seats []seat, hash uint64, e *Entry, shown *Snapshot) {
	mask := uint64(len(seats) - 1)
	for i := hash / shards; ; i++ {
		if s := &seats[i&mask]; s.entry.Load() == nil {
			s.hash.Store(hash)
			s.shown.Store(shown)
			s.entry.Store(e)
			return
		}
	}
}

// grow replaces the seats by at least twice as many as there are entries, without those that
// were removed. The caller holds the lock.
func (sh *shard) grow() {
	size := 4
	for size < 2*(sh.live+1) {
		size *= 2
	}
	grown := make([]seat, size)
	if seats := sh.seats.Load(); seats != nil {
		for i := range *seats {
			s := &(*seats)[i]
			if e := s.entry.Load(); e != nil && e != removed {
				sh.add(grown, s.hash.Load(), e, s.shown.Load())
			}
		}
	}
	sh.seats.Store(&grown)
	sh.used = sh.live
}
