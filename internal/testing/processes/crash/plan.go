package crash

import (
	"fmt"
	"time"
)

// Plan says what a campaign does.
type Plan struct {
	Kills    int           // at least; a round may kill twice
	Seed     uint64        // of the first round; the next has the next
	Sessions int           // 0: 64
	Overlap  time.Duration // for which the provider takes a refresh token once more after its rotation
	Fault    Fault         // of the store, for tests of this package

	// NewFor n has one in n of the sessions for which nothing was under way asked for a new
	// token after each kill; all others are. Every session is asked for one it had. 0: 1.
	NewFor int

	// Informed, if not nil, is called after each round.
	Informed func(Result)
}

// Result is what a campaign saw.
type Result struct {
	Kind      Kind
	Server    bool // it was the store's server that was killed; else the child
	Overlap   time.Duration
	Rounds    int
	Kills     int
	Both      int // of those the ones in which the store's server died with the child
	InFlight  int // sessions whose callers had no answer when the child was killed
	Window    int // sessions killed between rotation and save
	Recovered int // of those the ones that went on
	Lost      int // of those the ones that did not
	Informed  int // lost ones whose caller was told
	Again     int // rotated refresh tokens that were presented once more
	Reuses    int // of those the ones in which the provider saw a reuse
	Took      time.Duration
}

// RoundError lists the violations of a round, and says how to repeat it.
type RoundError struct {
	Kind    Kind
	Server  bool
	Overlap time.Duration
	Seed    uint64
	What    string // the round: its moments
	Wrong   []string
	Err     error  // what kept it from going on, if anything did
	Said    string // by the children, on their standard error
}

// Error implements error.
func (e *RoundError) Error() string {
	what := fmt.Sprintf("OVERLAP=%v", e.Overlap)
	if e.Server {
		what = "SERVER=1"
	}
	text := fmt.Sprintf("%s %s SEED=%d: %s", e.Kind, what, e.Seed, e.What)
	for _, w := range e.Wrong {
		text += "\n\t" + w
	}
	if e.Err != nil {
		text += "\n\t" + e.Err.Error()
	}
	text += fmt.Sprintf("\nagain: make crash STORE=%s %s N=1 SEED=%d", e.Kind, what, e.Seed)
	if e.Said != "" {
		text += "\nthe child said:\n" + e.Said
	}
	return text
}

// Unwrap returns what kept the round from going on.
func (e *RoundError) Unwrap() error { return e.Err }

func (p Plan) orDefaults() Plan {
	if p.Sessions == 0 {
		p.Sessions = 64
	}
	p.NewFor = max(1, p.NewFor)
	return p
}
