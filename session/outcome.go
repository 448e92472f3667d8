package session

import (
	"context"
	"errors"
	"time"
)

// Outcome is what the end of a request says of the provider that it was for.
type Outcome uint8

// The outcomes.
const (
	NoOutcome Outcome = iota // nothing: no request was sent, or it was cut off here
	Works                    // it has answered, be it with a refusal
	SlowDown                 // it answered 429: it is asked too often (RFC 6585 section 4)
	Fails                    // it could not be reached, did not answer in time, or answered 5xx
)

// OutcomeOf returns what err, with which a refresh or a connection exchange ended, says of the provider. A nil err is a
// success.
func OutcomeOf(err error) Outcome {
	var e *APIError
	switch {
	case err == nil:
		return Works
	case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled):
		return NoOutcome
	case !errors.As(err, &e):
		if errors.Is(err, context.DeadlineExceeded) {
			return Fails
		}
		return NoOutcome
	case e.Status == 429:
		return SlowDown
	case e.Status >= 500:
		return Fails
	case e.Status != 0:
		return Works
	case e.Code == CodeConfiguration: // its metadata names no token endpoint
		return NoOutcome
	}
	return Fails
}

// unsent reports whether err, with which a refresh or a connection exchange ended, says that nothing of the request was
// sent: the provider cannot have acted on it.
func unsent(err error) bool {
	var e *APIError
	if errors.As(err, &e) && e.Code == CodeMetadataError {
		return true
	}
	var own interface{ Unsent() bool }
	return errors.As(err, &own) && own.Unsent()
}

// BreakerOpenError is the cause of an error for which the provider was not asked: its last requests have failed, so it is
// asked once in a while only (BreakerPolicy). It says nothing of the session: the user need not sign in again.
type BreakerOpenError struct {
	Issuer string    // of the provider
	Until  time.Time // when the provider is asked again, at the earliest

	// RetryAfter is how long that was from when the error was made.
	RetryAfter time.Duration
}

// Error implements error.
func (e *BreakerOpenError) Error() string {
	return "the provider " + e.Issuer + " does not work; it is asked again at " + e.Until.UTC().Format(time.RFC3339)
}

// BreakerPolicy is tokenward.BreakerPolicy with its defaults filled in.
type BreakerPolicy struct {
	Failures int
	Probe    time.Duration
}
