package supervisor

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Deadlines behave like a list sorted by second, whatever is added, cancelled, added twice
// and taken.
func TestDeadlines_likeASortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := newWheel(deadlineOf)
		all := make([]*timer, 8)
		for i := range all {
			all[i] = &timer{}
		}
		model := make(map[*timer]int64)
		earliest := func() (second int64, ok bool) {
			for _, s := range model {
				if !ok || s < second {
					second, ok = s, true
				}
			}
			return second, ok
		}
		one := rapid.SampledFrom(all)
		second := rapid.Int64Range(-3, 6)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				d, s := one.Draw(t, "deadline"), second.Draw(t, "second")
				ds.add(d, s)
				model[d] = s
			},
			"cancel": func(t *rapid.T) {
				d := one.Draw(t, "deadline")
				ds.cancel(d)
				delete(model, d)
			},
			"take": func(t *rapid.T) {
				now := second.Draw(t, "now")
				first, ok := earliest()
				d, _ := ds.take(now)
				switch {
				case !ok || first > now:
					if d != nil {
						t.Fatalf("took a deadline of %d at %d, want none", d.second, now)
					}
				case d == nil || model[d] != first:
					t.Fatalf("took %v at %d, want one of %d", d, now, first)
				}
				delete(model, d)
			},
			"compact": func(*rapid.T) {
				ds.empty += 1000
				ds.compact()
				ds.empty = 0
				for _, b := range ds.buckets {
					if len(b) == 0 {
						ds.empty++
					}
				}
			},
			"": func(t *rapid.T) {
				got, ok := ds.next()
				want, some := earliest()
				if got != want || ok != some {
					t.Fatalf("next = %d, %v, want %d, %v", got, ok, want, some)
				}
				empty := 0
				for second, b := range ds.buckets {
					if len(b) == 0 {
						empty++
					}
					for i, d := range b {
						if int(d.place) != i+1 || model[d] != second {
							t.Fatalf("a deadline at %d of %d has place %d, and is for %d", i, second, d.place, model[d])
						}
					}
				}
				if empty != ds.empty || len(ds.seconds) != len(ds.buckets) {
					t.Fatalf("empty = %d, want %d; seconds %d, buckets %d", ds.empty, empty, len(ds.seconds), len(ds.buckets))
				}
			},
		})
	})
}

// Sessions that come and go, each with a ceiling far away, leave nothing behind.
func TestDeadlines_forgetWhatWasCancelled(t *testing.T) {
	ds := newWheel(deadlineOf)
	for i := range int64(100_000) {
		d := &timer{}
		ds.add(d, 1_000_000+i)
		ds.cancel(d)
	}
	if n := len(ds.buckets) + len(ds.seconds); n > 3000 {
		t.Errorf("buckets and seconds that are kept = %d", n)
	}
}

func TestDeadlines_cancelNothing(t *testing.T) {
	ds := newWheel(deadlineOf)
	ds.cancel(&timer{})
	ds.add(&timer{}, 1)
	ds.cancel(&timer{deadline: deadline{second: 1}})
	if _, ok := ds.next(); !ok {
		t.Error("a deadline in no bucket cancelled another")
	}
	if !slices.IsSorted(ds.seconds) {
		t.Error("the seconds are no heap")
	}
}
