package lookup

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// While the store is down one caller at a time finds out whether it answers again. A caller who
// decides to do so in the same moment is served from memory, up to the outage limit.
func TestLook_whileAnotherCallerBeginsToAsk(t *testing.T) {
	const outage = 5 * time.Minute
	t0 := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	for age, served := range map[time.Duration]bool{outage - 1: true, outage: false} {
		fake := clock.NewFake(t0)
		c := &Lookup{Directory: directory.NewDirectory(), Name: "test", Fresh: &directory.Freshness{
			Stats: &directory.Stats{}, Shared: true, Age: 30 * time.Second, Outage: outage, Attempt: 5 * time.Second,
		}}
		e := directory.NewEntry("a", session.KeyOf("test", "a"), directory.NewReady(1, session.Incarnation{}, &session.State{}))
		e.Read(c.Fresh.Reading(fake.Mono()))
		fake.Advance(age - time.Second)
		c.Fresh.Failed(fake.Mono())
		fake.Advance(time.Second)
		c.Clock = &interrupted{Clock: fake, then: func() { c.Fresh.MayAsk(fake.Mono()) }}
		c.Directory.Put(e)

		c.Await = func(context.Context, Wait) Event {
			t.Errorf("read %v ago: the call waits", age)
			return Event{Kind: Stopped}
		}
		if _, err := c.Look(t.Context(), "a", store.Options{}); (err == nil) != served {
			t.Errorf("read %v ago: err = %v, want served: %v", age, err, served)
		}
	}
}

// interrupted has something happen between the first look at the clock and the second.
type interrupted struct {
	clock.Clock
	looks int
	then  func()
}

func (m *interrupted) Mono() time.Duration {
	if m.looks++; m.looks == 2 {
		m.then()
	}
	return m.Clock.Mono()
}
