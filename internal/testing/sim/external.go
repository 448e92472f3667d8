package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// external is what a process has where other processes live: its feed, its clock, its pauses.
type external struct {
	fresh *directory.Freshness
	skew  time.Duration // how far its clock is off

	setBack     int       // the step in which its clock was last set back
	setBackFrom time.Time // and what it had said

	paused bool // nothing of it runs, while time goes on
	since  time.Time
	back   time.Time // when it went on last
	missed []*timer  // that were due in the pause

	// The feed of other processes' writes.
	connected bool // notices arrive
	heldUp    bool // but none for now
	believed  bool // p takes silence to mean that nothing was written
	gap       int  // the step in which p last found that notices may have been lost
	notices   []notice
	dropped   map[*subject]bool // notices that never came, and p does not know
	noticed   map[*subject]int  // the step of the last write that it was told of

	trouble    time.Time         // when it could not read last
	failed     int               // and in which step
	unread     map[*subject]int  // of each session
	over       map[*subject]int  // the step in which the actor went that showed the end of a login
	recovering map[*subject]bool // it was to recover an intent
}

// notice tells of one write.
type notice struct {
	of      *subject
	version session.Version
	step    int
	at      time.Time
}

// change is something that befell a session: the step and the time in which it was over,
// and the process that did it.
type change struct {
	step int
	at   time.Time
	by   *process
}

// live gives p what Client.start gives it where the store is shared.
func (p *process) live(env *actors.Env) {
	c := &p.w.config
	p.fresh = env.Fresh
	p.fresh.Shared, p.fresh.Age, p.fresh.Outage, p.fresh.Attempt = true, snapshotAge, outage, env.Rules.StoreTimeout
	p.fresh.Grace = leaseTTL + env.Rules.RetryMost*5/4
	p.recovering = make(map[*subject]bool)
	p.over = make(map[*subject]int)
	p.dropped, p.noticed, p.unread = make(map[*subject]bool), make(map[*subject]int), make(map[*subject]int)
	env.Leaser, _ = store.As[store.Leaser](env.Store)
	env.Intents, _ = store.As[store.Intents](env.Store)
	env.Owner, env.Rules.Lease = session.RandomString(p.w.random, 22), leaseTTL
	env.Rules.Leases, env.Rules.Intents = true, c.intents
	env.Rules.DefaultQuery = p.w.queries[0]
}

// tell has every process that watches be told of a write, at some time.
func (w *World) tell(s *subject, v session.Version) {
	if w.kind == Alone || !w.config.feed {
		return
	}
	for _, p := range w.processes {
		switch {
		case p.connected:
			p.notices = append(p.notices, notice{s, v, w.step, w.fake.Now()})
		case p.believed:
			p.dropped[s] = true
		}
	}
}

// deliverable counts the sessions of which p can be told: the notices of one arrive in order.
func (p *process) deliverable() int {
	if p.paused || p.heldUp {
		return 0
	}
	n := 0
	for i, is := range p.notices {
		n += when(!slices.ContainsFunc(p.notices[:i], func(before notice) bool { return before.of == is.of }))
	}
	return n
}

// deliverOne tells p of one write.
func (p *process) deliverOne() {
	w := p.w
	nth := w.choose.pick(p.deliverable())
	at := slices.IndexFunc(p.notices, func(is notice) bool {
		first := p.notices[slices.IndexFunc(p.notices, func(n notice) bool { return n.of == is.of })] == is
		if first {
			nth--
		}
		return first && nth < 0
	})
	n := p.notices[at]
	p.notices = slices.Delete(p.notices, at, at+1)
	p.noticed[n.of] = n.step
	w.saw[noticeCame]++
	if at > 0 {
		w.saw[noticeOutOfOrder]++
	}
	if w.fake.Now().Sub(n.at) >= 5*time.Second {
		w.saw[noticeLate]++
	}
	w.note("%sis told of a write of %s", p.prefix(), n.of.id)
	p.send(&messages.Changed{Key: n.of.key, Version: n.version})
}

// deliverOne tells some process of one write, and reports whether there was one to tell of.
func (w *World) deliverOne() bool {
	for _, p := range w.processes {
		if p.deliverable() > 0 {
			p.deliverOne()
			return true
		}
	}
	return false
}

func (p *process) feedBegins() {
	p.w.note("%sis told of writes from now on", p.prefix())
	p.connected, p.believed = true, true
	clear(p.dropped)
	p.gap = p.w.step
	p.fresh.FeedReset(p.w.fake.Mono())
}

// feedBreaks has p be told nothing any more, and not notice.
func (p *process) feedBreaks() {
	p.w.note("%sis not told any more, and does not know", p.prefix())
	p.connected = false
	for _, n := range p.notices {
		p.dropped[n.of] = true
		p.w.saw[noticeLost]++
	}
	p.notices = nil
	p.w.saw[feedBroke]++
}

func (p *process) feedFound() {
	p.w.note("%sfinds that it is not told any more", p.prefix())
	p.believed = false
	clear(p.dropped)
	if p.trouble.IsZero() { // else the breaker may be open, and stays so
		p.gap = p.w.step
	}
	p.fresh.FeedDown(p.w.fake.Mono())
	p.w.saw[feedFoundBroken]++
}

// feedGap loses some notices, which p is told.
func (p *process) feedGap() {
	p.w.note("%smisses some writes", p.prefix())
	p.w.saw[noticeLost] += int64(len(p.notices))
	p.notices = nil
	clear(p.dropped)
	p.gap = p.w.step
	p.fresh.FeedReset(p.w.fake.Mono())
	p.w.saw[feedGap]++
}

func (p *process) feeding() int    { return when(p.connected && !p.paused) }
func (p *process) feedBroken() int { return when(!p.connected && p.believed && !p.paused) }
func (p *process) feedOff() int {
	return when(p.w.config.feed && !p.connected && !p.believed && !p.paused && !p.closing)
}

func (w *World) count(of func(*process) int) (n int) {
	for _, p := range w.processes {
		n += of(p)
	}
	return n
}

func (w *World) deliverable() int { return w.count((*process).deliverable) }
func (w *World) feeding() int     { return w.count((*process).feeding) }
func (w *World) feedsBroken() int { return w.count((*process).feedBroken) }
func (w *World) feedsOff() int    { return w.count((*process).feedOff) }
func (w *World) pausable() int    { return w.count((*process).pausable) }
func (w *World) pauses() int      { return w.count((*process).isPaused) }
func (w *World) sending() int     { return w.count((*process).sending) }
func (w *World) steppable() int   { return when(w.config.skew) * w.alive() }

// nthFeed returns the process that the ith way of something is about.
func (w *World) nthFeed(i int, of func(*process) int) *process {
	for _, p := range w.processes {
		n := of(p)
		if i < n {
			return p
		}
		i -= n
	}
	panic("sim: no such process")
}

// pausable reports whether p can be paused: one other process goes on.
func (p *process) pausable() int {
	w := p.w
	others := slices.ContainsFunc(w.processes, func(q *process) bool { return q != p && !q.paused && !q.closing })
	return when(w.config.pauses && !p.paused && others)
}

func (p *process) isPaused() int { return when(p.paused) }

// sending counts the requests of p that are on the wire, where p can be paused.
func (p *process) sending() (n int) {
	if p.pausable() == 0 {
		return 0
	}
	for _, j := range p.jobs {
		n += when(j.request != nil && !j.over && j.stage != atRest)
	}
	return n
}

// pause stops p as a signal does: nothing of it runs, what it had sent goes on, and time does.
func (p *process) pause() {
	p.w.note("process %d is paused", p.n)
	p.paused, p.since = true, p.w.fake.Now()
	p.w.saw[paused]++
}

// pauseOnTheWire pauses a process that has a request on the wire, for so long that its lease
// lapses, and asks another for the same session.
func (w *World) pauseOnTheWire(i int) {
	p := w.nthFeed(i, (*process).sending)
	at := slices.IndexFunc(p.jobs, func(j *job) bool { return j.request != nil && !j.over && j.stage != atRest })
	s := p.jobs[at].about
	p.pause()
	w.saw[pausedOnTheWire]++
	q := w.process()
	w.askToken(q, s, one(w.choose, w.queries))
	if !w.choose.odds(25) {
		w.pass(leaseTTL + time.Second)
	}
}

// resume lets p go on. Timers that came due in the pause fire at once, or after the messages that
// wait for it.
func (p *process) resume() {
	w := p.w
	w.note("process %d goes on", p.n)
	p.paused, p.back = false, w.fake.Now()
	w.saw[resumed]++
	if w.fake.Now().Sub(p.since) >= leaseTTL {
		w.saw[pausedLong]++
	}
	missed := p.missed
	p.missed = nil
	later := w.choose.odds(50)
	for _, t := range missed {
		if later {
			t.Reset(time.Millisecond)
		} else {
			t.fire()
		}
	}
}

// stepClock has p's clock be off by some seconds.
func (p *process) stepClock() {
	p.setClock(one(p.w.choose, []time.Duration{0, maxSkew, -maxSkew, 3 * time.Second, -time.Second}))
	p.w.note("the clock of process %d is off by %v", p.n, p.skew)
	p.w.saw[clockStepped]++
}

func (p *process) setClock(skew time.Duration) {
	before := p.now()
	p.skew = skew
	if p.now().Before(before) {
		p.setBack, p.setBackFrom = p.w.step, before
	}
}

const maxSkew = 8 * time.Second

// latest is the time by the clock that is ahead of all, as far as one may be.
func (w *World) latest() time.Time {
	if w.config.skew {
		return w.fake.Now().Add(maxSkew)
	}
	return w.fake.Now()
}

// restore lets all processes go on, tells them of all writes and puts their clocks right.
func (w *World) restore() {
	for _, p := range w.processes {
		if p.paused {
			p.resume()
		}
		p.setClock(0)
		if p.feedBroken() > 0 {
			p.feedFound()
		}
		if p.feedOff() > 0 {
			p.feedBegins()
		}
	}
}

// couldNotRead notes that p could not read s.
func (p *process) couldNotRead(s *subject, err error) {
	if p.fresh != nil && !errors.Is(err, store.ErrNotFound) {
		p.trouble, p.failed = p.w.fake.Now(), p.w.step
		p.unread[s] = p.w.step
	}
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	for _, is := range p.w.issued { // a save that has to read the record first, and cannot, has failed
		if r := is.request; r != nil && r.p == p && r.answeredIn > 0 && is.family.subject == s {
			is.asked = true
			p.asked[is.family] = max(p.asked[is.family], p.got[is.family])
		}
	}
}

// lost notes that the store does not have the login any more that it had, now that it has f.
func (s *subject) lost(f *family, step int) {
	if old := s.stored.family; old != nil && old != f {
		old.goneStep = step
	}
}
