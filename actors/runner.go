package actors

import (
	"context"

	"github.com/asynkron/protoactor-go/actor"
)

// Runner does what takes time. In production it is goroutines, bounded by kind.
type Runner interface {
	// Run does work elsewhere and then deliver, with what work returned. Store work
	// never waits for provider work.
	Run(kind Work, work func(ctx context.Context) any, deliver func(any))

	// Permit reports whether a request may be sent to the provider now. If not, it calls granted,
	// at once or later, here or elsewhere: when a request may be sent, or with an error when too
	// many wait (overloaded) or the client closes (closed).
	Permit(granted func(error)) (now bool)

	// Release gives a permit back.
	Release()
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
