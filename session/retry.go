package session

import (
	"errors"
	"time"
)

// RetryPolicy is tokenward.RetryPolicy with its defaults filled in.
type RetryPolicy struct {
	Attempts int
	First    time.Duration
	Most     time.Duration
	Within   time.Duration
}

// Backoff returns the longest wait after n requests that failed. The wait is drawn at random up to that.
func (p RetryPolicy) Backoff(n int) time.Duration {
	wait := p.First
	for ; n > 1 && wait < p.Most; n-- {
		wait *= 2
	}
	return min(wait, p.Most)
}

// Retryable reports whether a request that failed with err may succeed when it is sent again: one of which nothing was sent,
// one that was not answered, a 429 and a 5xx. A refusal (any other 4xx, or an answer that is TokenSettled at any status) never does.
//
// acted says that the provider may have acted on the request, and have rotated the refresh token: then the same token may be
// presented only within the provider's rotation overlap. It has not where nothing was sent, and with 429 and 503, by which a
// server says that it does not handle the request (RFC 6585 section 4, RFC 9110 section 15.6.4).
func Retryable(err error) (again, acted bool) {
	var e *APIError
	switch o := OutcomeOf(err); {
	case TokenSettled(err), o != Fails && o != SlowDown:
		return false, false
	case unsent(err), o == SlowDown, errors.As(err, &e) && e.Status == 503:
		return true, false
	}
	return true, true
}
