package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// subject is one session id, and what callers have been told about it.
type subject struct {
	w   *World
	id  string
	n   int
	key session.Key

	families  []*family
	stored    stored
	onWire    map[*process]int  // requests
	asked     session.FlightKey // of the last of them
	demanded  *call             // the last that demanded more than the cache has
	leases    map[*process]*lease
	epoch     int64 // the newest of its lease
	presented presented
	owing     map[*process]bool // who is still to do a logout, and so may end a login elsewhere with it

	// The login that is in force, nil for none. It is certain unless operations went
	// wrong or overlapped.
	current *family
	certain bool
	open    int // operations under way
	lastEnd int
	touched int // the last step in which one began or ended

	updates     int // of the store
	completions int // of requests
}

// op is one operation that begins or ends sessions.
type op struct {
	kind       opKind
	p          *process
	failed     bool // so it may still be done
	subject    *subject
	family     *family // login: which; end: which, nil for any
	begin, end int
}

type opKind uint8

const (
	opLogin opKind = iota
	opLogout
	opEnd // of one login
)

// callKind is the function of lookup that a call is.
type callKind uint8

const (
	tokenCall callKind = iota
	connectionCall
	readCall
	orderCall
	updateCall
)

// answered is what a call came to, by its kind.
type answered struct {
	token      session.Token
	connection session.ConnectionToken
	state      *session.State
	err        error
}

// call is one call of a caller.
type call struct {
	w         *World
	p         *process
	n         int
	name      string
	subject   *subject
	begin     int
	time      time.Time // by the clock of its process
	at        time.Time
	knowledge knowledge
	sure      *family // the login that is certainly in force when it begins
	ctx       context.Context
	cancel    context.CancelFunc
	left      bool // cancelled

	coroutine
	kind     callKind
	answered answered
	wait     lookup.Wait
	joined   int // the step in which it joined the flight that it waits for; 0: it waits for none
	done     bool
	query    *session.TokenQuery // of a token or connection
	refused  string              // the token that it says was refused
	op       *op
	made     *valueChange // of an update
}

// call begins a call; its first step comes later.
func (w *World) call(p *process, s *subject, name string, kind callKind, body func(c *call)) *call {
	ctx, cancel := context.WithCancel(context.Background())
	w.made++
	c := &call{
		w: w, p: p, n: w.made, name: name, subject: s, begin: w.step, time: p.now(), at: w.fake.Now(), ctx: ctx, cancel: cancel,
	}
	c.knowledge = p.knowledgeOf(s)
	if s.certain && s.open == 0 {
		c.sure = s.current
	}
	c.kind = kind
	c.start(func() { body(c) })
	w.calls = append(w.calls, c)
	w.note("%scall %d: %s, %s", p.prefix(), c.n, name, s.id)
	return c
}

func (w *World) askToken(p *process, s *subject, q *session.TokenQuery) {
	c := w.call(p, s, "a token "+queryName(q.Key), tokenCall, func(c *call) {
		a := &c.answered
		if !p.lookup.Cached(s.id, q, nil, &a.token) { // as GetAccessToken does
			a.err = p.lookup.Token(c.caller(), q, &a.token)
		}
	})
	c.query = q
}

func (w *World) askConnection(p *process, s *subject, key session.FlightKey) {
	c := w.call(p, s, "a token "+queryName(key), connectionCall, func(c *call) {
		c.answered.connection, c.answered.err = p.lookup.Connection(c.caller(), key)
	})
	c.query = &session.TokenQuery{Key: key}
}

func (w *World) read(p *process, s *subject) {
	w.call(p, s, "read", readCall, func(c *call) { c.answered.state, c.answered.err = p.lookup.Read(c.caller()) })
}

func (w *World) order(p *process, s *subject, name string, m func(*directory.Call) messages.Awaited) *call {
	return w.call(p, s, name, orderCall, func(c *call) {
		lent := directory.NewCall(c.ctx, store.Options{})
		c.answered.err = p.lookup.Order(c.ctx, m(lent), lent)
	})
}

// stray sends what may come at any time, or late.
func (w *World) stray(p *process, s *subject) {
	e := p.lookup.Directory.Lookup(s.id)
	switch w.choose.pick(3) {
	case 0:
		w.order(p, s, "read it again", func(lent *directory.Call) messages.Awaited { return &messages.ReadRecord{Key: s.key, Call: lent} })
	case 1:
		generation := session.Generation(w.choose.pick(3))
		w.order(p, s, "a ceiling of an older generation", func(lent *directory.Call) messages.Awaited {
			return &messages.CeilingReached{Key: s.key, Generation: generation, Call: lent}
		})
	default:
		if e == nil {
			return
		}
		generation := e.Snapshot().Generation
		w.order(p, s, "a ceiling that is early", func(lent *directory.Call) messages.Awaited {
			return &messages.CeilingReached{Key: s.key, Generation: generation, Call: lent}
		})
	}
}

// ready reports whether c can go on.
func (c *call) ready() bool {
	switch {
	case c.p.paused:
		return false
	case !c.began, isClosed(c.wait.Done):
		return true
	case c.wait.Bound:
		return false
	}
	return len(c.wait.Entry) > 0 || isClosed(c.wait.Gone) || c.ctx.Err() != nil || c.p.stopped
}

// outcome chooses what the wait of c ends with.
func (c *call) outcome() lookup.Event {
	if !c.began || isClosed(c.wait.Done) {
		return lookup.Event{}
	}
	var some [4]lookup.Kind
	n := 0
	add := func(k lookup.Kind, is bool) {
		if is {
			some[n] = k
			n++
		}
	}
	add(lookup.EntryFound, len(c.wait.Entry) > 0)
	add(lookup.Gone, isClosed(c.wait.Gone))
	add(lookup.ContextEnded, c.ctx.Err() != nil)
	add(lookup.Stopped, c.p.stopped)
	e := lookup.Event{Kind: some[c.w.choose.pick(n)]}
	if e.Kind == lookup.EntryFound {
		e.Entry = <-c.wait.Entry
	}
	return e
}

// caller is what the functions of lookup are told of c.
func (c *call) caller() *lookup.Caller { return &lookup.Caller{Ctx: c.ctx, ID: c.subject.id} }

// step lets c go on until it waits, or is over.
func (c *call) step() {
	e := c.outcome()
	c.w.stepping = c
	var more bool
	c.wait, more = c.resume(e)
	if c.w.stepping = nil; more {
		if c.joined = 0; c.wait.Gone != nil && c.wait.Done != nil {
			c.joined = c.w.step
		}
		return
	}
	c.done = true
	c.cancel()
	c.w.judge(c)
}

// leave cancels c.
func (c *call) leave() {
	c.w.note("call %d is cancelled", c.n)
	c.left = true
	c.cancel()
}

// afterLogin does the work of Client.begin after a login whose caller has given up: no caller
// has the session's id.
func (w *World) afterLogin(c *call) {
	if c.op.kind == opLogin && c.answered.err != nil && c.left {
		c.p.send(&messages.EndSession{
			ID: c.subject.id, Key: c.subject.key, Only: c.op.family.incarnation, Why: session.ReasonLogout,
		})
	}
}

// drop forgets c, whose process has died.
func (c *call) drop() {
	c.done = true
	c.stop()
	c.cancel()
	if c.op != nil {
		c.op.end, c.subject.certain = c.w.step, false
		c.subject.open--
		c.subject.touched, c.subject.lastEnd = c.w.step, c.w.step
	}
}

// opens notes that c begins or ends sessions.
func (c *call) opens(kind opKind, f *family) {
	c.op = &op{kind: kind, p: c.p, subject: c.subject, family: f, begin: c.w.step}
	c.subject.open++
	c.subject.touched = c.w.step
}

// closes notes how the operation that c is went.
func (c *call) closes(err error) {
	w, o, s := c.w, c.op, c.subject
	if o.kind == opLogin {
		o.family.began = change{w.step, w.fake.Now(), c.p}
	}
	overlapped := s.open > 1 || s.lastEnd >= o.begin
	s.open--
	o.end, s.lastEnd, s.touched = w.step, w.step, w.step
	o.failed = err != nil
	// Whose login was over before this began is over now; one that failed in another process
	// may come yet.
	covered := func(g *family) bool {
		return g.login.end != 0 && g.login.end < o.begin && (g != o.family || o.kind == opEnd) && (!g.login.failed || g.login.p == c.p || w.kind == Alone)
	}
	switch {
	case err != nil:
		s.certain = false
		if o.kind == opLogout {
			s.owing[c.p] = true
		}
		if o.kind == opLogout && session.CodeOf(err) == session.CodeStoreError {
			for _, g := range s.families {
				if _, known := c.p.ended[g]; covered(g) && !known {
					c.p.ended[g] = w.step
				}
			}
		}
		return
	case o.kind == opEnd:
		if f := o.family; covered(f) {
			f.die(c.p)
			if s.current == f {
				s.current = nil
			}
		} else {
			s.certain = false
		}
	default:
		for _, g := range s.families {
			if covered(g) {
				g.die(c.p)
			}
		}
		s.current, s.certain = o.family, true
	}
	if overlapped || s.owed() {
		s.certain = false
	}
}

// die notes that p has ended f for good.
func (f *family) die(p *process) {
	w := p.w
	if f.dead {
		return
	}
	f.dead, f.ended = true, change{w.step, w.fake.Now(), p}
	if f.subject.stored.family == f {
		w.fail("P7", "%s was ended, and the store still has it", f.name)
	}
}

func queryName(k session.FlightKey) string {
	if k.ForConnection() {
		return fmt.Sprintf("of %s?%s", k.Connection, k.LoginHint)
	}
	return fmt.Sprintf("for %s (%s)", k.Audience, k.Scopes)
}
