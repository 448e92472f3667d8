package store

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

// An ordered set is what a sorted slice is.
func TestOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o ordered[*place]
		var model []*place
		draw := func(t *rapid.T) *place {
			return &place{
				at:  rapid.Int64Range(-2, 5).Draw(t, "at"),
				key: session.Key{rapid.Byte().Draw(t, "key") % 4},
			}
		}
		find := func(p *place) (int, bool) { return slices.BinarySearchFunc(model, p, (*place).compare) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				p := draw(t)
				if i, ok := find(p); !ok {
					o.add(p)
					model = slices.Insert(model, i, p)
				}
			},
			"remove": func(t *rapid.T) {
				p := draw(t)
				o.remove(p)
				if i, ok := find(p); ok {
					model = slices.Delete(model, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				p := draw(t)
				i, _ := find(p)
				if got := slices.Collect(o.from(p)); !slices.Equal(got, model[i:]) {
					t.Fatalf("from %v = %v, want %v", p, got, model[i:])
				}
				first, ok := o.first()
				if ok != (len(model) > 0) || ok && first != model[0] {
					t.Fatalf("first = %v, %v, want that of %v", first, ok, model)
				}
			},
		})
	})
}
