package directory

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func entryOf(id string) *Entry {
	return NewEntry(id, session.Key{}, &Snapshot{})
}

// A directory says what a map would say, however many came and went.
func TestDirectory_isAMap(t *testing.T) {
	d, want := NewDirectory(), make(map[string]*Entry)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		id := fmt.Sprint("session ", r.IntN(3000))
		switch r.IntN(4) {
		case 0, 1:
			e := entryOf(id)
			d.Put(e)
			want[id] = e
		case 2:
			if e := want[id]; e != nil {
				d.Remove(e)
				delete(want, id)
			}
		case 3:
			d.Remove(entryOf(id)) // another one
		}
		if id = fmt.Sprint("session ", r.IntN(3000)); d.Lookup(id) != want[id] {
			t.Fatalf("%s: %p, want %p", id, d.Lookup(id), want[id])
		}
	}
	for _, e := range want {
		d.Remove(e)
	}
	for i := range d.shards {
		if sh := &d.shards[i]; sh.seats.Load() != nil || sh.used != 0 || sh.live != 0 {
			t.Fatalf("an empty shard has %d used seats, %d entries", sh.used, sh.live)
		}
	}
}

// A lookup while other entries come and go finds the entry that stays, and never another.
func TestDirectory_whileItChanges(t *testing.T) {
	d := NewDirectory()
	stays := make([]*Entry, 500)
	for i := range stays {
		stays[i] = entryOf(fmt.Sprint("stays ", i))
		d.Put(stays[i])
	}
	var readers sync.WaitGroup
	over := make(chan struct{})
	for k := range 2 {
		readers.Go(func() {
			for i := k; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				if e := stays[i%len(stays)]; d.Lookup(e.ID) != e {
					t.Errorf("%s is not found", e.ID)
					return
				}
				id := fmt.Sprint("moves ", i%3000)
				if e := d.Lookup(id); e != nil && e.ID != id {
					t.Errorf("%s is found for %s", e.ID, id)
					return
				}
			}
		})
	}
	for range 3 {
		moves := make([]*Entry, 3000)
		for i := range moves {
			moves[i] = entryOf(fmt.Sprint("moves ", i))
			d.Put(moves[i])
		}
		for _, e := range moves {
			d.Remove(e)
		}
	}
	close(over)
	readers.Wait()
}

func TestDirectory(t *testing.T) {
	d := NewDirectory()
	a, again := NewEntry("a", session.KeyOf("test", "a"), nil), NewEntry("a", session.KeyOf("test", "a"), nil)
	d.Put(a)
	d.Put(NewEntry("", session.KeyOf("test", "b"), nil))
	if d.Lookup("a") != a || d.Lookup("") != nil || d.Lookup("b") != nil {
		t.Error("the directory has something else than was put")
	}
	d.Put(again)
	d.Remove(a)
	if d.Lookup("a") != again {
		t.Error("removing an old entry took the new one")
	}
	d.Remove(again)
	if d.Lookup("a") != nil {
		t.Error("an entry stays")
	}
}
