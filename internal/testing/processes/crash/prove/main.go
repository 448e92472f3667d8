// Command prove kills servers of tokenward, and the stores under them, at seeded moments, and
// prints what became of their sessions. It exits 1 at the first round in which something is
// wrong, and says how to repeat it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/testing/processes/crash"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

func main() {
	if crash.IsChild() {
		os.Exit(crash.Serve())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags.
type settings struct {
	kills, sessions int
	seed            uint64
	store, overlap  string
	server          bool
}

// overlap is what the provider grants where the flag does not say.
const overlap = 30 * time.Second

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	flags := flag.NewFlagSet("prove", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&s.kills, "n", 1000, "kills of children within the overlap, over all stores; a quarter more without one, and a few of servers")
	flags.Uint64Var(&s.seed, "seed", 1, "of the first round of each campaign")
	flags.StringVar(&s.store, "store", "", "bolt, redis or postgres; empty: all")
	flags.StringVar(&s.overlap, "overlap", "", "that the provider grants: 30s or 0s; empty: both")
	flags.BoolVar(&s.server, "server", false, "kill servers only")
	flags.IntVar(&s.sessions, "sessions", 200, "sessions of each child")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	kinds := crash.Kinds
	if s.store != "" {
		kinds = []crash.Kind{crash.Kind(s.store)}
	}
	var results []crash.Result
	failed := false
	for _, kind := range kinds {
		err := prove(ctx, kind, s, len(kinds) == 1, func(r crash.Result) { results = append(results, r) }, stderr)
		if missing := (*servers.MissingError)(nil); errors.As(err, &missing) {
			fmt.Fprintln(stderr, missing)
		} else if err != nil {
			failed = true
			fmt.Fprintln(stderr, "FAILED:", err)
		}
	}
	if err := crash.WriteTable(stdout, results); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if failed {
		return 1
	}
	return 0
}

// prove runs the campaigns of one kind of store.
func prove(ctx context.Context, kind crash.Kind, s settings, alone bool, done func(crash.Result), stderr io.Writer) error {
	overlaps := []time.Duration{overlap, 0}
	if s.overlap != "" {
		d, err := time.ParseDuration(s.overlap)
		if err != nil {
			return err
		}
		overlaps = []time.Duration{d}
	}
	place, err := crash.NewPlace(kind)
	if err != nil {
		return err
	}
	defer place.Close()
	most := s.kills
	if !alone {
		most = shareOf(kind, s.kills)
	}
	plan := crash.Plan{Seed: s.seed, Sessions: s.sessions, NewFor: 4}
	plan.Informed = func(r crash.Result) {
		if r.Rounds%20 == 0 {
			fmt.Fprintf(stderr, "%s: %d kills of %d, %d in the window, %d lost\n", r.Kind, r.Kills, plan.Kills, r.Window, r.Lost)
		}
	}
	for _, o := range overlaps {
		if s.server {
			break
		}
		plan.Kills, plan.Overlap = most, o
		if o != overlaps[0] {
			plan.Kills = quarter(most)
		}
		r, err := crash.Campaign(ctx, place, plan)
		done(r)
		if err != nil {
			return err
		}
	}
	if kind == crash.Bolt || s.overlap != "" && !s.server {
		return nil
	}
	plan.Kills = most
	if !s.server {
		plan.Kills = (most + 14) / 15
	}
	r, err := crash.Outages(ctx, place, plan)
	done(r)
	return err
}

func quarter(n int) int { return (n + 3) / 4 }

// shareOf divides n kills over the stores: four, three and three tenths.
func shareOf(kind crash.Kind, n int) int {
	rest := n * 3 / 10
	if i := slices.Index(crash.Kinds, kind); i > 0 {
		return rest
	}
	return n - 2*rest
}
