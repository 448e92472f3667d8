package actors

import (
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A recovery presents the refresh token of a request that was cut off until the provider has
// said something about it (session.TokenSettled): after 5 s, doubling to 15 min, at most 8
// times in an hour. The intent keeps count and next time, so restarts and other processes keep
// to them. A request that a caller asks for is not held up by that: it is sent, and neither
// counts nor moves the next time.
const (
	presentFirst  = 5 * time.Second
	presentMost   = 15 * time.Minute
	presentInHour = 8
)

// untilNext returns how long after its nth presentation, from 1, a token is presented again.
func untilNext(n int) time.Duration {
	switch {
	case n < presentInHour:
		return min(presentFirst<<(n-1), presentMost)
	case n == presentInHour:
		return time.Hour
	}
	return presentMost
}

// Due reports whether the token of in may be presented again. A time further ahead than any
// that is written down comes of a clock that was set back since.
func Due(in store.Intent, now time.Time) bool {
	wait := in.Next - now.Unix()
	return wait <= 0 || wait > int64(time.Hour/time.Second)
}

// maxThrottle bounds how long a provider can have a session wait.
const maxThrottle = time.Minute

// throttle is a 429 or 503 with Retry-After (RFC 9110 section 10.2.3): until then it is the
// answer to whatever would be sent for the session. The zero value holds nothing up.
type throttle struct {
	until time.Time
	err   error
}

// note takes in how a request failed. Only an answer with a Retry-After counts. A provider that is down does not say for how
// long, so each of its failures is told to the callers of that request.
func (t *throttle) note(err error, now time.Time) {
	if wait := session.RetryAfter(err); wait > 0 {
		*t = throttle{now.Add(min(wait, maxThrottle)), err}
	}
}

// answer returns the error, nil once its time is over. A clock that was set back lengthens
// nothing.
func (t *throttle) answer(now time.Time) error {
	if left := t.until.Sub(now); t.err == nil || left <= 0 || left > maxThrottle {
		return nil
	}
	return t.err
}
