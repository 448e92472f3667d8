package tour

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Stop is one stop of the tour.
type Stop struct {
	Name string
	// Play puts the load on both clients. Its error says that it could not be played
	// to the end, which counts as broken.
	Play func(ctx context.Context) (Row, error)
}

// Row is what one stop found out.
type Row struct {
	Promise string   // its number in the design, and what it says
	Done    string   // the load
	Library string   // what was measured
	Plain   string   // what the plain client did with the same load
	Broken  []string // what was not as promised; empty when it held
}

// want notes that the promise is broken unless got is what it says.
func want[T comparable](r *Row, what string, got, promised T) {
	if got != promised {
		r.Broken = append(r.Broken, fmt.Sprintf("%s = %v, promised %v", what, got, promised))
	}
}

// Size says how large the loads are.
type Size struct {
	Callers []int // of the stops with a burst, one stop for each
	Runs    int   // of each burst; the best time is told
}

// Full is the size of the tour as the demo plays it.
var Full = Size{Callers: []int{1, 100, 10_000}, Runs: 3}

// Stops returns the stops of the tour in order.
func Stops(size Size) []Stop {
	var stops []Stop
	for _, n := range size.Callers {
		stops = append(stops, Stop{
			Name: fmt.Sprintf("%s on an expired token", callers(n)),
			Play: func(ctx context.Context) (Row, error) { return playBurst(ctx, n, size.Runs) },
		})
	}
	return append(stops,
		Stop{"5 audiences under rotation with reuse detection", func(ctx context.Context) (Row, error) {
			return playAudiences(ctx, size.Runs)
		}},
		Stop{"two accounts of one connection", playConnections},
		Stop{"the first caller goes away", playCancelled},
		Stop{"the provider answers 503", playUnavailable},
		Stop{"a logout during a refresh", playLogout},
		Stop{"the ceiling, with nobody asking", playCeiling},
		Stop{"a store that fails after a rotation", playFailingStore},
	)
}

// stopTimeout bounds a stop, so that a caller who is never answered is a broken
// promise and no tour without end.
const stopTimeout = 30 * time.Second

// Play plays the stops one after the other and writes the table to w. It reports
// whether every promise held.
func Play(ctx context.Context, w io.Writer, stops []Stop) bool {
	begin := time.Now()
	var rows []Row
	for i, s := range stops {
		fmt.Fprintf(w, "%2d of %d  %s\n", i+1, len(stops), s.Name)
		row := play(ctx, s)
		if ctx.Err() != nil {
			fmt.Fprintln(w, "interrupted") // which says nothing about that stop's promise
			break
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(w)
	writeTable(w, rows)
	held := 0
	for _, r := range rows {
		if len(r.Broken) == 0 {
			held++
		}
		for _, b := range r.Broken {
			fmt.Fprintf(w, "broken: %s: %s\n", r.Promise, b)
		}
	}
	fmt.Fprintf(w, "%d of %d held, in %.1f s.\n", held, len(stops), time.Since(begin).Seconds())
	return held == len(stops)
}

func play(ctx context.Context, s Stop) Row {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	r, err := s.Play(ctx)
	if r.Promise == "" {
		r.Promise = s.Name
	}
	if err != nil {
		r.Broken = append(r.Broken, "not played to the end: "+err.Error())
	}
	return r
}

func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return thousands(n) + " callers"
}
