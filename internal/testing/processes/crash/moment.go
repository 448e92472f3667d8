package crash

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// moment is when a child is killed.
type moment string

// The moments. Those of the provider are counted where the request is served, those of
// the store in the child, which waits there until it is killed.
const (
	arrived  moment = "request arrived" // and the provider does nothing about it
	late     moment = "request delayed" // the provider acts on it after the next process's
	granted  moment = "granted"         // the refresh token is rotated, nothing is answered
	answered moment = "answered"        // the answer has left the provider

	leased   moment = "leased"   // the lease is taken
	intended moment = "intended" // the intent is written, the request not sent
	saving   moment = "saving"   // the answer is in hand, its save not sent
	saved    moment = "saved"    // the store has acknowledged the save, which nobody was told

	anytime moment = "any time" // after some microseconds
)

// trap is a moment, and how often it passes until then.
type trap struct {
	At    moment
	Count int           // the n-th, from 1
	After time.Duration // any time: since the load began
}

func (t trap) String() string {
	if t.At == anytime {
		return fmt.Sprintf("%v after the load began", t.After)
	}
	return fmt.Sprintf("at %q number %d", t.At, t.Count)
}

// atProvider reports whether the provider counts it.
func (m moment) atProvider() bool {
	return m == arrived || m == late || m == granted || m == answered
}

// inChild reports whether the child counts it.
func (m moment) inChild() bool {
	return m == leased || m == intended || m == saving || m == saved
}

// moments returns which ones there are for a kind of store, those between the rotation and
// the save more often than the others.
func moments(kind Kind, overlap bool) []moment {
	all := []moment{anytime, granted, saving, answered, intended, saved, arrived, anytime, granted, saving, answered, anytime}
	if kind.shared() {
		all = append(all, leased)
	}
	if overlap {
		all = append(all, late)
	}
	return all
}

// drawTrap draws how often the n-th of the moments passes: most counts are small.
func drawTrap(random *rand.Rand, all []moment, n uint64, most int) trap {
	t := trap{At: all[n%uint64(len(all))], Count: 1 + random.IntN(1+random.IntN(most))}
	if t.At == anytime {
		t.Count, t.After = 0, time.Duration(random.IntN(60_000))*time.Microsecond
	}
	return t
}
