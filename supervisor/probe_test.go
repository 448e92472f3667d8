package supervisor

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// hooked is a clock that lets the test do something at its n-th reading.
type hooked struct {
	*clock.Fake
	n    int
	hook func()
}

func (h *hooked) Now() time.Time {
	if h.n--; h.n == 0 {
		h.hook()
	}
	return h.Fake.Now()
}

// During an outage one caller probes, and everybody else is served
// from memory, he too who comes just as the probe begins.
func TestLook_nobodyIsRefusedWhileSomebodyProbes(t *testing.T) {
	fake := clock.NewFake(t0)
	h := &hooked{Fake: fake}
	fresh := &messages.Freshness{}
	c := &Callers{
		Dir: NewDirectory(), Clock: h, Name: "x", Send: nil,
		Trust: Trust{Fresh: fresh, Tally: &messages.Tally{}, Shared: true, Age: 30 * time.Second, Outage: 5 * time.Minute, Probe: 5 * time.Second},
	}
	e := messages.NewEntry("id", session.KeyOf("x", "id"), &messages.Snapshot{Phase: messages.Ready, State: &session.State{}})
	e.Read(0, t0)
	c.Dir.put(e)
	fake.Advance(time.Minute)                  // older than the snapshot age, younger than the outage limit
	fresh.Failed(fake.Now().Add(-time.Second)) // the store did not answer, and may be asked again now
	h.n = 2                                    // between "is it down?" and "may I ask?"
	h.hook = func() { fresh.Probe(fake.Now(), 6*time.Second) }
	l := Look{Caller: Caller{Ctx: context.Background(), ID: "id"}}
	if _, more := l.Step(c, Came{}); more || l.Err != nil {
		t.Errorf("more = %v, err = %v, want the session as it is known", more, l.Err)
	}
}
