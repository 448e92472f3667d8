package actors

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

// A request that has failed may be sent again for the same callers (Rules.Retry). The wait before that is a timer, and no
// goroutine. The flight stands at the head of the queue, so its callers and those who join wait for one answer, and other
// queries wait behind it. The permit went back with the answer; lease and intent go back too, as they do after any request that
// failed, so another process may try in between. All that answers a queue ends the wait: a logout, a login, the ceiling, a save
// of another process that covers the query, the close.

// retrying is the flight that is sent again.
type retrying struct {
	flight *directory.Flight
	failed int           // requests
	since  time.Duration // by the monotonic clock: when the first was sent
	err    error         // of the last one

	// The refresh token of a request on which the provider may have acted, having rotated it; empty: none. It is presented once
	// more before the provider's overlap is over, and not after.
	token string
	until time.Duration // by the monotonic clock
}

// sendAgainIn has the flight at the head of the queue sent again, after a wait and up to spread more.
type sendAgainIn struct {
	flight       *directory.Flight
	wait, spread time.Duration
}

// sendAgainDue says that the wait of a flight is over.
type sendAgainDue struct {
	messages.Redacted
	flight *directory.Flight
}

// errTooLate says that a request was not sent again, for the provider's overlap was over before that.
var errTooLate = errors.New("actors: the overlap of the refresh token was over before the request was sent again")

// sendAgain reports whether the request of a, which failed, is sent again. The policy, the provider's Retry-After and its
// rotation overlap decide. A recovery is not sent again: its tries are counted in the intent (backoff.go). Nor is
// an early refresh that no caller waits for: a later hit asks for another.
func (c *core) sendAgain(a *request, m *providerAnswered, now time.Time) bool {
	f, p := a.flight, c.rules.Retry
	r := c.again
	c.again = retrying{}
	if p.Attempts == 0 || m.err == nil || m.response.RefreshToken != "" || !c.maySendAgain(a, now) {
		return false
	}
	again, acted := session.Retryable(m.err)
	if r.flight != f {
		r = retrying{flight: f, since: m.sent}
	}
	r.failed++
	r.err = m.err
	if acted && r.token != a.token {
		r.token, r.until = a.token, after(m.sent, c.rules.Overlap)
	}
	wait := session.RetryAfter(m.err)
	due := m.at + wait
	if !again || r.failed >= p.Attempts || due > after(r.since, p.Within) || r.tooLate(a.token, due) {
		return false
	}
	c.again = r
	c.queue = slices.Insert(c.queue, 0, f)
	c.step = waitingToRetry
	c.do(sendAgainIn{f, wait, p.Backoff(r.failed)})
	return true
}

// after returns mono and d more, by the monotonic clock: never, where that is further ahead than it can say.
func after(mono, d time.Duration) time.Duration {
	if d > math.MaxInt64-mono {
		return math.MaxInt64
	}
	return mono + d
}

// maySendAgain reports whether the session still wants an answer to a.
func (c *core) maySendAgain(a *request, now time.Time) bool {
	f := a.flight
	return c.life == live && !c.closing && c.current(a) && !c.recovers(f) && !f.Unawaited() && c.endFor(f, now) == ""
}

// tooLate reports whether token may not be presented any more at mono.
func (r *retrying) tooLate(token string, mono time.Duration) bool {
	return r.token == token && mono >= r.until
}

// sendAgainDue ends the wait of a flight.
func (c *core) sendAgainDue(m *sendAgainDue) {
	if c.step == waitingToRetry && m.flight == c.again.flight {
		c.step = noRequest
	}
}

// stopWaiting ends the wait of a flight that was answered in another way. The next one in the queue may start.
func (c *core) stopWaiting() {
	if c.step == waitingToRetry && (len(c.queue) == 0 || c.queue[0] != c.again.flight) {
		c.step, c.again = noRequest, retrying{}
	}
}

// presentBy says until when a request for f may present token, by the monotonic clock; 0 is for ever.
func (c *core) presentBy(f *directory.Flight, token string) time.Duration {
	if r := &c.again; r.flight == f && r.token == token {
		return r.until
	}
	return 0
}

// draw returns up to d, at random.
func (a *Session) draw(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = io.ReadFull(a.env.Rand, b[:])
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(max(d, 0)+1))
}
