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
	Send    func(to *actor.PID, message any)

	// Where several processes write to the store, Leaser gives out leases of LeaseTTL; Owner
	// is this process. Intents is the store's, where Rules.Intents says so. Fresh says how far
	// others' writes are told.
	Leaser   store.Leaser
	Intents  store.Intents
	Owner    string
	LeaseTTL time.Duration
	Fresh    *directory.Freshness

	FlightTimeout time.Duration // of a request, from sending
	StoreTimeout  time.Duration // of each attempt at store work
	Inactivity    time.Duration // after which nobody asks for a session with a lifetime any more; 0: never

	// Revoke makes a refresh token useless; it is called where Rules.Revoke says so.
	Revoke func(ctx context.Context, of session.RegistrationID, token string) error

	// OnSaveError, if not nil, is told of each session whose state could not be saved
	// at the first try.
	OnSaveError func(key session.Key, err error)

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
	env   *Env
	pipe  Pipeline // nil: env.Runner
	boss  *actor.PID
	self  *actor.PID
	entry *directory.Entry
	core  *core    // nil while it has failed
	todo  []effect // what is still to be carried out
	box   blackBox

	granted bool          // the slot that was asked for was free
	encoder store.Encoder // for the errand under way
	running *errand       // that; nil when there is none
	saved   time.Time     // when this process last wrote the record

	timer, poll, renewal clock.Timer
}

// Props returns how session actors of one supervisor are made.
func Props(env *Env, boss *actor.PID) *actor.Props {
	if env.Fresh == nil {
		env.Fresh = &directory.Freshness{}
	}
	props := actor.PropsFromProducer(func() actor.Actor { return &Session{env: env, boss: boss} },
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
			actor.WithProducer(func() actor.Actor { return &Session{env: env, boss: boss, pipe: pipeline} }))
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
		for a.granted { // and nothing comes in between
			a.granted = false
			a.handle(&slotGranted{})
		}
	}
}

func (a *Session) adopt(m *messages.Adopt) {
	a.entry = m.Entry
	a.core = newCore(&a.env.Rules)
	shown := m.Entry.Snapshot()
	switch shown.Phase {
	case directory.Ready:
		a.box.alive, a.box.incarnation = true, shown.Incarnation
		a.core.resume(shown, m.Version, m.Held)
		a.box.token, a.box.kept = a.core.state.RefreshToken, a.core.state.RefreshToken
	case directory.Ended:
		a.core.resume(shown, m.Version, m.Held)
	case directory.Opening, directory.Missing, directory.Failed, directory.Moved:
	}
}

// handle gives m to the core and carries out what it says. A defect in either ends m
// and everyone who waits with internal_error, and nothing else.
func (a *Session) handle(m any) {
	handled := a.box.handled
	if _, counted := m.(messages.Command); counted {
		handled++
	}
	defer func() {
		if r := recover(); r != nil {
			a.fail(m, r)
			a.box.handled = handled // wherever it failed, m was seen
		}
	}()
	a.box.note(m)
	if m, back := m.(*written); back {
		a.running = nil
		a.noteVanished(m)
	}
	if a.core == nil {
		a.whileFailed(m)
		return
	}
	effects := a.core.on(m, a.env.Clock.Now())
	if m, ok := m.(*written); ok {
		a.noteRead(m) // not before: after a defect the session goes on showing what it did
	}
	a.box.remember(a.core)
	a.carryOut(effects)
}

// abandon releases everyone who still waits: they look for the session once more.
func (a *Session) abandon() {
	for _, t := range []clock.Timer{a.timer, a.poll, a.renewal} {
		if t != nil {
			t.Stop()
		}
	}
	if a.entry == nil || a.core != nil && a.core.resting {
		return // the entry was given up: another may own it
	}
	a.entry.CompleteAll(directory.Answer{Restart: true})
	if a.core != nil {
		for _, w := range a.core.lane {
			a.release(w, session.ErrClosed)
		}
	}
}
