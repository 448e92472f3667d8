package runner

import (
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/session"
)

// pace bounds how many requests a second are sent to one provider, once that has answered a refresh with 429. Before that, and
// some minutes after the last 429, there is no bound. A 429 among fewer than ten requests in a second begins none: it is more
// likely about one user than about all.
//
// A 429 halves the rate. The rate comes back to just below where it was within a second of the next answer that is none, then
// feels its way up, half a percent of it a second, and after half a minute without another 429 doubles every ten seconds. So a
// provider that allows 100 requests a second is sent about 95, and a limit that was raised, or a rate that was set too low, is
// found in a few minutes.
//
// Only answers to requests that were sent since count: those on their way when the rate was halved tell nothing of the new one.
// While every answer since is a 429, the provider is closed for a while rather than asked too often: each of them halves the
// rate once more, and the first other answer takes that back.
//
// Answers to requests that strangers can cause (code exchanges, pushed requests, discovery) are never looked at here. Else a
// stranger could slow down the sessions of everyone.
type pace struct {
	from int // requests in a second, of which a 429 begins it

	limit   float64       // requests a second, as the last 429 has shown; 0: none
	cut     time.Duration // when the rate was halved last
	since   time.Duration // when the provider first answered without 429 after cut
	answers bool          // it has answered without 429 after cut
	closed  int           // answers 429 in a row after cut
	first   bool          // the limit was set by the first 429, and answers that were on their way may raise it
	next    time.Duration // when the next request is let through, at the earliest

	asked, answered recent // requests that were let through, and those whose answer was no 429
}

// PaceFrom is how many requests in a second begin a pace where one of them is answered 429.
const PaceFrom = 10

const (
	leastRate = 1                     // requests a second
	mostRate  = 100_000               // from then on there is no bound
	catchUp   = 20 * time.Millisecond // a timer may be so late: requests of that time are let through at once
	slowly    = 30 * time.Second      // for so long the rate grows slowly, then fast
	forgotten = 5 * time.Minute       // so long after the last 429 there is no bound any more, where nothing was sent since
)

// rate returns how many requests are let through a second.
func (p *pace) rate(mono time.Duration) float64 {
	if !p.answers {
		return max(leastRate, p.limit/2/float64(int64(1)<<min(p.closed, 30)))
	}
	t := (mono - p.since).Seconds()
	switch {
	case t < 1:
		return max(leastRate, p.limit*(0.5+0.47*t))
	case t < slowly.Seconds():
		return max(leastRate, p.limit*(0.97+0.005*(t-1)))
	}
	rate := max(leastRate, p.limit*(0.97+0.005*(slowly.Seconds()-1)))
	for t -= slowly.Seconds(); t > 0 && rate < mostRate; t -= 10 {
		rate *= 1 + min(t, 10)/10
	}
	return rate
}

// limited reports whether there is a bound.
func (p *pace) limited(mono time.Duration) bool {
	if p.limit != 0 && (p.rate(mono) >= mostRate || !p.answers && mono-p.cut > forgotten) {
		p.limit = 0
	}
	return p.limit != 0
}

// take reports whether a request is let through now.
func (p *pace) take(mono time.Duration) bool {
	limited := p.limited(mono)
	if limited && mono < p.next {
		return false
	}
	if p.asked.count(mono); !limited {
		return true
	}
	p.next = max(p.next, mono-catchUp) + p.interval(mono)
	return true
}

func (p *pace) interval(mono time.Duration) time.Duration {
	return time.Duration(float64(time.Second) / p.rate(mono))
}

// judge takes in how the request of a permit has ended.
func (p *pace) judge(of actors.Permit, o session.Outcome, mono time.Duration) {
	switch o {
	case session.Works:
		p.worked(of, mono)
	case session.SlowDown:
		p.refused(of, mono)
	case session.Fails, session.NoOutcome:
	}
}

func (p *pace) worked(of actors.Permit, mono time.Duration) {
	p.answered.count(mono)
	switch {
	case p.limit == 0:
	case of.Taken <= p.cut: // it was sent before the rate was halved
		if p.first {
			p.limit = max(p.limit, p.answered.inASecond(mono))
		}
	case !p.answers:
		p.answers, p.closed, p.since = true, 0, mono
		p.next = min(p.next, mono+p.interval(mono))
	}
}

func (p *pace) refused(of actors.Permit, mono time.Duration) {
	switch {
	case !p.limited(mono) && p.asked.inASecond(mono) < float64(p.from):
		return
	case !p.limited(mono):
		*p = pace{from: p.from, limit: max(float64(2*p.from), p.answered.inASecond(mono)), first: true, asked: p.asked, answered: p.answered}
	case of.Taken <= p.cut:
		return
	case p.answers:
		p.limit, p.first, p.answers = p.rate(mono), false, false
	default:
		p.closed++
	}
	p.cut = mono
	p.next = mono + p.interval(mono)
}

// recent counts things by the second.
type recent struct {
	second      int64 // in which one was counted last
	now, before int   // in that second, and in the one before
}

func (r *recent) count(mono time.Duration) {
	switch second := int64(mono / time.Second); second - r.second {
	case 0:
	case 1:
		r.second, r.before, r.now = second, r.now, 0
	default:
		r.second, r.before, r.now = second, 0, 0
	}
	r.now++
}

// inASecond returns how many there were in the last second.
func (r *recent) inASecond(mono time.Duration) float64 {
	left := 1 - (mono % time.Second).Seconds()
	switch int64(mono/time.Second) - r.second {
	case 0:
		return float64(r.now) + float64(r.before)*left
	case 1:
		return float64(r.now) * left
	}
	return 0
}
