package observe_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/observe"
)

type key struct{}

func TestAll_nestsPairs(t *testing.T) {
	var seen []string
	named := func(name string) observe.Observer {
		return observe.Observer{
			Flight: func(ctx context.Context, _ observe.Flight) (context.Context, func(observe.FlightEnd)) {
				seen = append(seen, fmt.Sprint(name, " in ", ctx.Value(key{})))
				return context.WithValue(ctx, key{}, name), func(e observe.FlightEnd) { seen = append(seen, name+" "+e.Outcome) }
			},
			Ended: func(e observe.Ended) { seen = append(seen, name+" "+e.Reason) },
		}
	}
	all := observe.All(named("a"), observe.Observer{}, named("b"))
	ctx, end := all.Flight(t.Context(), observe.Flight{})
	if ctx.Value(key{}) != "b" {
		t.Errorf("the context is of %v", ctx.Value(key{}))
	}
	end(observe.FlightEnd{Outcome: observe.Refreshed})
	all.Ended(observe.Ended{Reason: "logout"})
	want := []string{"a in <nil>", "b in a", "b refreshed", "a refreshed", "a logout", "b logout"}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
	if all.Store != nil || observe.All().Call != nil {
		t.Error("there are funcs that tell none")
	}
}

// What a host can count by itself, without a library: flights by outcome, and the slowest.
func ExampleObserver() {
	flights := map[string]int{}
	var slowest time.Duration
	o := observe.Observer{
		Flight: func(context.Context, observe.Flight) (context.Context, func(observe.FlightEnd)) {
			return nil, func(e observe.FlightEnd) { // a client calls it from many goroutines: lock
				flights[e.Outcome]++
				slowest = max(slowest, e.Queued+e.Asked)
			}
		},
	}
	// tokenward.New(config, tokenward.WithObserver(o))

	_, end := o.Flight(context.Background(), observe.Flight{Kind: observe.Refresh})
	end(observe.FlightEnd{Outcome: observe.Refreshed, Asked: 80 * time.Millisecond})
	fmt.Println(flights, slowest)
	// Output: map[refreshed:1] 80ms
}
