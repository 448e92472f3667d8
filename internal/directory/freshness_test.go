package directory

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
)

// Nothing gets fresh, and no store is left alone, by a clock that is set back.
func TestFreshness_ofAClockThatIsSetBack(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	e, f := NewEntry("id", session.Key{}, &Snapshot{}), &Freshness{}
	e.Read(0, now)
	back := now.Add(-10 * time.Minute)
	if e.Fresh(f, back.Add(5*time.Minute), 30*time.Second) {
		t.Error("five minutes after the clock was set back by ten, what was read before that still counts as fresh")
	}
	f.Failed(now.Add(time.Second))
	if at := back.Add(5 * time.Minute); f.Down(at, 6*time.Second) || !f.Probe(at, 6*time.Second) {
		t.Error("nobody may ask the store, which was to be left alone for a second")
	}
	f.Unsettled(now.Add(11 * time.Second))
	if got := f.Settled(now, 20*time.Second); got != 11*time.Second {
		t.Errorf("unsettled for %v, want 11s", got)
	}
	if got := f.Settled(back, 20*time.Second); got != 0 {
		t.Errorf("unsettled for %v, and the clock was set back since", got)
	}
}
