package directory

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"weak"

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

// What a seat has noted of an entry is never the answer when the entry shows something else.
func TestDirectory_theEntryDecides(t *testing.T) {
	d := NewDirectory()
	find := func(id string, entry *Entry, shown *Snapshot) {
		t.Helper()
		if e, s := d.Find(id); e != entry || s != shown {
			t.Errorf("%s: %p shows %p, want %p and %p", id, e, s, entry, shown)
		}
	}
	first, second := &Snapshot{Phase: Ready}, &Snapshot{Phase: Ended}
	a := NewEntry("a", session.KeyOf("test", "a"), first)
	d.Put(a)
	find("a", a, first)
	d.NoteShown(a, first)
	find("a", a, first)
	for i := range 10 * shards { // the seats are replaced by more
		d.Put(entryOf(fmt.Sprint("others ", i)))
	}
	find("a", a, first)
	a.Publish(second)
	find("a", a, second)
	d.NoteShown(a, nil)
	find("a", a, second)

	other := NewEntry("a", session.KeyOf("test", "a"), first)
	d.NoteShown(a, second)
	d.Put(other)
	find("a", other, first)
	d.NoteShown(a, second) // it is not linked any more
	find("a", other, first)
	d.NoteShown(other, first)
	d.Remove(other)
	find("a", nil, nil)
	d.NoteShown(NewEntry("", session.KeyOf("test", "b"), nil), first)
	find("", nil, nil)
}

// A reader is never shown less than it was shown before, whatever is noted in between.
func TestDirectory_findWhileSnapshotsChange(t *testing.T) {
	d := NewDirectory()
	e := NewEntry("a", session.KeyOf("test", "a"), &Snapshot{Phase: Ready})
	d.Put(e)
	over := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last session.Generation
			for {
				select {
				case <-over:
					return
				default:
				}
				_, s := d.Find("a")
				if s.Generation < last {
					t.Errorf("generation %d is shown after %d", s.Generation, last)
					return
				}
				last = s.Generation
			}
		})
	}
	old := e.Snapshot()
	for g := range session.Generation(30_000) {
		s := &Snapshot{Phase: Ready, Generation: g}
		e.Publish(s)
		switch g % 3 {
		case 0:
			d.NoteShown(e, s)
		case 1:
			d.NoteShown(e, old)
		}
		old = s
	}
	close(over)
	readers.Wait()
}

// The directory keeps no snapshot in memory that its entry does not show any more, once that was noted or the entry is gone.
func TestDirectory_keepsNothing(t *testing.T) {
	for name, forget := range map[string]func(d *Directory, e *Entry){
		"another is noted": func(d *Directory, e *Entry) { d.NoteShown(e, nil) },
		"it is removed":    func(d *Directory, e *Entry) { d.Remove(e) },
		"it is replaced":   func(d *Directory, e *Entry) { d.Put(NewEntry(e.ID, e.Key, nil)) },
	} {
		d := NewDirectory()
		shown := &Snapshot{Phase: Ready}
		e := NewEntry("a", session.KeyOf("test", "a"), shown)
		d.Put(e)
		for i := range 10 * shards {
			d.Put(entryOf(fmt.Sprint("others ", i))) // or its shard would be empty without it
		}
		d.NoteShown(e, shown)
		e.Publish(&Snapshot{Phase: Ended})
		old := weak.Make(shown)
		forget(d, e)
		runtime.GC()
		if old.Value() != nil {
			t.Errorf("%s: the snapshot is kept", name)
		}
		runtime.KeepAlive(d)
	}
}
