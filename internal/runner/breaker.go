package runner

import (
	"time"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/session"
)

// breaker is the circuit breaker of one provider, for all sessions of the process. It opens after some failures in a row.
// While it is open one request is sent in each interval: the next that is asked for becomes the probe, and all others are
// refused without a request. The first success closes it.
//
// It is not a module of others: it has to live on the clock of the client, so that a test or the simulation drives it, and to
// refuse what waits for a permit, which is known here.
type breaker struct {
	open     bool
	failures int           // in a row
	probing  bool          // the probe is out, or waits for its permit
	probeAt  time.Duration // by the monotonic clock: when the next probe may be sent
	closedAt time.Duration // answers to requests that were sent before this count no more
}

// note takes in how the request of p has ended.
//
// The interval counts from when a probe was sent. So a provider that lets probes hang is asked as often as one that refuses
// them, and one that works again is found out as soon.
func (b *breaker) note(p actors.Permit, o session.Outcome, mono time.Duration, policy session.BreakerPolicy) {
	if policy.Failures == 0 {
		return
	}
	if p.Probe {
		b.probing = false
	}
	switch o {
	case session.Works, session.SlowDown:
		if b.failures = 0; b.open {
			b.open, b.closedAt = false, mono
		}
	case session.Fails:
		switch {
		case b.open && p.Probe:
			b.probeAt = max(mono, p.Taken+policy.Probe)
		case !b.open && p.Taken >= b.closedAt:
			if b.failures++; b.failures >= policy.Failures {
				b.open, b.probeAt = true, mono+policy.Probe
			}
		}
	case session.NoOutcome: // a probe that was not sent leaves its place to the next request
	}
}

// untilProbe returns how long it is until the next probe may be sent.
func (b *breaker) untilProbe(mono time.Duration) time.Duration { return max(0, b.probeAt-mono) }
