package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/supervisor"
)

const (
	clientID = "demo"
	name     = "_a0_session"
)

// process is one process of the host: what Client.start puts together, but for what waits
// and what does requests.
type process struct {
	w      *World
	n      int
	alive  bool // else its timers and messages are void
	lookup lookup.Lookup

	mailboxes  []*mailbox
	supervised map[*subject]*mailbox // what its supervisor showed last of sessions: no actor's mailbox, but checked like one
	loaded     *job                  // the load that its supervisor is told of in this turn
	loadedOver *directory.Snapshot   // what the session of that showed before the turn; nil: nothing
	spawned    int
	jobs       []*job
	admission  *runner.Admission
	permits    int // held
	stats      *directory.Stats
	retries    int64 // counted there when work was last wanted

	// What it must know: the newest refresh tokens that the provider gave it or that it
	// read, and those that it asked the store to keep, by their numbers.
	held      map[*family]int
	asked     map[*family]int
	got       map[*family]int // the newest that it was given, whether or not it took note
	base      map[*family]int // that of the record that it knows the store to hold
	knows     map[session.Version]bool
	throttled map[*family]hold
	dead      map[*family]int // the number of the refresh token that was refused for good
	ended     map[*family]int // the step in which it said that the session is over

	closing  bool
	rest     chan struct{}      // closed once every session is at rest
	abort    chan []session.Key // what is unsaved
	unsaved  []session.Key
	cut      bool // what is under way was cut off
	stopped  bool
	defects  int              // defects planted in it
	heardEnd map[*family]bool // logins whose end the application was told of
	born     int              // the step in which it started

	external
}

// start starts a process.
func (w *World) start() *process {
	w.started++
	p := &process{
		w: w, n: w.started, alive: true, born: w.step,
		held: make(map[*family]int), asked: make(map[*family]int), ended: make(map[*family]int),
		base: make(map[*family]int), got: make(map[*family]int), knows: make(map[session.Version]bool),
		throttled: make(map[*family]hold), dead: make(map[*family]int), supervised: make(map[*subject]*mailbox), heardEnd: make(map[*family]bool),
	}
	w.note("process %d starts", p.n)
	w.processes = append(w.processes, p)
	c := &w.config
	p.stats = &directory.Stats{}
	var breaker session.BreakerPolicy
	var retry session.RetryPolicy
	if c.breaker {
		breaker = session.BreakerPolicy{Failures: 2, Probe: 10 * time.Second}
	}
	if c.retry {
		retry = session.RetryPolicy{Attempts: 3, First: 200 * time.Millisecond, Most: time.Second, Within: 30 * time.Second}
	}
	p.admission = runner.NewAdmission(runner.AdmissionConfig{
		Clock: processClock{p}, Permits: c.permits, Waiting: c.permitQueue, Breaker: breaker, PaceFrom: c.paceFrom, Stats: p.stats,
	})
	states := processStore{p}
	v := provider{p}
	send := w.system.Root.Send
	env := &actors.Env{
		Rules: actors.Rules{
			ClientID: clientID, Issuer: issuer, Buffer: c.buffer, StrictAudience: true, Early: directory.EarlyRefresh{Ahead: c.early, Buffer: c.buffer},
			Exclusive: store.IsExclusive(states), Revoke: c.revoke, EndOnDead: c.endOnDead, Retry: retry, Overlap: w.stated,
			Limits: session.Limits{
				FlightTimeout: 10 * time.Second, StoreTimeout: 5 * time.Second, QueuedQueries: c.queries, TokenSets: c.tokenSets,
				Resident: c.resident, PassivateAfter: c.passivateAfter, RememberEnded: c.rememberEnded, RememberMissing: time.Second,
				RetryFirst: 50 * time.Millisecond, RetryMost: 5 * time.Second,
			},
		},
		Clock: processClock{p}, Rand: processRand{p}, Store: states, Codec: w.codec, Provider: v, Revoke: v.revoke,
		Runner: p, Mailbox: p.newMailbox, Stats: p.stats, Pending: &directory.Pending{}, Log: zap.NewNop(), Hooks: p.newHooks(), Send: func(to *actor.PID, m any) { send(to, m) },
	}
	env.Fresh = &directory.Freshness{Missing: time.Second, Stats: env.Stats}
	l := &p.lookup
	l.Fresh = env.Fresh
	if w.kind == Several {
		p.live(env)
	}
	l.Directory, l.Clock, l.Buffer, l.MaxFlights = directory.NewDirectory(), env.Clock, c.buffer, c.queries+1
	if c.early > 0 {
		l.Renewable = c.early + c.buffer
	}
	l.Name, l.Await = name, w.await
	l.Send = func(to *actor.PID, m any) {
		p.checkAsked(m)
		env.Send(to, m)
	}
	l.Supervisor = w.system.Root.Spawn(supervisor.Props(env, l.Directory))
	return p
}

func (p *process) send(m any) { p.lookup.Send(p.lookup.Supervisor, m) }

// prefix says whose doing a line of the trace is, where there are several processes.
func (p *process) prefix() string {
	if p.w.started == 1 {
		return ""
	}
	return fmt.Sprintf("[%d] ", p.n)
}

func (p *process) learn(f *family, n int) {
	if have, ok := p.held[f]; !ok || n > have || have == noToken { // a token in hand outweighs one that was given up
		p.held[f] = n
	}
}

// wrote notes that p has tried to write a record, and with a nil error that the store has
// it.
func (p *process) wrote(f *family, v session.Version, n int, err error) {
	p.knows[v] = true
	f.askedTo(p, n)
	if err == nil {
		p.base[f] = n
		p.learn(f, n)
	}
}

// read notes the record that p has read. Where another process spent the refresh token that p knew the
// store to hold, its token stays, and that of p is dropped: the exception to P3. Where the other
// only wrote, or gave the refresh token up that p has spent, the state of p is merged in.
func (p *process) read(f *family, v session.Version, n int) {
	f.askedTo(p, n)
	base, ok := p.base[f]
	switch {
	case p.knows[v] || !ok:
		p.learn(f, n)
	case n == noToken && p.held[f] > base && p.held[f] != noToken:
		f.subject.completions++ // what p has is saved on top, though it may have been before
		p.w.saw[mergedOnTop]++
	case n != base:
		p.held[f] = n
		p.w.saw[storedStays]++
		p.w.wonElsewhere++
	default:
		p.w.saw[mergedOnTop]++
	}
	p.knows[v] = true
	p.base[f] = n
}

func (f *family) askedTo(p *process, n int) {
	if have, ok := p.asked[f]; !ok || n > have {
		p.asked[f] = n
	}
}

func (p *process) dropJob(j *job) {
	i := slices.Index(p.jobs, j)
	p.jobs = slices.Delete(p.jobs, i, i+1)
}

func (p *process) forget(m *mailbox) {
	if i := slices.Index(p.mailboxes, m); i >= 0 {
		p.mailboxes = slices.Delete(p.mailboxes, i, i+1)
	}
}

// die ends p at once. Nothing of it goes on, but what it had sent may still arrive.
func (p *process) die() {
	w := p.w
	w.note("process %d dies", p.n)
	for _, s := range w.subjects {
		if f := s.stored.family; f != nil && !s.stored.unreadable && p.held[f] > s.stored.refresh {
			w.saw[crashLostToken]++
		}
	}
	quiet := true
	for _, j := range p.jobs {
		quiet = quiet && j.worker == nil
		j.kill()
	}
	if quiet {
		w.saw[crashAtRest]++
	}
	p.bury()
}

// bury takes p out of the world.
func (p *process) bury() {
	w := p.w
	p.alive, p.stopped, p.jobs = false, true, nil
	for _, m := range p.mailboxes {
		if self, ok := m.invoker.(interface{ Self() *actor.PID }); ok {
			w.system.ProcessRegistry.Remove(self.Self())
		}
		m.stopped = true
	}
	p.mailboxes = nil
	for _, c := range w.calls {
		if c.p == p && !c.done {
			c.drop()
		}
	}
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool { return c.done })
	if i := slices.Index(w.processes, p); i >= 0 {
		w.processes = slices.Delete(w.processes, i, i+1)
	}
}

// close begins what Client.Close does.
func (p *process) close() {
	p.w.note("process %d is to close", p.n)
	p.closing = true
	p.lookup.Close()
	p.admission.Close()
	p.rest = make(chan struct{})
	p.send(&messages.Close{Done: p.rest})
}

// cutOff begins what Client.Close does when its context has ended.
func (p *process) cutOff() {
	p.w.note("closing process %d takes too long", p.n)
	p.w.saw[closeCutOff]++
	p.abort = make(chan []session.Key, 1)
	p.send(&messages.Abort{Reply: p.abort})
}

// closingStep goes on with closing, where it can.
func (p *process) closingStep() {
	w := p.w
	switch {
	case p.stopped && p.idle():
		w.checkClosed(p)
		w.note("process %d has closed", p.n)
		w.saw[closed]++
		p.bury()
	case p.stopped:
	case p.abort != nil && !p.cut:
		select {
		case p.unsaved = <-p.abort:
			p.cut = true
			p.stop()
		default:
		}
	case p.abort == nil && isClosed(p.rest):
		p.stop()
	}
}

func (p *process) stop() {
	p.stopped = true
	p.w.system.Root.Stop(p.lookup.Supervisor)
}

// idle reports whether nothing of p can go on by itself.
func (p *process) idle() bool {
	return len(p.jobs) == 0 && !slices.ContainsFunc(p.mailboxes, (*mailbox).runnable) &&
		!slices.ContainsFunc(p.w.calls, func(c *call) bool { return c.p == p })
}

// processRand is the randomness of p. It is where a defect is planted: see World.defect.
type processRand struct{ p *process }

// Read implements io.Reader.
func (r processRand) Read(b []byte) (int, error) {
	w := r.p.w
	if w.defect == randDefect {
		w.defect = noDefect
		panic("planted")
	}
	return w.random.Read(b)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
