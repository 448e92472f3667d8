package runner

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

const issuer, otherIssuer = "https://one.example/", "https://two.example/"

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// crowd is sessions that each need one successful request.
type crowd struct {
	clock   *clock.Fake
	a       *Admission
	stats   *directory.Stats
	latency time.Duration
	answer  func(now time.Duration) session.Outcome
	sent    map[int64]int // by second
	done    int
}

func newCrowd(permits, most int, policy session.BreakerPolicy) *crowd {
	c := &crowd{clock: clock.NewFake(epoch), stats: &directory.Stats{}, sent: make(map[int64]int)}
	c.a = NewAdmission(AdmissionConfig{Clock: c.clock, Permits: permits, Waiting: most, Breaker: policy, PaceFrom: PaceFrom, Stats: c.stats})
	return c
}

// ask asks for a permit until a request succeeds, a second after each refusal.
func (c *crowd) ask(to string) {
	granted := func(p actors.Permit, err error) {
		if err != nil {
			c.clock.AfterFunc(time.Second, func() { c.ask(to) })
			return
		}
		c.send(p)
	}
	if p, now := c.a.Permit(to, granted); now {
		c.send(p)
	}
}

func (c *crowd) send(p actors.Permit) {
	c.sent[int64(c.clock.Mono()/time.Second)]++
	o := c.answer(c.clock.Mono())
	after := func() {
		c.a.Release(p, o)
		if o == session.Works {
			c.done++
			return
		}
		c.clock.AfterFunc(time.Second, func() { c.ask(p.Issuer) })
	}
	if c.latency == 0 {
		after()
		return
	}
	c.clock.AfterFunc(c.latency, after)
}

// slowDown has the provider ask for fewer requests.
func (c *crowd) slowDown() {
	for range PaceFrom {
		p, _ := c.a.Permit(issuer, nil)
		c.a.Release(p, session.SlowDown)
	}
}

// A 429 among few requests is about one user, and holds up no other.
func TestPace_ofFewRequests(t *testing.T) {
	c := newCrowd(10, 10, session.BreakerPolicy{})
	for i := range PaceFrom - 1 {
		p, now := c.a.Permit(issuer, nil)
		if !now {
			t.Fatalf("request %d waits", i)
		}
		c.a.Release(p, session.SlowDown)
	}
}

// providers are ways in which a provider allows a hundred requests a second.
var providers = map[string]func() func(time.Duration) session.Outcome{
	"in each second of the clock": func() func(time.Duration) session.Outcome {
		seen := make(map[int64]int)
		return func(now time.Duration) session.Outcome {
			seen[int64(now/time.Second)]++
			return allowed(seen[int64(now/time.Second)] <= 100)
		}
	},
	"in any second": func() func(time.Duration) session.Outcome {
		var last []time.Duration
		return func(now time.Duration) session.Outcome {
			if len(last) == 100 && now-last[0] < time.Second {
				return session.SlowDown
			}
			if last = append(last, now); len(last) > 100 {
				last = last[1:]
			}
			return session.Works
		}
	},
	"by a bucket that fills": func() func(time.Duration) session.Outcome {
		level, at := 100.0, time.Duration(0)
		return func(now time.Duration) session.Outcome {
			level, at = min(100, level+100*(now-at).Seconds()), now
			if level < 1 {
				return session.SlowDown
			}
			level--
			return session.Works
		}
	},
}

func allowed(is bool) session.Outcome {
	if is {
		return session.Works
	}
	return session.SlowDown
}

// Ten thousand sessions whose tokens have expired, at a provider that allows a hundred requests a second: after the first
// second at most 120 a second are sent, and all sessions are done within 110 seconds.
func TestPace_tenThousandSessions(t *testing.T) {
	for name, provider := range providers {
		for _, latency := range []time.Duration{0, 200 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " ", latency), func(t *testing.T) {
				c := newCrowd(768, 100_000, session.BreakerPolicy{})
				c.answer, c.latency = provider(), latency
				for range 10_000 {
					c.ask(issuer)
				}
				c.clock.Advance(110 * time.Second)
				if c.done != 10_000 {
					t.Errorf("%d of 10,000 are done within 110 s", c.done)
				}
				for second, n := range c.sent {
					if second >= 1 && n > 120 {
						t.Errorf("%d requests in second %d, want 120 at most", n, second)
					}
				}
				if n := c.stats.Paced.Load(); n != 0 {
					t.Errorf("%d are said to wait still", n)
				}
			})
		}
	}
}

// A provider that asks for fewer requests holds up no session of another.
func TestPace_holdsUpNoOtherProvider(t *testing.T) {
	c := newCrowd(1, 100_000, session.BreakerPolicy{})
	refused := true
	c.answer = func(time.Duration) session.Outcome { return allowed(!refused) }
	for range 1000 {
		c.ask(issuer)
	}
	refused = false
	if p, now := c.a.Permit(otherIssuer, nil); !now {
		t.Error("the sessions of another provider wait")
	} else {
		c.a.Release(p, session.Works)
	}
	c.clock.Advance(10 * time.Minute)
	if c.done != 1000 {
		t.Errorf("%d of 1,000 are done", c.done)
	}
}

// A bound is not for ever: a provider that has not answered 429 for some minutes gets every request at once again.
func TestPace_endsAfterSomeMinutes(t *testing.T) {
	c := newCrowd(768, 100_000, session.BreakerPolicy{})
	c.slowDown()
	second := 0
	for i := range 100 {
		if p, now := c.a.Permit(issuer, func(p actors.Permit, _ error) { c.a.Release(p, session.Works) }); now {
			c.a.Release(p, session.Works)
			second = i
		}
	}
	if second != 0 {
		t.Errorf("request %d is let through at once", second)
	}
	c.clock.Advance(5 * time.Minute)
	for i := range 100 {
		p, now := c.a.Permit(issuer, nil)
		if !now {
			t.Fatalf("request %d waits", i)
		}
		c.a.Release(p, session.Works)
	}
}

// One request in ten seconds is sent to a provider that does not work, and ten seconds after it works again all are.
func TestBreaker_anHour(t *testing.T) {
	c := newCrowd(768, 100_000, session.BreakerPolicy{Failures: 5, Probe: 10 * time.Second})
	var at []time.Duration
	works := false
	c.answer = func(now time.Duration) session.Outcome {
		at = append(at, now)
		if works {
			return session.Works
		}
		return session.Fails
	}
	const callers = 100 // each asks again after a second
	for range callers {
		c.ask(issuer)
	}
	if n := c.stats.BreakersOpen.Load(); n != 1 {
		t.Errorf("open breakers = %d, want 1", n)
	}
	c.clock.Advance(time.Hour)
	last := time.Duration(0)
	for _, moment := range at {
		if moment >= time.Minute && moment-last < 10*time.Second {
			t.Fatalf("a request at %v, and the one before at %v", moment, last)
		}
		last = moment
	}
	if len(at) < 300 {
		t.Errorf("%d requests in an hour, want one in some ten seconds", len(at))
	}
	works = true
	c.clock.Advance(12 * time.Second) // ten, and the second after which a caller of this test asks again
	if c.done != callers || c.stats.BreakersOpen.Load() != 0 {
		t.Errorf("%d of %d are done, breakers open: %d", c.done, callers, c.stats.BreakersOpen.Load())
	}
}

// What waits for a permit when a breaker opens is refused, without a request. The probe gives its place back where it is not
// sent.
func TestBreaker_refusesWhatWaits(t *testing.T) {
	c := newCrowd(1, 10, session.BreakerPolicy{Failures: 1, Probe: 10 * time.Second})
	p, _ := c.a.Permit(issuer, nil)
	var got []error
	note := func(_ actors.Permit, err error) { got = append(got, err) }
	c.a.Permit(issuer, note)
	c.a.Permit(issuer, note)
	c.a.Release(p, session.Fails)
	var open *session.BreakerOpenError
	if len(got) != 2 || !errors.As(got[0], &open) || !errors.As(got[1], &open) {
		t.Fatalf("those who wait got %v, want that the breaker is open", got)
	}
	if want := epoch.Add(10 * time.Second); open.Issuer != issuer || !open.Until.Equal(want) {
		t.Errorf("open: %v until %v, want %v", open.Issuer, open.Until, want)
	}
	c.clock.Advance(10 * time.Second)
	probe, now := c.a.Permit(issuer, nil)
	if !now || !probe.Probe {
		t.Fatal("no probe is let through after the interval")
	}
	if c.a.Permit(issuer, note); len(got) != 3 {
		t.Fatal("a second request is let through beside the probe")
	}
	c.a.Release(probe, session.NoOutcome)
	probe, now = c.a.Permit(issuer, nil)
	if !now || !probe.Probe {
		t.Fatal("the place of a probe that was not sent is not given back")
	}
	c.a.Release(probe, session.Works)
	if p, now := c.a.Permit(issuer, nil); !now || p.Probe {
		t.Error("the breaker is open after a success")
	}
}

// A failure of a request that was sent before the breaker closed opens it no more.
func TestBreaker_lateFailure(t *testing.T) {
	c := newCrowd(10, 10, session.BreakerPolicy{Failures: 1, Probe: 10 * time.Second})
	late, _ := c.a.Permit(issuer, nil)
	p, _ := c.a.Permit(issuer, nil)
	c.a.Release(p, session.Fails)
	c.clock.Advance(10 * time.Second)
	probe, _ := c.a.Permit(issuer, nil)
	c.a.Release(probe, session.Works)
	c.a.Release(late, session.Fails)
	if _, now := c.a.Permit(issuer, nil); !now {
		t.Error("the breaker opened for a request of before it closed")
	}
}

func TestAdmission_close(t *testing.T) {
	c := newCrowd(1, 10, session.BreakerPolicy{})
	c.slowDown()
	var got []error
	note := func(_ actors.Permit, err error) { got = append(got, err) }
	c.a.Permit(issuer, note) // waits for the pace
	c.a.Permit(otherIssuer, nil)
	c.a.Permit(otherIssuer, note) // waits for a permit
	c.a.Close()
	c.a.Permit(issuer, note)
	if len(got) != 3 {
		t.Fatalf("answered %v, want three", got)
	}
	for _, err := range got {
		if !errors.Is(err, session.ErrClosed) {
			t.Errorf("got %v, want that the client is closed", err)
		}
	}
}

// A permit that is given back while another request begins to wait for one: for the race detector.
func TestPermit_givenBackWhileOneIsAskedFor(t *testing.T) {
	a := newCrowd(1, 100, session.BreakerPolicy{}).a
	for range 2000 {
		held, now := a.Permit(issuer, nil)
		if !now {
			t.Fatal("the permit was not given back")
		}
		var wg sync.WaitGroup
		wg.Go(func() { a.Release(held, session.Works) })
		granted := make(chan actors.Permit, 1)
		if p, now := a.Permit(issuer, func(p actors.Permit, _ error) { granted <- p }); now {
			granted <- p
		}
		wg.Wait()
		a.Release(<-granted, session.Works)
	}
}
