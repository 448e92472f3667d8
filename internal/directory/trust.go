package directory

import "time"

// Trust says how far what this process shows of a session may be behind a store to which
// other processes write.
type Trust struct {
	Fresh  *Freshness
	Stats  *Stats
	Shared bool          // others do write
	Age    time.Duration // where their writes are not told: a session is read again after that
	Outage time.Duration // served while the store does not answer, since it was read last
	Probe  time.Duration // how long one attempt to ask it may take
}

// AskAgain is how long a store that did not answer is left alone.
const AskAgain = time.Second

// Rest is for how long the store is not asked at most, from the beginning of an attempt on.
func (t *Trust) Rest() time.Duration { return t.Probe + AskAgain }

// Trusted reports whether what e shows may be handed out without asking the store.
func (t *Trust) Trusted(e *Entry, now time.Time) bool {
	if !t.Shared || e.Fresh(t.Fresh, now, t.Age) {
		return true
	}
	if !t.Fresh.Down(now, t.Rest()) || e.Age(now) >= t.Outage {
		return false
	}
	t.Stats.Stale.Add(1)
	return true
}
