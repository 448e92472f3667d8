package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// restless is how long everything may take to come to rest.
const restless = time.Minute

// rest ends every session and waits until nothing is left of any: until the figures are
// not above before, or, where there is no before, do not change any more.
func (s *soak) rest(ctx context.Context, before *figures) (now figures, err error) {
	ctx, cancel := clock.WithTimeout(ctx, clock.System(), restless)
	defer cancel()
	last := figures{}
	for {
		if err = s.endAll(ctx); err == nil {
			s.transport.CloseIdleConnections()
			now = s.measure()
			err = now.resting()
		}
		switch {
		case err != nil:
		case before != nil:
			err = now.grew(*before)
		case now.goroutines != last.goroutines || now.files != last.files:
			err = errors.New("soak: the figures still change")
		}
		if err == nil || ctx.Err() != nil {
			return now, err
		}
		last = now
		s.pause(ctx, 100*time.Millisecond)
	}
}

// endAll logs out of every session, and waits until that is done.
func (s *soak) endAll(ctx context.Context) error {
	for _, at := range s.places {
		o, end := at.options()
		_, err := s.client.Logout(ctx, tokenward.LogoutRequest{}, o)
		end()
		if err != nil {
			return err
		}
	}
	return s.client.Settle(ctx)
}

// counts counts calls, by what they were and how they ended.
type counts struct {
	mu    sync.Mutex
	calls map[string]map[string]int
	bad   map[string]int // ends that no call may have
}

func (t *counts) add(what string, err error, impatient bool) {
	end := string(tokenward.CodeOf(err))
	switch {
	case err == nil:
		end = "well"
	case end == "" && impatient && errors.Is(err, context.DeadlineExceeded):
		end = "gave up"
	case end == "" || errors.Is(err, tokenward.ErrInternal) || errors.Is(err, tokenward.ErrClosed):
		end = fmt.Sprintf("%s (%T)", err, err)
		t.note(&t.bad, what+": "+end)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		t.calls = make(map[string]map[string]int)
	}
	if t.calls[what] == nil {
		t.calls[what] = make(map[string]int)
	}
	t.calls[what][end]++
}

func (t *counts) note(in *map[string]int, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if *in == nil {
		*in = make(map[string]int)
	}
	(*in)[what]++
}

// total returns how many calls there were, of these kinds or of all.
func (t *counts) total(kinds ...string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind, ends := range t.calls {
		if len(kinds) > 0 && !slices.Contains(kinds, kind) {
			continue
		}
		for _, count := range ends {
			n += count
		}
	}
	return n
}

// verdict says which calls ended as none may.
func (t *counts) verdict() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for what, n := range t.bad {
		err = errors.Join(err, fmt.Errorf("soak: %d × %s", n, what))
	}
	return err
}

// report prints the calls, and the memory and goroutines of the process before and after.
func (s *soak) report(before, after figures, calls int) {
	w := tabwriter.NewWriter(s.cfg.Out, 0, 0, 2, ' ', 0)
	defer func() { _ = w.Flush() }()
	fmt.Fprintf(w, "store %s, %v, %d places, %d workers, seed %d: %d calls\n", s.cfg.Store, s.cfg.Duration, s.cfg.Sessions, s.cfg.Workers, s.cfg.Seed, calls)
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(s.counts.calls)) {
		ends := s.counts.calls[what]
		for _, end := range slices.Sorted(maps.Keys(ends)) {
			fmt.Fprintf(w, "  %s\t%s\t%d\n", what, end, ends[end])
		}
	}
	st := s.client.Stats()
	fmt.Fprintf(w, "requests that spent a refresh token\t\t%d\n", st.TokenFlights)
	fmt.Fprintf(w, "loads, failed saves, ceilings\t\t%d, %d, %d\n", st.Loads, st.SaveErrors, st.Ceilings)
	fmt.Fprintf(w, "at rest\tbefore\tafter\n")
	fmt.Fprintf(w, "heap, KiB\t%d\t%d\n", before.heap>>10, after.heap>>10)
	fmt.Fprintf(w, "goroutines\t%d\t%d\n", before.goroutines, after.goroutines)
	fmt.Fprintf(w, "timers\t%d\t%d\n", before.timers, after.timers)
	fmt.Fprintf(w, "open files\t%d\t%d\n", before.files, after.files)
}
