package supervisor

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// Slots are a map by key, also where keys begin alike.
func TestSlots_areAMap(t *testing.T) {
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
				s.remove(key)
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
