package supervisor

import (
	"hash/maphash"
	"sync"

	"github.com/tokenward/tokenward/messages"
)

const shards = 256

// Directory finds the entry of a resident session by its id. Reading takes a read
// lock on one of many shards. Only the supervisor writes.
type Directory struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[string]*messages.Entry
	_       [32]byte // to the size of a cache line
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	d := &Directory{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].entries = make(map[string]*messages.Entry)
	}
	return d
}

// Lookup returns the entry of the session id, or nil when it is not resident.
func (d *Directory) Lookup(id string) *messages.Entry {
	s := d.shard(id)
	s.mu.RLock()
	e := s.entries[id]
	s.mu.RUnlock()
	return e
}

func (d *Directory) shard(id string) *shard {
	return &d.shards[maphash.String(d.seed, id)%shards]
}

func (d *Directory) put(e *messages.Entry) {
	if e.ID == "" {
		return // known by its key only
	}
	s := d.shard(e.ID)
	s.mu.Lock()
	s.entries[e.ID] = e
	s.mu.Unlock()
}

// remove unlinks e, unless another entry has taken its place.
func (d *Directory) remove(e *messages.Entry) {
	s := d.shard(e.ID)
	s.mu.Lock()
	if s.entries[e.ID] == e {
		delete(s.entries, e.ID)
	}
	s.mu.Unlock()
}
