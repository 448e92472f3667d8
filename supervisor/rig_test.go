package supervisor

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward/actors"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/internal/lookup"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

// rig is a supervisor with real actors, a fake clock and a store that fails as told.
type rig struct {
	t          *testing.T
	clock      *clock.Fake
	memory     *store.Memory
	store      *storetest.Faulty
	stats      *directory.Stats
	pending    *directory.Pending
	env        *actors.Env
	dir        *directory.Directory
	system     *actor.ActorSystem
	supervisor *actor.PID
	s          *Supervisor // look at it through inside only
	work       sync.WaitGroup
}

// look has the supervisor itself call f.
type look struct {
	messages.Redacted
	f    func()
	done chan struct{}
}

type looking struct{ *Supervisor }

func (l looking) Receive(ctx actor.Context) {
	if m, ok := ctx.Message().(*look); ok {
		m.f()
		close(m.done)
		return
	}
	l.Supervisor.Receive(ctx)
}

func newRig(t *testing.T, change ...func(*rig, *session.Limits)) *rig {
	r := &rig{t: t, clock: clock.NewFake(t0), stats: &directory.Stats{}, pending: &directory.Pending{}, dir: directory.NewDirectory()}
	r.memory = store.NewMemory(r.clock)
	r.store = storetest.NewFaulty(r.memory)
	sealer, err := store.NewSealer("test", rand.Reader, "a secret of at least thirty-two bytes")
	if err != nil {
		t.Fatal(err)
	}
	r.system = actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
	r.env = &actors.Env{
		Rules: actors.Rules{Exclusive: true, DefaultQuery: &session.TokenQuery{Key: session.QueryKey("default", "")}, Limits: session.Limits{
			FlightTimeout: 10 * time.Second, StoreTimeout: 5 * time.Second, QueuedQueries: 7,
			Resident: 1000, PassivateAfter: 15 * time.Minute, RememberEnded: 10 * time.Minute, RememberMissing: time.Second,
			RetryFirst: 50 * time.Millisecond, RetryMost: 5 * time.Second,
		}},
		Clock: r.clock, Rand: rand.Reader, Store: r.store, Codec: &store.Codec{Sealer: sealer, Domain: "https://tenant.example/"},
		Provider: r, Runner: r, Stats: r.stats, Pending: r.pending, Log: zap.NewNop(), Send: r.system.Root.Send,
	}
	for _, f := range change {
		f(r, &r.env.Rules.Limits)
	}
	if r.env.Fresh == nil {
		r.env.Fresh = &directory.Freshness{Missing: r.env.Rules.RememberMissing, Stats: r.env.Stats}
	}
	props := Props(r.env, r.dir)
	r.s = newSupervisor(r.env, r.dir)
	r.supervisor = r.system.Root.Spawn(props.Clone(actor.WithProducer(func() actor.Actor { return looking{r.s} })))
	t.Cleanup(r.close)
	r.settle()
	return r
}

func (r *rig) close() {
	r.store.Heal()
	r.settle()
	if r.supervisor != nil {
		reply := make(chan []session.Key, 1)
		r.send(&messages.Abort{Reply: reply})
		<-reply
		r.stop()
	}
	r.work.Wait()
	r.system.Shutdown()
}

// stop stops the supervisor.
func (r *rig) stop() {
	r.system.Root.Stop(r.supervisor)
	r.supervisor = nil
	r.settle()
}

func (r *rig) Refresh(context.Context, string, idp.RefreshRequest) (session.TokenResponse, error) {
	return session.TokenResponse{AccessToken: "access", RefreshToken: "r1", ExpiresIn: 60, HasExpiresIn: true}, nil
}

func (r *rig) ExchangeConnection(context.Context, string, idp.ConnectionExchange) (session.TokenResponse, error) {
	return session.TokenResponse{AccessToken: "access", ExpiresIn: 3600, HasExpiresIn: true}, nil
}

func (r *rig) Run(_ actors.Work, work func(context.Context) any, deliver func(any)) {
	r.pending.Add(1)
	r.work.Go(func() {
		deliver(work(context.Background()))
		r.pending.Add(-1)
	})
}

func (r *rig) Permit(string, func(actors.Permit, error)) (p actors.Permit, now bool) { return p, true }

func (r *rig) Spare(string) (p actors.Permit, now bool) { return p, true }

func (r *rig) Release(actors.Permit, session.Outcome) {}

func (r *rig) send(m any) { r.system.Root.Send(r.supervisor, m) }

// lookup returns what calls have in common. Whenever a call waits, everything comes to rest first.
func (r *rig) lookup() *lookup.Lookup {
	return &lookup.Lookup{
		Directory: r.dir, Clock: r.clock, Fresh: r.env.Fresh, Name: "test", Supervisor: r.supervisor, Send: r.env.Send,
		Await: func(_ context.Context, w lookup.Wait) lookup.Event {
			r.settle()
			if w.Entry != nil {
				return lookup.Event{Kind: lookup.EntryFound, Entry: <-w.Entry}
			}
			return lookup.Event{}
		},
	}
}

// settle returns when nothing is to be handled.
func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for r.pending.Count() != 0 {
		select {
		case <-r.pending.Rest():
		case <-ctx.Done():
			r.t.Fatalf("it never settles: %d pending", r.pending.Count())
		}
	}
}

// pass lets d pass, and the timers fire.
func (r *rig) pass(d time.Duration) {
	for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
		r.clock.Advance(min(time.Second, end.Sub(r.clock.Now())))
		r.settle()
	}
}

// inside has f look at the supervisor, on its own goroutine.
func (r *rig) inside(f func(*Supervisor)) {
	m := &look{f: func() { f(r.s) }, done: make(chan struct{})}
	r.send(m)
	<-m.done
}

func id(i int) string { return fmt.Sprint("session-", i) }

func keyOf(id string) session.Key { return session.KeyOf("test", id) }

// put stores a session as an earlier process would have.
func (r *rig) put(id string, ceiling session.Ceiling) session.Incarnation {
	r.t.Helper()
	return r.keep(id, &session.State{
		User: session.User{"sub": "ann"}.Raw(), RefreshToken: "r0", Internal: session.Internal{SID: "sid", Ceiling: ceiling},
	})
}

// keep is put for any state.
func (r *rig) keep(id string, s *session.State) session.Incarnation {
	r.t.Helper()
	in := session.NewIncarnation(rand.Reader)
	rec, err := r.env.Codec.Encode(keyOf(id), s, session.NewVersion(rand.Reader), in)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.memory.Replace(r.t.Context(), keyOf(id), rec, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
	return in
}

// open asks for the entry of a session, without waiting for more to see.
func (r *rig) open(id string) *directory.Entry {
	replied := make(chan *directory.Entry, 1)
	r.send(&messages.OpenSession{ID: id, Key: keyOf(id), Call: directory.NewCall(context.Background(), store.Options{}), Reply: replied})
	return <-replied
}

// login writes a session.
func (r *rig) login(id string, ceiling session.Ceiling) error {
	call := r.startLogin(id, ceiling)
	<-call.Done()
	_, err := call.Ended()
	return err
}

func (r *rig) startLogin(id string, ceiling session.Ceiling) *directory.Call {
	call := directory.NewCall(r.t.Context(), store.Options{})
	r.send(&messages.ReplaceSession{
		ID: id, Key: keyOf(id), Incarnation: session.NewIncarnation(rand.Reader), Call: call,
		State: &session.State{User: session.User{"sub": "ann"}.Raw(), RefreshToken: "r0", Internal: session.Internal{SID: "sid", Ceiling: ceiling}},
	})
	return call
}

// ask starts a flight.
func (r *rig) ask(e *directory.Entry, key session.FlightKey) *directory.Flight {
	f, first := e.Join(directory.NewFlight(&session.TokenQuery{Key: key, Audience: key.Audience}, store.Options{}), 8)
	if first {
		to := e.PID()
		if to == nil {
			to = r.supervisor
		}
		r.system.Root.Send(to, &messages.NeedToken{Flight: f, Entry: e})
	}
	return f
}

// actorOf returns the session's actor. An idle session is activated for that.
func (r *rig) actorOf(e *directory.Entry) *actor.PID {
	r.inside(func(s *Supervisor) { s.activate(s.residents.get(e.Key)) })
	return e.PID()
}

// counts checks what the supervisor counts against what it has.
func (r *rig) counts() {
	r.t.Helper()
	r.inside(func(s *Supervisor) {
		awake, active, missing, deleting := 0, 0, 0, 0
		for sl := range s.residents.all() {
			if sl.resident() {
				awake++
			}
			if sl.pid() != nil {
				active++
			}
			if sl.missing {
				missing++
			}
			if sl.deleting {
				deleting++
			}
		}
		if s.awake != awake || s.missing != missing {
			r.t.Errorf("counted %d awake and %d missing, there are %d and %d", s.awake, s.missing, awake, missing)
		}
		if s.active != active {
			r.t.Errorf("counted %d with an actor, there are %d", s.active, active)
		}
		if s.deleting != deleting {
			r.t.Errorf("counted %d that are only to be deleted, there are %d", s.deleting, deleting)
		}
		if n := r.stats.Resident.Load(); n != int64(awake) {
			r.t.Errorf("resident = %d, want %d", n, awake)
		}
	})
}
