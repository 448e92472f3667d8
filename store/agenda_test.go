package store

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// An agenda is what a slice is that is sorted by second and key.
func TestAgenda(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := agenda{of: ceilingSeat}
		entries := make([]*entry, 16)
		for i := range entries {
			entries[i] = &entry{key: session.Key{byte(i)}}
		}
		seconds := make(map[*entry]int64)
		model := func(from int64, key session.Key) (list []*entry) {
			for e, second := range seconds {
				if second > from || second == from && bytes.Compare(e.key[:], key[:]) >= 0 {
					list = append(list, e)
				}
			}
			slices.SortFunc(list, func(x, y *entry) int {
				return cmp.Or(cmp.Compare(seconds[x], seconds[y]), bytes.Compare(x.key[:], y.key[:]))
			})
			return list
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := rapid.SampledFrom(entries).Draw(t, "entry")
				if _, in := seconds[e]; !in {
					seconds[e] = rapid.Int64Range(-2, 2).Draw(t, "second")
					a.add(e, seconds[e])
				}
			},
			"remove": func(t *rapid.T) {
				e := rapid.SampledFrom(entries).Draw(t, "entry")
				a.remove(e)
				delete(seconds, e)
			},
			"from": func(t *rapid.T) {
				from, key := rapid.Int64Range(-3, 3).Draw(t, "from"), session.Key{byte(rapid.IntRange(0, 16).Draw(t, "key"))}
				var got []*entry
				for second, e := range a.from(from, key) {
					if second != seconds[e] {
						t.Fatalf("%v is in second %d, want %d", e.key, second, seconds[e])
					}
					got = append(got, e)
				}
				if want := model(from, key); !slices.Equal(got, want) {
					t.Fatalf("%d entries from %d on, want %d, or they are in another order", len(got), from, len(want))
				}
			},
			"": func(t *rapid.T) {
				if a.len() != len(seconds) {
					t.Fatalf("%d entries, want %d", a.len(), len(seconds))
				}
				first, second := a.first()
				if all := model(-3, session.Key{}); len(all) == 0 && first != nil || len(all) > 0 && (seconds[first] != second || second != seconds[all[0]]) {
					t.Fatalf("first is of second %d", second)
				}
			},
		})
	})
}
