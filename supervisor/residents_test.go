package supervisor

import (
	"maps"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// The residents are a map by key, also where keys begin alike.
func TestResidents_areAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := newResidents(), make(map[session.Key]*resident)
		draw := func(t *rapid.T) session.Key {
			return session.Key{0: byte(rapid.IntRange(0, 1).Draw(t, "head")), 31: byte(rapid.IntRange(0, 3).Draw(t, "tail"))}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				sl := &resident{}
				sl.entry.Key = draw(t)
				s.put(sl)
				model[sl.entry.Key] = sl
			},
			"remove": func(t *rapid.T) {
				key := draw(t)
				if sl := model[key]; sl != nil {
					s.remove(sl)
				}
				s.remove(&resident{entry: directory.Entry{Key: key}}) // another one of that key, which is not in
				delete(model, key)
			},
			"": func(t *rapid.T) {
				for head := range byte(2) {
					for tail := range byte(4) {
						key := session.Key{0: head, 31: tail}
						if s.get(key) != model[key] {
							t.Fatalf("%v is found as %p, want %p", key, s.get(key), model[key])
						}
					}
				}
				all := slices.Collect(s.all())
				if s.len() != len(model) || len(all) != len(model) {
					t.Fatalf("there are %d, and %d are listed, want %d", s.len(), len(all), len(model))
				}
				for sl := range maps.Values(model) {
					if !slices.Contains(all, sl) {
						t.Fatal("one is not listed")
					}
				}
			},
		})
	})
}

// A hit reads one cache line of an entry, and one of its snapshot: each begins at one, for the allocator places sizes that are a multiple of
// 64 bytes so.
func TestResident_isCacheLines(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("of machines with words of eight bytes")
	}
	if size := unsafe.Sizeof(resident{}); size != 192 || unsafe.Offsetof(resident{}.entry) != 0 {
		t.Errorf("a resident is %d bytes, want 192, its entry first", size)
	}
	if at := unsafe.Offsetof(directory.Entry{}.Key); at != 64 {
		t.Errorf("what a hit reads of an entry is %d bytes, want 64", at)
	}
	if size := unsafe.Sizeof(directory.Snapshot{}); size != 128 {
		t.Errorf("a snapshot is %d bytes, want 128", size)
	}
	if at := unsafe.Offsetof(directory.Snapshot{}.Tokens); at != 24 { // of which a hit reads 40 bytes
		t.Errorf("what a hit reads of a snapshot before its tokens is %d bytes, want 24", at)
	}
}
