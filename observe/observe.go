// Package observe says what a client of tokenward does, while it does it: the events behind metrics and traces.
//
// An Observer is given to tokenward.WithObserver. Module observe/otel makes one for OpenTelemetry, module
// observe/prometheus one for Prometheus.
//
// Most events come in pairs. The func in Observer is called at the start, and the func that it returns at the end: once
// for each start, however the work ends (an answer, an error, a panic, Close). All times are those of the client's clock.
//
// No event carries a token, a session id, a subject, a claim, or any other text that a user, a stranger or a provider can
// make up. Each string is one of a list that is fixed by this package or by the configuration, so it can be a label of a
// metric. Request.Server is the one exception: where a resolver names issuers, there are as many as the host registered.
package observe

import (
	"context"
	"time"
)

// Observer is told what a client does. Each func may be nil; more may be added.
//
// The funcs are called on the goroutines that do the work, in a session actor's turn too. So they must be quick, must not
// call the client, and must be safe for concurrent use. A panic in one is contained, counted and logged; if a func that
// starts a pair panics, that pair has no end.
//
// A func that starts a pair may return a context, which carries what the observer put into it (a span) on to the work: for
// Call that is the caller's, which the returned one must be derived from; for the others only its values are used. Nil
// stands for the context that was given.
type Observer struct {
	// Client is called by tokenward.New, and closed by Close. In between figures may be called at any time.
	Client func(figures func() Figures) (closed func())

	// Call is an operation that a host called. One whose answer was in the cache is none: it is counted in Figures.Hits.
	Call func(ctx context.Context, c Call) (context.Context, func(CallEnd))

	// Flight is one request for a token, from the first caller who needs it to the answer that all its callers share. ctx is
	// that caller's. The values of the returned context outlive the call: they are those of the Store and Request events that belong
	// to the flight, and CallEnd.Flight of each caller.
	Flight func(ctx context.Context, f Flight) (context.Context, func(FlightEnd))

	// Request is one HTTP request to a provider, which carries the values of the returned context. So what the host's own transport
	// does there, such as otelhttp's, belongs to it. (WithHTTPClient)
	Request func(ctx context.Context, r Request) (context.Context, func(RequestEnd))

	// Store is one operation of the state store.
	Store func(ctx context.Context, s Store) (context.Context, func(StoreEnd))

	// Ended is a session that has ended, for whatever reason: callers see it from now on. It is for counting ends, by reason; to act on
	// one, with its user, is for tokenward.Hooks.SessionEnded.
	Ended func(Ended)

	// Ceiling is a session that was deleted since its ceiling was reached: for how late that was. Its end was told by Ended before.
	Ceiling func(Ceiling)
}

// Figures are what a client counts without an event.
type Figures struct {
	Hits     int64 // answers from the cache since New
	Loads    int64 // sessions read from the store since New
	Resident int64 // sessions in memory now
	Active   int64 // of these, sessions that have an actor now
	Unsaved  int64 // sessions now whose newest state the store does not have, after a failure
}

// Operation is what a host called: [Token], [ConnectionToken], [Login], [Callback], [Logout], [BackchannelLogout], [FrontchannelLogout],
// [EndSessions], [MachineToken], [ExchangeToken], [ListSessions] or [AskStepUp].
type Operation string

// The operations.
const (
	Token              Operation = "token"
	ConnectionToken    Operation = "connection_token"
	Login              Operation = "login" // its start
	Callback           Operation = "callback"
	Logout             Operation = "logout"
	BackchannelLogout  Operation = "backchannel_logout"
	FrontchannelLogout Operation = "frontchannel_logout"
	EndSessions        Operation = "end_sessions"
	MachineToken       Operation = "machine_token"  // that no plain hit answered
	ExchangeToken      Operation = "exchange_token" // RFC 8693
	ListSessions       Operation = "list_sessions"  // a page, or a count
	AskStepUp          Operation = "ask_step_up"
)

// OtherAudience stands for every audience that is not configured.
const OtherAudience = "other"

// Other stands for a code that is not listed here, in package session or in RFC 6749.
const Other = "other"

// Call is the start of an operation.
type Call struct {
	Operation Operation
	Audience  string // Token: the configured audience, "default" where none was asked for, or OtherAudience
	At        time.Time
}

// How a call for a token was answered.
const (
	Hit  = "hit"  // from the cache, on a second look
	Miss = "miss" // by a flight that it started
	Join = "join" // by a flight that was under way
	None = "none" // without one: there is no session, or it could not be looked at
)

// CallEnd is the end of an operation.
type CallEnd struct {
	At      time.Time
	Outcome string // of Token and ConnectionToken: Hit, Miss, Join or None; else empty
	Code    string // why it failed, as session.Code has it, "canceled", "deadline_exceeded" or Other; empty: it succeeded

	// Flight is what Observer.Flight returned for the flight that answered, nil where there was none.
	Flight context.Context //nolint:containedctx // to link to
}

// The kinds of flights.
const (
	Refresh  = "refresh"  // RFC 6749 section 6
	Exchange = "exchange" // for a connection's token
	Recovery = "recovery" // that a process left behind, found out by this one: no caller waits
)

// Flight is the start of a flight.
type Flight struct {
	Kind     string
	Audience string // of a Refresh, as in Call
	At       time.Time
}

// How a flight ended.
const (
	Refreshed = "refreshed" // with a new token
	Cached    = "cached"    // with a token that was there by the time that its turn came
	Failed    = "failed"    // with an error for all its callers
	Unasked   = "unasked"   // without an answer: the session left memory, and its callers ask again
)

// FlightEnd is the end of a flight.
type FlightEnd struct {
	At      time.Time
	Outcome string
	Code    string // why it failed, as in CallEnd
	OAuth   string // the provider's error code (RFC 6749 section 5.2), or Other; empty where it gave none
	Callers int    // who shared it

	// Queued is how long the flight waited until its request was sent: for the session's other flights, a permit, the
	// lease. It is the whole time where none was sent.
	Queued time.Duration
	// Asked is how long its requests took; 0 where none was sent.
	Asked time.Duration
}

// The kinds of requests.
const (
	RequestMetadata = "metadata"
	RequestKeys     = "keys"
	RequestCode     = "code"
	RequestRefresh  = "refresh"
	RequestExchange = "exchange"
	RequestPush     = "pushed_authorization"
	RequestRevoke   = "revoke"
	RequestUserInfo = "userinfo"
	RequestClient   = "client_credentials"
	RequestSwap     = "token_exchange" // RFC 8693, and Entra ID's on-behalf-of
	RequestToken    = "token"          // any other at the token endpoint
)

// Request is the start of an HTTP request.
type Request struct {
	Kind   string
	Method string // GET or POST
	Server string // the provider's host, without a port
	At     time.Time
}

// RequestEnd is the end of an HTTP request.
type RequestEnd struct {
	At     time.Time
	Status int  // of the answer; 0 where none came
	Failed bool // no whole answer came
}

// Store is the start of an operation of the state store. Its Operation is the method's name in package store, in snake case:
// load, replace, update, end, begin, and so on.
type Store struct {
	Operation string
	At        time.Time
}

// How a store operation ended. What a store refuses is an answer of a store that works.
const (
	StoreOK         = "ok"
	StoreNotFound   = "not_found"
	StoreConflict   = "conflict"
	StoreLeased     = "leased"
	StorePresented  = "presented"
	StoreUnreadable = "unreadable"
	StoreCanceled   = "canceled" // the caller, or the client, has gone
	StoreFailed     = "failed"
)

// StoreEnd is the end of a store operation.
type StoreEnd struct {
	At      time.Time
	Outcome string
}

// Ended says that a session has ended.
type Ended struct {
	Reason string // as session.Reason has it: logout, ceiling, and so on
	At     time.Time
}

// Ceiling says that a session was deleted at its ceiling.
type Ceiling struct {
	Due     time.Time // half a minute before session_expiry
	Deleted time.Time
}

// Late returns how long after its time the session was deleted.
func (c Ceiling) Late() time.Duration { return max(0, c.Deleted.Sub(c.Due)) }
