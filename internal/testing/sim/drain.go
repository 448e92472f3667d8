package sim

import (
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/internal/directory"
)

// drain lets everything come to rest: store and provider work, no process dies, time passes.
// Then it checks the promises for the end.
func (w *World) drain() {
	w.draining, w.storeDown, w.providerDown = true, false, false
	w.note("everything comes to rest")
	w.restore()
	for len(w.late) > 0 {
		w.arrive(0)
	}
	if len(w.open()) == 0 {
		w.start()
	}
	w.rest(2 * time.Minute)
	if w.config.hold && w.config.permits > 1 && w.config.resident > 2 && w.failure == nil {
		w.holdOne()
	}
	w.rest(2 * time.Minute)
	w.observeAll()
	w.checkRest()
	if w.failure != nil {
		return
	}
	w.settle(7 * time.Minute)
	w.observeAll()
	w.checkRest()
	w.checkCeilings()
	w.checkLeft()
	if w.failure == nil && w.config.close {
		for _, p := range w.open() {
			p.close()
		}
		w.rest(2 * time.Minute)
		if len(w.processes) > 0 {
			w.fail("P12", "a process that is to close never does")
		}
	}
}

// holdOne holds a request of one session at the provider: all others go on (P9).
func (w *World) holdOne() {
	p := w.open()[0]
	held := w.subjects[len(w.subjects)-1]
	w.note("requests of %s are held", held.id)
	left := make(map[*subject]bool)
	for _, s := range w.subjects {
		left[s] = w.leftBehind(s) || p.isToWait(s)
		w.askToken(p, s, w.heldQuery)
		w.read(p, s)
	}
	w.held = held
	w.rest(9 * time.Second)
	w.held = nil
	if held.onWire[p] > 0 {
		w.saw[heldAtProvider]++
	}
	for _, c := range w.calls {
		// An intent that a process left behind may be left alone for longer, after an outage.
		// Whether it was shows once no process has the lease.
		if c.kind == readCall || c.subject != held && !left[c.subject] && !w.leftBehind(c.subject) {
			w.fail("P9", "call %d about %s waits while a request of %s is held", c.n, c.subject.id, held.id)
		}
	}
}

// holds reports whether j is a request that is held, or held up by a story.
func (w *World) holds(j *job) bool {
	if w.story != nil {
		return w.story.holds(j)
	}
	return w.held != nil && j.kind == actors.ProviderWork && j.request != nil && j.request.family.subject == w.held && j.stage == sent
}

// rest lets everything go on until nothing is under way, for up to d.
func (w *World) rest(d time.Duration) { w.goOn(d, false) }

// settle does the same, and lets d pass altogether.
func (w *World) settle(d time.Duration) { w.goOn(d, true) }

func (w *World) goOn(d time.Duration, all bool) {
	until := w.fake.Now().Add(d)
	for range 100_000 {
		if w.failure != nil {
			return
		}
		w.step++
		if w.oneMore() {
			w.closeAll()
			continue
		}
		due, ok := w.nextTimer()
		switch {
		case !all && w.quiet():
			return
		case !ok || due.After(until):
			if all {
				w.pass(until.Sub(w.fake.Now()))
			}
			return
		}
		w.pass(max(due.Sub(w.fake.Now()), 0))
	}
	w.fail("P5", "it never comes to rest")
}

// quiet reports whether no caller waits and nothing is to be saved.
func (w *World) quiet() bool {
	if len(w.calls) > 0 || w.works() > 0 {
		return false
	}
	for _, p := range w.processes {
		if p.closing {
			return false
		}
		for _, m := range p.mailboxes {
			if m.entry != nil && m.entry.Unsaved() != directory.Saved {
				return false
			}
		}
	}
	return true
}

// oneMore lets one thing go on, and reports whether there was one.
func (w *World) oneMore() bool {
	if w.turns() > 0 {
		w.nthTurn(0).turn()
		return true
	}
	for _, p := range w.processes {
		for _, j := range p.jobs {
			if !w.holds(j) && j != w.stuck && j.can() {
				j.step()
				return true
			}
		}
	}
	if w.steps() > 0 {
		w.nthCall(0).stepAndForget()
		return true
	}
	return w.deliverOne()
}
