package tokenward

import (
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/session"
)

type (
	// BreakerPolicy says when a provider that does not work is left alone.
	BreakerPolicy = session.BreakerPolicy
	// RetryPolicy says how often and how soon a request that failed is sent again for the same callers.
	RetryPolicy = session.RetryPolicy
	// BreakerOpenError is the cause of an error for which the provider was not asked.
	BreakerOpenError = session.BreakerOpenError
)

// mostProbe is the longest time between two requests to a provider that does not work.
const mostProbe = 10 * time.Second

// WithBreaker puts a circuit breaker before each provider, for all sessions of the process: after p.Failures failed requests in
// a row (5 where that is 0) one request is sent each p.Probe (10 s where that is 0, and at most), until one is answered. Calls
// that need the provider fail in between, without a request, with the code refresh_token_error (a connection's with
// retrieval_error) and a *BreakerOpenError as the cause; LoginRequired is false for it. Tokens that have not expired are handed
// out. The recovery of requests that a crash cut off waits as well, and a refresh token is not revoked. The default is no
// breaker: each session asks the provider for itself.
//
// An open breaker does not make the client unready (Ready): what is cached is served, and other processes are no better off.
// Stats.BreakersOpen shows it.
func WithBreaker(p BreakerPolicy) Option {
	return func(o *options) {
		or(&p.Failures, 5)
		or(&p.Probe, mostProbe)
		o.breaker = p
	}
}

// WithRetry sends a refresh or a connection exchange that failed again, for the same callers: p.Attempts requests at most (4
// where that is 0), with waits drawn at random up to p.First (200 ms), doubling to p.Most (5 s), and no longer than the provider's
// Retry-After; the last begins within p.Within (30 s) of the first. Callers who ask for the same join; other questions of the
// session wait. A caller whose context ends is answered at once, and a logout or the ceiling ends the wait. The default is to
// send each request once.
//
// Sent again is what failed before anything of it was sent, a 429 and a 503. A request that was not answered, or was answered by
// another 5xx, may have rotated the refresh token: it is sent again only within WithRotationOverlap of when it was sent first,
// and not at all without that option. Where refresh tokens do not rotate, give a long one. Any other refusal is final.
//
// With WithBreaker a wait ends in its error where the breaker has opened. Stats.Retries counts. WithHTTPClient must not retry.
func WithRetry(p RetryPolicy) Option {
	return func(o *options) {
		or(&p.Attempts, 4)
		or(&p.First, 200*time.Millisecond)
		or(&p.Most, 5*time.Second)
		or(&p.Within, 30*time.Second)
		o.retry = p
	}
}

func (o *options) checkPolicies() error {
	if r := o.retry; r.Attempts < 0 || r.First < 0 || r.Most < 0 || r.Within < 0 {
		return &ConfigurationError{Message: "WithRetry: Attempts, First, Most and Within must not be negative"}
	}
	if b := o.breaker; b.Failures < 0 || b.Probe < 0 || b.Probe > mostProbe {
		return &ConfigurationError{Message: "WithBreaker: Failures and Probe must not be negative, and Probe is 10 s at most"}
	}
	return nil
}

// newRunner makes what sends requests and has turns taken.
func (c *Client) newRunner(o *options) *runner.Runner {
	paceFrom := math.MaxInt // without retries no session waits for another: each has its own answer from the provider
	if o.retry.Attempts > 0 {
		paceFrom = runner.PaceFrom
	}
	users := runner.NewAdmission(runner.AdmissionConfig{
		Clock: c.clock, Permits: runner.UserRequests(o.limits), Waiting: o.limits.QueuedFlights, Breaker: o.breaker,
		PaceFrom: paceFrom, Stats: c.stats, Turned: c.breakerTurned,
	})
	return runner.New(o.limits, c.pending, users)
}

// breakerTurned logs that a provider works no more, or again.
func (c *Client) breakerTurned(issuer string, open bool) {
	if open {
		c.log.Warn("a provider does not work: it is asked once in a while only, until it answers", zap.String("issuer", issuer))
		return
	}
	c.log.Info("a provider works again", zap.String("issuer", issuer))
}
