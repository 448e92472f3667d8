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
	clock  clock.Clock
	policy session.BreakerPolicy // no Failures: there is no breaker
	stats  *directory.Stats
	turned func(issuer string, open bool) // of a breaker that opens or closes; nil: no one is

	permits semaphore
	most    int // that wait for the pace of one provider

	mu     sync.Mutex
	gates  map[string]*gate // by issuer
	closed bool
}

// gate is what is known of one provider.
type gate struct {
	issuer string
	pace   pace
	breaker
	waiting []admitted // for the pace
	timer   clock.Timer
	due     time.Duration // when the timer fires; 0: none is armed
	used    time.Duration // when it was last asked, or heard of
}

// admitted hears that a request may be sent, or why it may not.
type admitted func(actors.Permit, error)

const (
	gatesKept = 1000        // at least; more are looked through for those to be forgotten
	gateKept  = time.Minute // a provider about which nothing is to be remembered
)

// NewAdmission returns an Admission by which at most n requests are at all providers at once, and most wait for a permit, or
// for the pace of one provider. turned, which may be nil, hears of each breaker that opens or closes.
func NewAdmission(c clock.Clock, n, most int, policy session.BreakerPolicy, stats *directory.Stats, turned func(issuer string, open bool)) *Admission {
	return &Admission{
		clock: c, policy: policy, stats: stats, turned: turned, most: most,
		permits: semaphore{free: n, most: most}, gates: make(map[string]*gate),
	}
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

// pass reports whether the breaker and the pace of p's provider let its request through now. If not, it says why, or
// granted waits for the pace.
func (a *Admission) pass(p *actors.Permit, granted admitted) (now bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false, session.ErrClosed
	}
	mono := a.clock.Mono()
	g := a.gate(p.Issuer, mono)
	if g.open {
		if mono < g.probeAt || g.probing {
			a.stats.Refused.Add(1)
			return false, g.refusal(a.clock)
		}
		g.probing, p.Probe = true, true
		return true, nil
	}
	if len(g.waiting) == 0 && g.pace.take(mono) {
		p.Paced = g.pace.limit != 0
		return true, nil
	}
	if len(g.waiting) >= a.most {
		return false, session.ErrOverloaded
	}
	g.waiting = append(g.waiting, granted)
	a.stats.Paced.Add(1)
	a.arm(g, mono)
	return false, nil
}

// gate returns what is known of a provider.
func (a *Admission) gate(issuer string, mono time.Duration) *gate {
	g := a.gates[issuer]
	if g == nil {
		if len(a.gates) >= gatesKept {
			a.forget(mono)
		}
		g = &gate{issuer: issuer}
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
		p.Taken = a.clock.Mono()
		return p, true
	}
	now := a.permits.acquireIf(func() bool { return a.stillPasses(p, granted) }, func(err error) {
		if err != nil {
			a.judge(p, session.NoOutcome)
			granted(p, err)
			return
		}
		p.Taken = a.clock.Mono()
		granted(p, nil)
	})
	if now {
		p.Taken = a.clock.Mono()
	}
	return p, now
}

// stillPasses reports whether a request whose permit has come may be sent. If not, it is refused, or waits for the pace.
func (a *Admission) stillPasses(p actors.Permit, granted admitted) bool {
	a.mu.Lock()
	g := a.gate(p.Issuer, a.clock.Mono())
	var err error
	switch {
	case p.Probe:
	case g.open:
		a.stats.Refused.Add(1)
		err = g.refusal(a.clock)
	case !p.Paced && g.pace.limited(g.used) && !a.closed:
		g.waiting = append(g.waiting, granted)
		a.stats.Paced.Add(1)
		a.arm(g, g.used)
		a.mu.Unlock()
		return false
	}
	a.mu.Unlock()
	if err != nil {
		granted(p, err)
	}
	return err == nil
}

// Release implements actors.Runner.
func (a *Admission) Release(p actors.Permit, o session.Outcome) {
	a.judge(p, o)
	a.permits.release()
}

// judge takes in how the request of p has ended.
func (a *Admission) judge(p actors.Permit, o session.Outcome) {
	a.mu.Lock()
	mono := a.clock.Mono()
	g := a.gate(p.Issuer, mono)
	var refused []admitted
	was := g.open
	g.note(p, o, mono, a.policy)
	if g.open && !was {
		refused, g.waiting = g.waiting, nil
	}
	g.pace.judge(p, o, mono)
	if len(g.waiting) > 0 {
		a.arm(g, mono)
	}
	is := g.open
	err := g.refusal(a.clock)
	if is != was {
		a.stats.BreakersOpen.Add(map[bool]int64{true: 1, false: -1}[is])
	}
	a.mu.Unlock()
	if is != was && a.turned != nil {
		a.turned(p.Issuer, is)
	}
	for _, granted := range refused {
		a.stats.Paced.Add(-1)
		a.stats.Refused.Add(1)
		granted(p, err)
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
		g.timer = a.clock.AfterFunc(at-mono, func() { a.letThrough(g) })
	default:
		g.timer.Reset(at - mono)
	}
	g.due = at
}

// letThrough lets those through whose turn has come.
func (a *Admission) letThrough(g *gate) {
	a.mu.Lock()
	mono := a.clock.Mono()
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
		a.stats.Paced.Add(-1)
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
		a.stats.Paced.Add(-1)
		granted(actors.Permit{}, session.ErrClosed)
	}
	a.permits.close()
}
