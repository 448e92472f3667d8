package sim

import (
	"context"
	"slices"
	"time"

	"github.com/tokenward/tokenward/store"
)

// A scene is what seldom comes about by itself where processes live beside each other. It
// opens some of the runs, and what comes after is drawn as ever.

// scene plays one, or none.
func (w *World) scene() {
	n := w.choose.pick(16)
	s := w.subjects[0]
	f := s.stored.family
	if n == 0 || f == nil || f.endsAt != 0 || f.over(w.latest().Add(2*time.Minute)) {
		return
	}
	w.draining = true
	p, q := w.processes[0], w.processes[1]
	for _, p := range w.processes {
		if p.feedOff() > 0 {
			p.feedBegins()
		}
	}
	switch n {
	case 1, 9, 14:
		w.pausedScene(p, q, s)
	case 2, 3, 4, 8, 13, 15:
		w.crashScene(p, s)
	case 5, 6:
		w.logoutScene(p, q, s)
	case 7, 10, 11, 12:
		w.latePausedScene(p, q, s)
	}
	w.draining = false
	w.step++
}

// until lets everything go on until is holds, for up to d, and reports whether it does.
func (w *World) until(d time.Duration, is func() bool) bool {
	until := w.fake.Now().Add(d)
	for !is() {
		if w.failure != nil {
			return false
		}
		w.step++
		if w.oneMore() {
			continue
		}
		due, ok := w.nextTimer()
		if !ok || due.After(until) {
			return false
		}
		w.pass(max(due.Sub(w.fake.Now()), 0))
	}
	return true
}

// requestAt has p ask for a token of s, up to the given stage of the request.
func (w *World) requestAt(p *process, s *subject, at stage) bool {
	w.askToken(p, s, w.heldQuery)
	return w.working(p, func(j *job) bool { return j.request != nil && j.about == s && j.stage == at })
}

// working lets everything go on until p is at work that is so.
func (w *World) working(p *process, is func(*job) bool) bool {
	return w.until(10*time.Second, func() bool {
		return slices.ContainsFunc(p.jobs, func(j *job) bool { return !j.over && is(j) })
	})
}

// pausedScene has p be paused with a request on the wire, until its lease has lapsed and q
// has one there too.
func (w *World) pausedScene(p, q *process, s *subject) {
	at := one(w.choose, []stage{sent, acted})
	if !w.requestAt(p, s, at) {
		return
	}
	p.pause()
	w.saw[pausedOnTheWire]++
	w.pass(leaseTTL + time.Second)
	if w.requestAt(q, s, one(w.choose, []stage{sent, acted})) && w.choose.odds(50) {
		w.until(time.Second, func() bool { return s.onWire[q] == 0 })
	}
	switch w.choose.pick(2) {
	case 0:
		p.resume()
	case 1:
		p.resume()
		w.until(time.Second, func() bool { return s.onWire[p] == 0 && w.turns() == 0 })
	}
}

// latePausedScene has p be paused when it has begun, and before it has sent what it is about to spend, and q
// take the lease once that has lapsed. Then p goes on: it must not send under the lease that it had.
func (w *World) latePausedScene(p, q *process, s *subject) {
	w.askToken(p, s, w.heldQuery)
	if !w.working(p, func(j *job) bool { return j.leaseOf == s && j.call == "Begin" && j.stage == acted }) {
		return
	}
	p.pause()
	w.pass(leaseTTL - time.Second)
	w.pass(2 * time.Second)
	w.requestAt(q, s, one(w.choose, []stage{sent, acted}))
	p.resume()
	w.until(time.Second, func() bool { return w.turns() == 0 && w.works() == 0 })
}

// crashScene has p die when a refresh token was rotated and is nowhere yet. Another
// process presents the one before, which the provider accepts within its overlap, and presents it
// again where the provider cannot be reached.
func (w *World) crashScene(p *process, s *subject) {
	f := s.stored.family
	w.config.overlap = one(w.choose, []time.Duration{0, time.Minute})
	if !w.requestAt(p, s, acted) || f.revoked {
		return
	}
	rotated := f.current
	p.die()
	if w.choose.odds(50) { // it is presented in vain at first, two or three times
		w.providerDown = true
		w.until(leaseTTL+3*staleIntentsEvery, func() bool { return false })
		w.providerDown = false
		w.until(35*time.Second, func() bool { return false })
	} else {
		w.until(leaseTTL+2*staleIntentsEvery, func() bool { return false })
	}
	switch {
	case w.failure == nil && w.config.endOnDead && f.revoked && s.stored.family == nil:
		w.saw[notRecovered]++
	case w.failure != nil || !w.config.intents || s.stored.family != f || s.stored.unreadable:
	case w.config.overlap == time.Minute:
		if s.stored.refresh != f.current || f.revoked || w.leftBehind(s) {
			w.fail("P3", "what was cut off is not recovered: the store has %v of %s", s.stored, f.token(f.current))
		}
		if f.current > rotated {
			w.saw[recovered]++
		}
	case f.revoked:
		if s.stored.refresh != noToken || w.leftBehind(s) {
			w.fail("P3", "the provider has refused what was cut off, and the store has %v", s.stored)
		}
		w.saw[notRecovered]++
	}
}

const staleIntentsEvery = 5 * time.Second

func (w *World) leftBehind(s *subject) bool {
	found, err := w.store.StaleIntents(context.Background(), 100, store.Options{})
	if err != nil {
		panic(err)
	}
	for _, o := range found {
		if o.Key == s.key {
			return true
		}
	}
	return false
}

// logoutScene has q end a session that p shows.
func (w *World) logoutScene(p, q *process, s *subject) {
	w.askToken(p, s, w.queries[0])
	w.until(time.Second, func() bool { return len(w.calls) == 0 })
	if w.choose.odds(50) {
		w.logout(q, s)
	} else {
		w.end(q, s, s.families[len(s.families)-1])
	}
	w.until(time.Second, func() bool { return len(w.calls) == 0 })
	w.saw[endedElsewhere]++
	if w.choose.odds(10) { // p is told of it before anything is asked there
		w.until(time.Second, func() bool { return w.deliverable() == 0 && w.turns() == 0 && w.works() == 0 })
	}
	for range 6 {
		if w.choose.odds(50) {
			w.pass(one(w.choose, []time.Duration{time.Second, snapshotAge - 2*time.Second, snapshotAge, 2 * snapshotAge}))
		}
		w.askToken(p, s, w.queries[0])
		w.until(time.Second, func() bool {
			return len(w.calls) == 0 || p.deliverable() > 0 && w.turns() == 0 && w.works() == 0 && w.steps() == 0
		})
	}
}
