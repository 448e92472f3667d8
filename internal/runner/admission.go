package runner

import (
	"sync"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/session"
)

// Admission decides when a request of a signed-in user may be sent to its provider. Three things hold it back: the breaker
// of a provider that does not work (breaker.go), the pace of one that has asked for fewer requests (pace.go), and the
// permits, of which all providers share one number. They are asked in that order, so a request that waits for the pace of
// its provider holds no permit, and keeps none from the sessions of another provider.
//
// A request that waited for a permit is looked at once more when its turn has come: the provider may have failed, or have
// asked for fewer requests, in between.
type Admission struct {
	AdmissionConfig
	permits semaphore

	mu     sync.Mutex
	gates  map[string]*gate // by issuer
	closed bool
}

// AdmissionConfig is what an Admission is made of.
type AdmissionConfig struct {
	Clock    clock.Clock
	Permits  int                   // requests at all providers at once
	Waiting  int                   // that wait for a permit at most, and as many for the pace of each provider
	Breaker  session.BreakerPolicy // no Failures: there is none
	PaceFrom int                   // requests in a second, of which a 429 begins a pace
	Stats    *directory.Stats
	Turned   func(issuer string, open bool) // hears of each breaker that opens or closes; may be nil
}

// gate has the state of one provider.
type gate struct {
	issuer string
	pace   pace
	breaker
	waiting []admitted // for the pace
	timer   clock.Timer
	due     time.Duration // when the timer fires; 0: none is armed
	used    time.Duration // when a request was last asked for, or answered
}

// admitted hears that a request may be sent, or why it may not.
type admitted func(actors.Permit, error)

const (
	gatesKept = 1000        // gates kept without looking; beyond that, those that remember nothing are dropped
	gateKept  = time.Minute // how long a gate that remembers nothing is kept after its last use
)

// NewAdmission returns an Admission of which all permits are free.
func NewAdmission(c AdmissionConfig) *Admission {
	return &Admission{AdmissionConfig: c, permits: semaphore{free: c.Permits, most: c.Waiting}, gates: make(map[string]*gate)}
}

// Permit implements actors.Runner.
func (a *Admission) Permit(issuer string, granted func(actors.Permit, error)) (p actors.Permit, now bool) {
	p = actors.Permit{Issuer: issuer}
	now, err := a.pass(&p, granted)
	switch {
	case err != nil:
		granted(p, err)
		return p, false
	case !now:
		return p, false
	}
	return a.enter(p, granted)
}

// Spare implements actors.Runner. Requests that no caller waits for bring those under way to a quarter of the permits at most, so that
// callers find the others free; and none is sent while the provider is held to be down, or has asked for fewer requests.
func (a *Admission) Spare(issuer string) (p actors.Permit, now bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mono := a.Clock.Mono()
	g := a.gate(issuer, mono)
	if a.closed || g.open || len(g.waiting) > 0 || g.pace.limited(mono) || !a.permits.tryAbove(a.Permits-max(1, a.Permits/4)) {
		return p, false
	}
	g.pace.take(mono)
	return actors.Permit{Issuer: issuer, Taken: mono}, true
}

// pass reports whether the breaker and the pace of p's provider let its request through now. If not, it says why, or
// granted waits for the pace.
func (a *Admission) pass(p *actors.Permit, granted admitted) (now bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock() // also where a clock of the host panics
	if a.closed {
		return false, session.ErrClosed
	}
	mono := a.Clock.Mono()
	g := a.gate(p.Issuer, mono)
	if g.open {
		if mono < g.probeAt || g.probing {
			return false, a.refusal(p.Issuer, g.untilProbe(mono))
		}
		g.probing, p.Probe = true, true
		return true, nil
	}
	if len(g.waiting) == 0 && g.pace.take(mono) {
		p.Paced = g.pace.limit != 0
		return true, nil
	}
	if len(g.waiting) >= a.Waiting {
		return false, session.ErrOverloaded
	}
	g.waiting = append(g.waiting, granted)
	a.Stats.Paced.Add(1)
	a.arm(g, mono)
	return false, nil
}

// gate returns the state of a provider.
func (a *Admission) gate(issuer string, mono time.Duration) *gate {
	g := a.gates[issuer]
	if g == nil {
		if len(a.gates) >= gatesKept {
			a.forget(mono)
		}
		g = &gate{issuer: issuer, pace: pace{from: a.PaceFrom}}
		a.gates[issuer] = g
	}
	g.used = mono
	return g
}

// forget drops providers about which nothing is to be remembered.
func (a *Admission) forget(mono time.Duration) {
	for issuer, g := range a.gates {
		if mono-g.used > gateKept && !g.open && len(g.waiting) == 0 && !g.pace.limited(mono) {
			delete(a.gates, issuer)
		}
	}
}

// enter takes a permit for a request that breaker and pace have let through, now or when there is one.
func (a *Admission) enter(p actors.Permit, granted admitted) (actors.Permit, bool) {
	if a.permits.try() {
		return a.taken(p), true
	}
	now := a.permits.acquireIf(func() bool { return a.stillPasses(p, granted) }, func(err error) {
		if err != nil {
			a.judge(p, session.NoOutcome)
			granted(p, err)
			return
		}
		granted(a.taken(p), nil) // p itself is being returned on another goroutine
	})
	if now {
		return a.taken(p), true
	}
	return p, false
}

// taken returns p as taken now.
func (a *Admission) taken(p actors.Permit) actors.Permit {
	p.Taken = a.Clock.Mono()
	return p
}

// stillPasses reports whether a request whose permit has come may be sent. If not, it is refused, or waits for the pace.
func (a *Admission) stillPasses(p actors.Permit, granted admitted) bool {
	a.mu.Lock()
	g := a.gate(p.Issuer, a.Clock.Mono())
	refused, wait := false, time.Duration(0)
	switch {
	case p.Probe:
	case g.open:
		refused, wait = true, g.untilProbe(g.used)
	case !p.Paced && g.pace.limited(g.used) && !a.closed:
		g.waiting = append(g.waiting, granted)
		a.Stats.Paced.Add(1)
		a.arm(g, g.used)
		a.mu.Unlock()
		return false
	}
	a.mu.Unlock()
	if refused {
		granted(p, a.refusal(p.Issuer, wait))
	}
	return !refused
}

// refusal is the answer to a request that a breaker keeps from being sent.
func (a *Admission) refusal(issuer string, wait time.Duration) error {
	a.Stats.Refused.Add(1)
	return &session.BreakerOpenError{Issuer: issuer, Until: a.Clock.Now().Add(wait).Round(0), RetryAfter: wait}
}

// Release implements actors.Runner.
func (a *Admission) Release(p actors.Permit, o session.Outcome) {
	a.judge(p, o)
	a.permits.release()
}

// judge takes in how the request of p has ended.
func (a *Admission) judge(p actors.Permit, o session.Outcome) {
	a.mu.Lock()
	mono := a.Clock.Mono()
	g := a.gate(p.Issuer, mono)
	var refused []admitted
	was := g.open
	g.note(p, o, mono, a.Breaker)
	if g.open && !was {
		refused, g.waiting = g.waiting, nil
	}
	g.pace.judge(p, o, mono)
	if len(g.waiting) > 0 {
		a.arm(g, mono)
	}
	is := g.open
	wait := g.untilProbe(mono)
	if is != was {
		a.Stats.BreakersOpen.Add(map[bool]int64{true: 1, false: -1}[is])
	}
	a.mu.Unlock()
	if is != was && a.Turned != nil {
		a.Turned(p.Issuer, is)
	}
	for _, granted := range refused {
		a.Stats.Paced.Add(-1)
		granted(actors.Permit{Issuer: p.Issuer}, a.refusal(p.Issuer, wait))
	}
}

// arm has g's next request let through in time. It is called with the lock held, which a clock's timers do not take: they are
// armed for later.
func (a *Admission) arm(g *gate, mono time.Duration) {
	at := max(g.pace.next, mono+1)
	switch {
	case g.due != 0 && g.due <= at:
		return // and looks again then
	case g.timer == nil:
		g.timer = a.Clock.AfterFunc(at-mono, func() { a.letThrough(g) })
	default:
		g.timer.Reset(at - mono)
	}
	g.due = at
}

// letThrough lets those through whose turn has come.
func (a *Admission) letThrough(g *gate) {
	a.mu.Lock()
	mono := a.Clock.Mono()
	g.due, g.used = 0, mono
	n := 0
	for n < len(g.waiting) && g.pace.take(mono) {
		n++
	}
	through := g.waiting[:n:n]
	if g.waiting = g.waiting[n:]; len(g.waiting) == 0 {
		g.waiting = nil
	} else {
		a.arm(g, mono)
	}
	a.mu.Unlock()
	for _, granted := range through {
		a.Stats.Paced.Add(-1)
		if p, now := a.enter(actors.Permit{Issuer: g.issuer, Paced: true}, granted); now {
			granted(p, nil)
		}
	}
}

// Close turns away all that wait, and all that come, with session.ErrClosed.
func (a *Admission) Close() {
	a.mu.Lock()
	a.closed = true
	var refused []admitted
	for _, g := range a.gates {
		refused = append(refused, g.waiting...)
		g.waiting = nil
		if g.timer != nil {
			g.timer.Stop()
		}
	}
	a.mu.Unlock()
	for _, granted := range refused {
		a.Stats.Paced.Add(-1)
		granted(actors.Permit{}, session.ErrClosed)
	}
	a.permits.close()
}
