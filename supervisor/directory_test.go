package supervisor

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

func entryOf(id string) *messages.Entry {
	return messages.NewEntry(id, session.Key{}, &messages.Snapshot{})
}

// A directory says what a map would say, however many came and went.
func TestDirectory_isAMap(t *testing.T) {
	d, want := NewDirectory(), make(map[string]*messages.Entry)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		id := fmt.Sprint("session ", r.IntN(3000))
		switch r.IntN(4) {
		case 0, 1:
			e := entryOf(id)
			d.put(e)
			want[id] = e
		case 2:
			if e := want[id]; e != nil {
				d.remove(e)
				delete(want, id)
			}
		case 3:
			d.remove(entryOf(id)) // another one
		}
		if id = fmt.Sprint("session ", r.IntN(3000)); d.Lookup(id) != want[id] {
			t.Fatalf("%s: %p, want %p", id, d.Lookup(id), want[id])
		}
	}
	for _, e := range want {
		d.remove(e)
	}
	for i := range d.shards {
		if sh := &d.shards[i]; sh.seats.Load() != nil || sh.used != 0 || sh.live != 0 {
			t.Fatalf("an empty shard has %d used seats, %d entries", sh.used, sh.live)
		}
	}
}

// Whoever looks while others come and go finds what stays, and never somebody else.
func TestDirectory_whileItChanges(t *testing.T) {
	d := NewDirectory()
	stays := make([]*messages.Entry, 500)
	for i := range stays {
		stays[i] = entryOf(fmt.Sprint("stays ", i))
		d.put(stays[i])
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
		moves := make([]*messages.Entry, 3000)
		for i := range moves {
			moves[i] = entryOf(fmt.Sprint("moves ", i))
			d.put(moves[i])
		}
		for _, e := range moves {
			d.remove(e)
		}
	}
	close(over)
	readers.Wait()
}
