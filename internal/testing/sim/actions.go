package sim

import (
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// action is something that may happen next. The first three are what goes on by itself.
type action struct {
	name   string
	weight int
	ways   func(w *World) int // in how many ways it can happen now
	do     func(w *World, i int)
}

const (
	turnAction = iota
	workAction
	stepAction
	aloneKinds  = 32 // what may happen with one process
	actionKinds = aloneKinds + 9
)

var actions [actionKinds]action

func init() {
	always := (*World).alive
	actions = [actionKinds]action{
		{"turn", 400, (*World).turns, func(w *World, i int) { w.nthTurn(i).turn() }},
		{"work", 400, (*World).works, func(w *World, i int) { w.nthJob(i).step() }},
		{"step", 400, (*World).steps, func(w *World, i int) { w.nthCall(i).stepAndForget() }},
		{"ask", 130, always, func(w *World, _ int) {
			w.askToken(w.process(), w.subject(), one(w.choose, w.queries))
		}},
		{"ask connection", 45, always, func(w *World, _ int) {
			w.askConnection(w.process(), w.subject(), session.ConnectionKey(
				one(w.choose, []string{"google", "github"}), one(w.choose, []string{"", "", "ann", "bob"})))
		}},
		{"crowd", 20, always, func(w *World, _ int) {
			p, s, q := w.process(), w.subject(), one(w.choose, w.queries)
			for range 2 + w.choose.pick(3) {
				w.askToken(p, s, q)
			}
		}},
		{"demand", 110, always, func(w *World, _ int) { w.demand() }},
		{"use", 90, func(w *World) int { return when(w.config.early > 0) * w.alive() }, func(w *World, _ int) { w.use() }},
		{"read", 15, always, func(w *World, _ int) { w.read(w.process(), w.subject()) }},
		{"login", 20, always, func(w *World, _ int) { w.login(w.process(), w.subject()) }},
		{"logout", 9, always, func(w *World, _ int) { w.logout(w.process(), w.subject()) }},
		{"end", 4, always, func(w *World, _ int) {
			if s := w.subject(); len(s.families) > 0 {
				w.end1(w.process(), s)
			}
		}},
		{"stray", 8, always, func(w *World, _ int) { w.stray(w.process(), w.subject()) }},
		{"leave", 15, func(w *World) int { return len(w.calls) }, func(w *World, i int) {
			if !w.calls[i].left && !w.calls[i].p.paused {
				w.calls[i].leave()
			}
		}},
		{"tick", 40, always, func(w *World, _ int) { w.tick() }},
		{"pass", 15, always, func(w *World, _ int) {
			w.pass(one(w.choose, []time.Duration{
				time.Millisecond, 300 * time.Millisecond, time.Second, time.Second, time.Second, 4 * time.Second, 6 * time.Second, 6 * time.Second,
				20 * time.Second, time.Minute, 5 * time.Minute,
			}))
		}},
		{"poison", 4, always, func(w *World, _ int) { w.poison() }},
		{"defect", 8, (*World).turns, func(w *World, i int) { w.plant(w.nthTurn(i)) }},
		{"die", 6, func(w *World) int { return len(w.processes) }, func(w *World, i int) {
			w.processes[i].die()
			if w.kind == Alone && !w.choose.odds(20) {
				w.start()
			}
		}},
		{"crash", 14, (*World).vulnerable, func(w *World, i int) { w.crash(i) }},
		{"start", 100, func(w *World) int { return when(len(w.processes) < max(1, w.config.processes)) }, func(w *World, _ int) { w.start() }},
		{"close", 3, always, func(w *World, _ int) { w.process().close() }},
		{"closing", 60, func(w *World) int { return w.closings() }, func(w *World, _ int) { w.nthClosing().closeOn() }},
		{"store down", 4, func(w *World) int { return when(!w.storeDown) }, func(w *World, _ int) { w.outage(&w.storeDown, true, "store") }},
		{"store up", 60, func(w *World) int { return when(w.storeDown) }, func(w *World, _ int) { w.outage(&w.storeDown, false, "store") }},
		{"provider down", 3, func(w *World) int { return when(!w.providerDown) }, func(w *World, _ int) { w.outage(&w.providerDown, true, "provider") }},
		{"provider up", 60, func(w *World) int { return when(w.providerDown) }, func(w *World, _ int) { w.outage(&w.providerDown, false, "provider") }},
		{"elsewhere", 32, func(w *World) int { return when(!w.config.exclusive && w.kind == Alone) }, func(w *World, _ int) { w.elsewhere(w.subject()) }},
		{"late", 40, func(w *World) int { return len(w.late) }, func(w *World, i int) { w.arrive(i) }},
		{"ask at a completion", 4000, (*World).completions, func(w *World, i int) { w.askAtCompletion(i) }},
		{"update", 16, always, func(w *World, _ int) { w.update(w.process(), w.subject()) }},
		{"crash at a save", 25, (*World).saves, func(w *World, i int) { w.nthFeed(i, (*process).saves).crash() }},
		{"deliver a notice", 150, (*World).deliverable, func(w *World, i int) { w.nthFeed(i, (*process).deliverable).deliverOne() }},
		{"feed breaks", 4, (*World).feeding, func(w *World, i int) { w.nthFeed(i, (*process).feeding).feedBreaks() }},
		{"feed found broken", 20, (*World).feedsBroken, func(w *World, i int) { w.nthFeed(i, (*process).feedBroken).feedFound() }},
		{"feed again", 60, (*World).feedsOff, func(w *World, i int) { w.nthFeed(i, (*process).feedOff).feedBegins() }},
		{"feed gap", 2, (*World).feeding, func(w *World, i int) { w.nthFeed(i, (*process).feeding).feedGap() }},
		{"pause", 5, (*World).pausable, func(w *World, i int) { w.nthFeed(i, (*process).pausable).pause() }},
		{"pause on the wire", 60, (*World).sending, func(w *World, i int) { w.pauseOnTheWire(i) }},
		{"resume", 6, (*World).pauses, func(w *World, i int) { w.nthFeed(i, (*process).isPaused).resume() }},
		{"clock steps", 4, (*World).steppable, func(w *World, _ int) { w.process().stepClock() }},
	}
}

// completions counts the messages that bring the end of a save, and are not handled yet.
func (w *World) completions() (n int) {
	for _, l := range w.deliveries {
		n += when(l.asks())
	}
	return n
}

func (l delivery) asks() bool {
	p := l.job.p
	return p.alive && !p.paused && !p.closing && l.job.about != nil && l.job.call == "Update" && l.job.about.asked.Scopes != ""
}

// askAtCompletion asks, at the last moment, for less than was asked for before: the session may
// have an answer once it has handled such a message.
func (w *World) askAtCompletion(i int) {
	for _, l := range w.deliveries {
		if !l.asks() {
			continue
		}
		if i > 0 {
			i--
			continue
		}
		asked := l.job.about.asked
		for _, q := range w.queries {
			if q.Key.Audience == asked.Audience && q.Key != asked && session.ParseScope(asked.Scopes).Covers(session.ParseScope(q.Scope)) {
				w.askToken(l.job.p, l.job.about, q)
				w.calls[len(w.calls)-1].stepAndForget()
			}
		}
		return
	}
}

func when(is bool) int {
	if is {
		return 1
	}
	return 0
}

func (w *World) outage(of *bool, down bool, what string) {
	*of = down
	w.note("the %s is down: %v", what, down)
}

// act lets one thing happen.
func (w *World) act() {
	var weights, ways [actionKinds]int
	for i := range actions {
		if w.config.weights[i] == 0 && i > stepAction {
			continue
		}
		if ways[i] = actions[i].ways(w); ways[i] > 0 {
			weights[i] = w.config.weights[i]
		}
	}
	if len(w.calls) > 30 { // enough for now
		clear(weights[stepAction+1 : stepAction+11])
	}
	i := w.choose.weighted(weights[:])
	if ways[i] == 0 {
		return // in a replay, where what came before was left out
	}
	actions[i].do(w, w.choose.pick(ways[i]))
	w.closeAll()
}

// open returns the processes that take calls.
func (w *World) open() (list []*process) {
	for _, p := range w.processes {
		if !p.closing && !p.paused {
			list = append(list, p)
		}
	}
	return list
}

// alive returns 1 when there is a process that takes calls.
func (w *World) alive() int {
	return when(slices.ContainsFunc(w.processes, func(p *process) bool { return !p.closing && !p.paused }))
}

func (w *World) process() *process { return one(w.choose, w.open()) }

func (w *World) subject() *subject { return one(w.choose, w.subjects) }

// turns counts the actors that have a message to handle.
func (w *World) turns() (n int) {
	for _, p := range w.processes {
		for _, m := range p.mailboxes {
			if m.runnable() {
				n++
			}
		}
	}
	return n
}

func (w *World) nthTurn(i int) *mailbox {
	for _, p := range w.processes {
		for _, m := range p.mailboxes {
			if m.runnable() {
				if i == 0 {
					return m
				}
				i--
			}
		}
	}
	panic("sim: no such turn")
}

func (w *World) works() (n int) {
	for _, p := range w.processes {
		n += p.works()
	}
	return n
}

// works counts the jobs of p that can go on.
func (p *process) works() int {
	if !p.paused {
		return len(p.jobs)
	}
	n := 0
	for _, j := range p.jobs {
		n += when(j.can())
	}
	return n
}

func (w *World) nthJob(i int) *job {
	for _, p := range w.processes {
		n := p.works()
		switch {
		case i >= n:
			i -= n
		case !p.paused:
			return p.jobs[i]
		default:
			for _, j := range p.jobs {
				if !j.can() {
					continue
				}
				if i == 0 {
					return j
				}
				i--
			}
		}
	}
	panic("sim: no such job")
}

func (w *World) steps() (n int) {
	for _, c := range w.calls {
		if c.ready() {
			n++
		}
	}
	return n
}

func (w *World) nthCall(i int) *call {
	for _, c := range w.calls {
		if c.ready() {
			if i == 0 {
				return c
			}
			i--
		}
	}
	panic("sim: no such call")
}

// stepAndForget takes the next step of c, and forgets it when it is over.
func (c *call) stepAndForget() {
	if c.step(); c.done {
		i := slices.Index(c.w.calls, c)
		c.w.calls = slices.Delete(c.w.calls, i, i+1)
	}
}

// tick lets time pass until the next timer is due.
func (w *World) tick() {
	due, ok := w.nextTimer()
	if !ok {
		return
	}
	if d := due.Sub(w.fake.Now()); d < time.Hour {
		w.pass(max(d, 0))
	}
}

// end1 ends one login of s.
func (w *World) end1(p *process, s *subject) {
	f := s.families[len(s.families)-1]
	if w.choose.odds(30) {
		f = one(w.choose, s.families)
	}
	if !w.storeDown && w.choose.odds(40) {
		w.signOut(p, s, f)
		return
	}
	w.end(p, s, f)
}

// poison sends a session a message that its core cannot handle.
func (w *World) poison() {
	w.poisonOne(w.process(), w.subject())
}

func (w *World) poisonOne(p *process, s *subject) {
	e := p.lookup.Directory.Lookup(s.id)
	if e == nil || e.PID() == nil {
		return
	}
	p.defects++
	w.saw[poisoned]++
	w.note("%s is sent what it cannot handle", s.id)
	p.lookup.Send(e.PID(), &messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
}

// plant lets m handle its next message with a defect somewhere in it.
func (w *World) plant(m *mailbox) {
	w.defect = clockDefect
	saw := defectInClock
	if w.choose.odds(40) {
		w.defect, saw = randDefect, defectInRand
	}
	if m.entry == nil || len(m.system) > 0 {
		w.defect = noDefect // sessions only
	}
	armed := w.defect != noDefect
	m.p.defects++
	m.turn()
	if armed && w.defect == noDefect {
		w.note("  there was a defect in that")
		w.saw[saw]++
	}
	w.defect = noDefect
}

// vulnerable counts the processes in which a refresh token is being spent or saved.
func (w *World) vulnerable() (n int) {
	for _, p := range w.processes {
		if p.vulnerable() {
			n++
		}
	}
	return n
}

// saves counts the processes of which an update is under way.
func (w *World) saves() int { return w.count((*process).saves) }

func (p *process) saves() int {
	return when(slices.ContainsFunc(p.jobs, func(j *job) bool { return !j.over && j.stage != atRest && j.call == "Update" }))
}

func (p *process) vulnerable() bool {
	return slices.ContainsFunc(p.jobs, func(j *job) bool {
		return !j.over && j.stage != atRest && (j.request != nil || j.call == "Update" || j.call == "Replace" || j.call == "End")
	})
}
