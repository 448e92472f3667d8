package actors

import (
	"context"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/session"
)

// Runner does what takes time. In production it is goroutines, bounded by kind.
type Runner interface {
	// Run does work elsewhere and then deliver, with what work returned. Store work
	// never waits for provider work.
	Run(kind Work, work func(ctx context.Context) any, deliver func(any))

	// Permit reports whether a request may be sent to issuer now. If not, it calls granted,
	// at once or later, here or elsewhere: when a request may be sent, or with an error when too
	// many wait (session.ErrOverloaded), the client closes (session.ErrClosed), or the provider does not
	// work (*session.BreakerOpenError).
	Permit(issuer string, granted func(Permit, error)) (p Permit, now bool)

	// Spare takes a permit for a request to issuer that no caller waits for, and reports whether it could: only now, and
	// only while most permits are free and the provider is well.
	Spare(issuer string) (p Permit, now bool)

	// Release gives a permit back. o is what the request has shown of the provider.
	Release(p Permit, o session.Outcome)
}

// Permit lets one request be sent.
type Permit struct {
	Issuer string        // of the provider
	Taken  time.Duration // when, by the monotonic clock
	Probe  bool          // the request finds out whether a provider that did not work does again
	Paced  bool          // the provider has asked for fewer requests, and this is one of them
}

// Pipeline is a Runner's Run for one actor, in whose turns alone it is called, and the
// dispatcher of those turns.
type Pipeline interface {
	actor.Dispatcher
	Run(kind Work, work func(ctx context.Context) any, deliver func(any))
}

// Work is a kind of work. Requests and store work are bounded apart; the renewal of a lease
// waits behind none of them.
type Work uint8

// The kinds of work.
const (
	ProviderWork Work = iota
	StoreWork
	LeaseWork
)
