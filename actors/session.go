package actors

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/hooks"
	"github.com/tokenward/tokenward/internal/telemetry"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Provider is what a session asks of the identity provider, by the application that it is of.
type Provider interface {
	Refresh(ctx context.Context, clientID string, r idp.RefreshRequest) (session.TokenResponse, error)
	ExchangeConnection(ctx context.Context, clientID string, r idp.ConnectionExchange) (session.TokenResponse, error)
}

// Env is what all session actors of a client share.
type Env struct {
	Rules    Rules
	Clock    clock.Clock
	Rand     io.Reader
	Store    store.StateStore
	Codec    *store.Codec
	Provider Provider
	Runner   Runner
	// Pipeline makes what runs the turns of one session actor, and what they start. Nil means
	// Runner and Dispatcher.
	Pipeline func() Pipeline
	// Dispatcher runs the turns of session actors where Pipeline is nil; nil means the library's, a
	// goroutine for each.
	Dispatcher actor.Dispatcher
	// Mailbox makes the actors' mailboxes; nil means the library's, without a bound and
	// counted by Pending.
	Mailbox actor.MailboxProducer
	Stats   *directory.Stats
	Pending *directory.Pending
	Log     *zap.Logger
	// Telemetry tells an observer of each operation; nil tells nothing.
	Telemetry *telemetry.Telemetry
	Send      func(to *actor.PID, message any)

	// Where several processes write to the store, Leaser gives out leases of Rules.Lease; Owner
	// is this process. Intents is the store's, where Rules.Intents says so. Fresh says how far others' writes
	// are told.
	Leaser  store.Leaser
	Intents store.Intents
	Owner   string
	Fresh   *directory.Freshness

	Inactivity time.Duration // after which no caller asks for a session with a lifetime any more; 0: never

	// Revoke makes a refresh token useless; it is called where Rules.Revoke says so.
	Revoke func(ctx context.Context, of session.RegistrationID, token string) error

	// OnSaveError, if not nil, is told of each session whose state could not be saved
	// at the first try.
	OnSaveError func(key session.Key, err error)

	// Hooks tells the application what has happened to sessions; nil tells nothing.
	Hooks *hooks.Queue

	// Vanished, where not nil, is called for each record of a session in memory that the store does not have any more, and
	// for which it has no tombstone. It is nil where a store may forget an end that way.
	Vanished func()
}

// Mailboxes returns what makes the actors' mailboxes.
func (env *Env) Mailboxes() actor.MailboxProducer {
	if env.Mailbox != nil {
		return env.Mailbox
	}
	return actor.Unbounded(env.Pending)
}

// Answered notes that store work ended with err. Refusals are answers of the store, too.
func (env *Env) Answered(err error) {
	if err == nil || slices.ContainsFunc([]error{store.ErrNotFound, store.ErrConflict, store.ErrLeased, store.ErrPresented},
		func(refusal error) bool { return errors.Is(err, refusal) }) {
		env.Fresh.Answered()
	}
}

// Session is the session actor: the adapter between the actor library and the core.
type Session struct {
	env        *Env
	pipe       Pipeline // nil: env.Runner
	supervisor *actor.PID
	self       *actor.PID
	entry      *directory.Entry
	core       *core
	kept       survivor // of the last message that went well
	next       any      // the message that comes before those in the mailbox; nil: none does

	// These stand beside the core: a core that panics is thrown away, and what it has asked for comes back to the next one.
	step    step          // of the permit or the request that is out; waitingForLease is none
	permit  Permit        // the one that is held
	running *opRun        // the store operation that is out; nil: none is
	encoder store.Encoder // for that

	timer, poll, renewal clock.Timer
}

// Props returns how session actors of one supervisor are made.
func Props(env *Env, supervisor *actor.PID) *actor.Props {
	if env.Fresh == nil {
		env.Fresh = &directory.Freshness{}
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &Session{env: env, supervisor: supervisor} },
		actor.WithMailbox(env.Mailboxes()))
	if env.Pipeline == nil {
		if env.Dispatcher != nil {
			props.Configure(actor.WithDispatcher(env.Dispatcher))
		}
		return props
	}
	return props.Configure(actor.WithSpawnFunc(func(system *actor.ActorSystem, id string, props *actor.Props, parent actor.SpawnerContext) (*actor.PID, error) {
		own, pipeline := *props, env.Pipeline()
		own.Configure(actor.WithDispatcher(pipeline),
			actor.WithProducer(func() actor.Actor { return &Session{env: env, supervisor: supervisor, pipe: pipeline} }))
		return actor.DefaultSpawner(system, id, &own, parent)
	}))
}

// Receive handles one message at a time. It never waits.
func (a *Session) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *messages.Adopt:
		a.self = ctx.Self()
		a.adopt(m)
	case *actor.Started, *actor.Stopped, *actor.Restarting:
	case *actor.Stopping:
		a.abandon()
	default:
		a.handle(m)
		for a.next != nil {
			m, a.next = a.next, nil
			a.handle(m)
		}
	}
}

func (a *Session) adopt(m *messages.Adopt) {
	a.entry = m.Entry
	a.core = newCore(&a.env.Rules)
	switch shown := m.Entry.Snapshot(); shown.Phase {
	case directory.Ready, directory.Ended:
		a.core.resume(shown, m)
		a.kept = a.core.keep(a.kept)
	case directory.Opening, directory.Missing, directory.Failed, directory.Moved: // nothing is known of it yet
	}
}

// handle gives m to the core and carries out what it says. A panic in either ends m
// and everyone who waits with internal_error, and nothing else.
//
// The order matters: what has come back is noted, the core decides, what outlives a panic is copied, and then the effects are
// carried out. A panic among the effects finds the decision copied already, and the rest of the answers are errors.
func (a *Session) handle(m any) {
	handled := a.core.handled
	if _, counted := m.(messages.Command); counted {
		handled++ // wherever it fails, m was seen
	}
	defer func() {
		if r := recover(); r != nil {
			a.fail(m, r, handled)
		}
	}()
	a.cameBack(m)
	effects := a.core.on(m, a.env.Clock.Now())
	if m, ok := m.(*opDone); ok && a.core.life != failed {
		a.noteRead(m) // not before: after a panic the snapshot stays as old as it was, until the record is read again
	}
	a.kept = a.core.keep(a.kept)
	a.carryOut(effects)
}

// cameBack notes that something which was out has come back.
//
// It is done before the core sees the message. If the core panics on it, the adapter knows all the same which requests are out, and the
// session that starts again waits for that and for nothing else.
func (a *Session) cameBack(m any) {
	switch m := m.(type) {
	case *permitGranted:
		if a.step = noRequest; m.err == nil {
			a.step, a.permit = beginning, m.permit
		}
	case *providerAnswered:
		a.step = noRequest
	case *opDone:
		a.running = nil
		a.noteVanished(m)
	}
}

// abandon releases everyone who still waits: they look for the session once more.
//
// The supervisor has stopped the actor. A caller whose call the store is still using is told when that has come back: until then the
// store may touch what the caller lent.
func (a *Session) abandon() {
	for _, t := range []clock.Timer{a.timer, a.poll, a.renewal} {
		if t != nil {
			t.Stop()
		}
	}
	if a.entry == nil || a.core.life == released {
		return // the entry was given up: another may own it
	}
	a.entry.CompleteAll(directory.Answer{Restart: true})
	for _, call := range a.core.updates.waiting {
		call.End(session.ErrClosed)
	}
	a.core.queued(func(o op) bool {
		a.release(o, session.ErrClosed)
		return false
	})
}
