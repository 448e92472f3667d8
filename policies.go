package tokenward

import (
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/runner"
	"github.com/tokenward/tokenward/session"
)

type (
	// BreakerPolicy says when a provider that does not work is left alone.
	BreakerPolicy = session.BreakerPolicy
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

func (o *options) checkPolicies() error {
	if b := o.breaker; b.Failures < 0 || b.Probe < 0 || b.Probe > mostProbe {
		return &ConfigurationError{Message: "WithBreaker: Failures and Probe must not be negative, and Probe is 10 s at most"}
	}
	return nil
}

// newRunner makes what sends requests and has turns taken.
func (c *Client) newRunner(o *options) *runner.Runner {
	users := runner.NewAdmission(c.clock, runner.UserRequests(o.limits), o.limits.QueuedFlights, o.breaker, c.stats, c.breakerTurned)
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
