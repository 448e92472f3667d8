package actors

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// bench is a session actor without the actor library: its messages are handed to it one by
// one, and what takes time is done when the test says so.
type bench struct {
	t        *testing.T
	s        *Session
	clock    *clock.Fake
	store    *storetest.Faulty
	stats    *directory.Stats
	pending  *directory.Pending
	entry    *directory.Entry
	logs     *observer.ObservedLogs
	received []any // to the supervisor
	mailbox  []any // to the session
	jobs     []func()
	permits  int // held
	grants   []func(error)
	spent    []string
	respond  session.TokenResponse
	err      error
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, clock: clock.NewFake(t0), stats: &directory.Stats{}, pending: &directory.Pending{}}
	b.store = storetest.NewFaulty(store.NewMemory(b.clock))
	core, logs := observer.New(zapcore.DebugLevel)
	b.logs = logs
	sealer, err := store.NewSealer("test", rand.Reader, "a secret of at least thirty-two bytes")
	if err != nil {
		t.Fatal(err)
	}
	self, supervisor := actor.NewPID("", "self"), actor.NewPID("", "supervisor")
	b.s = &Session{supervisor: supervisor, self: self, env: &Env{
		Fresh: &directory.Freshness{},
		Rules: *testRules(), Clock: b.clock, Rand: rand.Reader, Store: b.store, Codec: &store.Codec{Sealer: sealer, Domain: "https://tenant.example/"},
		Provider: b, Runner: b, Stats: b.stats, Pending: b.pending, Log: zap.New(core),
		Send: func(to *actor.PID, m any) {
			if to == supervisor {
				b.received = append(b.received, m)
			} else {
				b.mailbox = append(b.mailbox, m)
			}
		},
	}}
	b.s.env.Rules.FlightTimeout, b.s.env.Rules.StoreTimeout = time.Second, time.Second
	b.entry = directory.NewEntry("id", session.Key{1}, directory.NewSnapshot(directory.Opening, directory.Outcome{Settled: make(chan struct{})}))
	return b
}

func (b *bench) Refresh(_ context.Context, _ string, r idp.RefreshRequest) (session.TokenResponse, error) {
	b.spent = append(b.spent, r.RefreshToken)
	return b.respond, b.err
}

func (b *bench) ExchangeConnection(_ context.Context, _ string, r idp.ConnectionExchange) (session.TokenResponse, error) {
	b.spent = append(b.spent, r.RefreshToken)
	return b.respond, b.err
}

func (b *bench) Run(_ Work, work func(context.Context) any, deliver func(any)) {
	b.jobs = append(b.jobs, func() { deliver(work(context.Background())) })
}

func (b *bench) Permit(_ string, granted func(Permit, error)) (Permit, bool) {
	b.grants = append(b.grants, func(err error) { granted(Permit{}, err) })
	return Permit{}, false
}

// Spare refuses: callers wait for what these tests ask.
func (*bench) Spare(string) (p Permit, now bool) { return p, false }

func (b *bench) Release(Permit, session.Outcome) {
	if b.permits--; b.permits < 0 {
		b.t.Error("a permit was given back twice")
	}
}

// deliver hands over all that the mailbox holds.
func (b *bench) deliver() {
	for len(b.mailbox) > 0 {
		m := b.mailbox[0]
		b.mailbox = b.mailbox[1:]
		b.s.handle(m)
	}
}

func (b *bench) send(m any) {
	b.s.send(m)
	b.deliver()
}

func (b *bench) grant() {
	g := b.grants[0]
	b.grants = b.grants[1:]
	b.permits++
	g(nil)
	b.deliver()
}

// work does the oldest job.
func (b *bench) work() {
	j := b.jobs[0]
	b.jobs = b.jobs[1:]
	j()
	b.deliver()
}

func (b *bench) rest() {
	for range 100 {
		switch {
		case len(b.grants) > 0:
			b.grant()
		case len(b.jobs) > 0:
			b.work()
		default:
			return
		}
	}
	b.t.Fatal("it never comes to rest")
}

// live stores a session with that refresh token and has it adopted.
func (b *bench) live(token string) session.Incarnation {
	in, v := session.NewIncarnation(rand.Reader), session.NewVersion(rand.Reader)
	s := &session.State{User: session.User{"sub": "ann"}.Raw(), RefreshToken: token, Internal: session.Internal{SID: "sid"}}
	r, err := b.s.env.Codec.Encode(b.entry.Key, s, v, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Replace(b.t.Context(), b.entry.Key, r, store.Options{}); err != nil {
		b.t.Fatal(err)
	}
	b.entry.Publish(directory.NewReady(1, in, s))
	b.s.adopt(&messages.Adopt{Entry: b.entry, Version: v})
	b.deliver()
	return in
}

func (b *bench) ask(key session.FlightKey) *directory.Flight {
	q := &session.TokenQuery{Key: key, Audience: key.Audience}
	f, first := b.entry.Join(directory.NewFlight(q, store.Options{}), 8)
	if first {
		b.send(&messages.NeedToken{Flight: f})
	}
	return f
}

// poison is a message that the core cannot handle.
func (b *bench) poison() {
	b.send(&messages.NeedToken{Flight: directory.NewFlight(nil, store.Options{})})
	if b.s.core.life != failed {
		b.t.Fatal("the session has not failed")
	}
}

// stored returns the refresh token in the store, "" when there is no record.
func (b *bench) stored() string {
	s, _, _, err := b.s.env.load(b.t.Context(), b.entry.Key, store.Options{})
	if err != nil {
		return ""
	}
	return s.RefreshToken
}

func (b *bench) answer(f *directory.Flight) directory.Answer {
	b.t.Helper()
	select {
	case <-f.Done():
		return f.Answer()
	default:
		b.t.Fatal("a flight has not completed")
		return directory.Answer{}
	}
}

func rotated(token string) session.TokenResponse {
	return session.TokenResponse{AccessToken: "access", RefreshToken: token, ExpiresIn: 60, HasExpiresIn: true}
}

// A defect strikes at every point of a refresh: the new refresh token reaches the
// store all the same, no caller hangs, and the permit goes back.
func TestDefect_losesNoRefreshToken(t *testing.T) {
	steps := map[string]func(*bench){
		"waiting for a permit":      func(*bench) {},
		"on the wire":               func(b *bench) { b.grant() },
		"being saved":               func(b *bench) { b.grant(); b.work() },
		"not saved":                 func(b *bench) { b.store.Fail(storetest.OpUpdate, 1); b.grant(); b.work(); b.work() },
		"a save of unknown outcome": func(b *bench) { b.store.FailAfter(storetest.OpUpdate, 1); b.grant(); b.work(); b.work() },
	}
	for name, reach := range steps {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.live("r0")
			b.respond = rotated("r1")
			f := b.ask(keyA)
			reach(b)
			b.poison()
			b.answer(f)
			b.send(&messages.Recover{})
			b.rest()
			b.respond = rotated("r2")
			g := b.ask(keyB)
			b.rest()
			if err := b.answer(g).Err; err != nil {
				t.Errorf("afterwards: %v", err)
			}
			for i, token := range b.spent {
				if want := []string{"r0", "r1"}[i]; name != "waiting for a permit" && token != want {
					t.Errorf("request %d spent %s, want %s", i, token, want)
				}
			}
			if got := b.stored(); got != "r2" {
				t.Errorf("the store has %s, want r2", got)
			}
			if b.permits != 0 {
				t.Errorf("permits held = %d", b.permits)
			}
			if n := b.stats.Failing.Load(); n != 0 {
				t.Errorf("sessions unsaved = %d", n)
			}
			for _, e := range b.logs.All() {
				if strings.Contains(e.Message, "r1") {
					t.Errorf("logged %q", e.Message)
				}
			}
		})
	}
}

// The answer to an earlier login's request arrives while the session has failed: its
// refresh token is not the new session's.
func TestDefect_keepsGenerationsApart(t *testing.T) {
	b := newBench(t)
	b.live("ann/0")
	b.respond = rotated("ann/1")
	b.ask(keyA)
	b.grant()
	b.send(&messages.ReplaceSession{
		State:       &session.State{User: session.User{"sub": "bob"}.Raw(), RefreshToken: "bob/0"},
		Incarnation: session.NewIncarnation(rand.Reader), Call: directory.NewCall(t.Context(), store.Options{}),
	})
	ann := b.jobs[0]
	b.jobs = b.jobs[1:]
	b.work() // the login
	b.poison()
	ann()
	b.deliver()
	b.send(&messages.Recover{})
	b.rest()
	if got := b.stored(); got != "bob/0" {
		t.Errorf("the store has %s, want bob/0", got)
	}
}

// What another process wrote while the session had failed: a new refresh token goes on top of one that was
// given up there, and not on another login's, which may have none.
func TestDefect_thenWrittenElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		kept  string
		found session.Incarnation
		want  string
	}{
		"given up":             {"r0", session.Incarnation{1}, "r1"},
		"another login's":      {"", session.Incarnation{2}, ""},
		"given up, by another": {"r0", session.Incarnation{2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCore(testRules())
			c.life, c.before, c.generation, c.incarnation = failed, live, 1, session.Incarnation{1}
			c.state, c.saved = &session.State{RefreshToken: "r1"}, &session.State{RefreshToken: tt.kept}
			c.on(&messages.Recover{}, t0)
			c.on(&opDone{op: c.running, found: record{session.Version{1}, tt.found, &session.State{}}}, t0)
			if got := c.state.RefreshToken; got != tt.want {
				t.Errorf("refresh token %q, want %q", got, tt.want)
			}
		})
	}
}

// What a request brings whose refresh token another process has spent too stays behind what that
// got, as without a defect.
func TestDefect_behindAnotherProcess(t *testing.T) {
	b := newBench(t)
	in := b.live("r0")
	b.respond = rotated("r1")
	b.ask(keyA)
	b.grant()
	v := session.NewVersion(rand.Reader)
	r, err := b.s.env.Codec.Encode(b.entry.Key, &session.State{RefreshToken: "r-elsewhere"}, v, in)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.Replace(t.Context(), b.entry.Key, r, store.Options{}); err != nil {
		t.Fatal(err)
	}
	request := b.jobs[0]
	b.jobs = b.jobs[1:]
	b.send(&messages.ReadRecord{})
	b.work()
	b.poison()
	request()
	b.deliver()
	b.send(&messages.Recover{})
	b.rest()
	if got := b.stored(); got != "r-elsewhere" {
		t.Errorf("the store has %s, want the other process's", got)
	}
}

// A logout of another incarnation, while the session has failed, takes neither the session
// nor its unsaved refresh token.
func TestDefect_otherLogoutLeavesTheSession(t *testing.T) {
	b := newBench(t)
	b.live("r0")
	b.respond = rotated("r1")
	b.ask(keyA)
	b.grant()
	b.work()
	b.store.Fail(storetest.OpUpdate, 1)
	b.work()
	b.poison()
	b.send(&messages.EndSession{Only: session.Incarnation{9}, Why: session.ReasonLogout})
	b.send(&messages.Recover{})
	b.rest()
	if got := b.stored(); got != "r1" {
		t.Errorf("the store has %q, want r1", got)
	}
	if p := b.entry.Snapshot().Phase; p != directory.Ready {
		t.Errorf("phase = %d, want ready", p)
	}
}

// A logout whose deletion is under way when a defect strikes is carried out, and its
// end settles.
func TestDefect_losesNoLogout(t *testing.T) {
	for name, reach := range map[string]func(*bench){
		"waiting":       func(*bench) {},
		"failed before": func(b *bench) { b.store.Fail(storetest.OpEnd, 1); b.work() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.live("r0")
			b.send(&messages.EndSession{Why: session.ReasonLogout})
			end := b.entry.Snapshot()
			reach(b)
			b.poison()
			b.send(&messages.Recover{})
			b.rest()
			if got := b.stored(); got != "" {
				t.Errorf("the store has %s", got)
			}
			select {
			case <-end.Settled:
			default:
				t.Error("the end never settles")
			}
			if n := b.stats.Failing.Load(); n != 0 {
				t.Errorf("sessions unsaved = %d", n)
			}
		})
	}
}

// A session that fails before it shows anything keeps no caller waiting.
func TestDefect_duringActivationAnswersAllCallers(t *testing.T) {
	b := newBench(t)
	opening := b.entry.Snapshot()
	b.s.adopt(&messages.Adopt{Entry: b.entry})
	b.s.env.Rand = strings.NewReader("") // no version can be drawn: a panic
	call := directory.NewCall(t.Context(), store.Options{})
	b.send(&messages.ReplaceSession{State: &session.State{}, Call: call})
	<-call.Done()
	if _, err := call.Ended(); session.CodeOf(err) != session.CodeInternalError {
		t.Errorf("the login: %v, want internal_error", err)
	}
	select {
	case <-opening.Settled:
	default:
		t.Error("callers who wait for the entry wait for ever")
	}
	if s := b.entry.Snapshot(); s.Phase != directory.Failed || session.CodeOf(s.Err) != session.CodeInternalError {
		t.Errorf("phase %d, %v, want failed, internal_error", s.Phase, s.Err)
	}
	b.s.env.Rand = rand.Reader
	b.send(&messages.Recover{})
	if b.s.core.life == failed {
		t.Error("it waits for a write that never began")
	}
}

// Those who were to be answered are, also where an effect before that failed.
func TestDefect_betweenTheEffectsOfAMessage(t *testing.T) {
	b := newBench(t)
	b.live("r0")
	b.store.Fail(storetest.OpEnd, 1)
	call := directory.NewCall(t.Context(), store.Options{})
	b.send(&messages.EndSession{Why: session.ReasonLogout, Call: call})
	b.s.env.Rand = panicking{} // the wait before the deletion is tried again is drawn first
	b.work()
	if ended, err := call.Ended(); !ended || session.CodeOf(err) != session.CodeInternalError {
		t.Errorf("the logout: ended %v, %v, want internal_error", ended, err)
	}
}

// What a call lent to the store is in use until that has answered: only then is it told of the defect, or that
// its session was abandoned.
func TestDefect_waitsForWhatACallLent(t *testing.T) {
	for want, strike := range map[session.Code]func(*bench){
		session.CodeInternalError: (*bench).poison,
		session.CodeClosed:        func(b *bench) { b.s.abandon() },
	} {
		for _, begun := range []bool{true, false} {
			b := newBench(t)
			b.live("r0")
			call := directory.NewCall(t.Context(), store.Options{})
			b.send(&messages.ReplaceSession{Incarnation: session.NewIncarnation(rand.Reader), State: &session.State{}, Call: call})
			gate, done, j := b.store.Hold(storetest.OpReplace), make(chan struct{}), b.jobs[0]
			b.jobs = nil
			if begun {
				go func() { defer close(done); j() }()
				gate.Arrived(t, 1)
			}
			strike(b)
			if ended, _ := call.Ended(); ended == begun {
				t.Errorf("%s: the write has begun %v, and the call ended %v", want, begun, ended)
			}
			gate.Release()
			if begun {
				<-done
			}
			if ended, err := call.Ended(); !ended || session.CodeOf(err) != want {
				t.Errorf("ended %v, %v, want %s", ended, err, want)
			}
			b.deliver()
			if b.s.running != nil && begun {
				t.Errorf("%s: what was lent is kept", want)
			}
		}
	}
}

// A defect that strikes again before the record could be read deletes nothing.
func TestDefect_twiceWhileTheStoreIsDown(t *testing.T) {
	b := newBench(t)
	b.live("r0")
	b.poison()
	b.store.Fail(storetest.OpLoad, 1)
	b.send(&messages.Recover{})
	b.work()
	b.s.env.Clock = stopped{b.clock}
	b.send(&messages.Passivate{})
	if b.s.core.life != failed {
		t.Fatal("the session has not failed again")
	}
	b.s.env.Clock = b.clock
	b.send(&messages.Recover{})
	b.rest()
	if b.stored() != "r0" || b.entry.Snapshot().Phase != directory.Ready {
		t.Errorf("the store has %q, phase %d, want r0 and ready", b.stored(), b.entry.Snapshot().Phase)
	}
}

// stopped is a clock that cannot tell the time.
type stopped struct{ clock.Clock }

func (stopped) Now() time.Time { panic("planted") }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("planted") }

// A record that goes while the session has failed leaves nothing that cannot be saved.
func TestDefect_thenGone(t *testing.T) {
	b := newBench(t)
	b.live("r0")
	b.respond = rotated("r1")
	b.ask(keyA)
	b.grant()
	b.work()
	b.store.Fail(storetest.OpUpdate, 1)
	b.work()
	b.poison()
	if err := b.store.End(t.Context(), b.entry.Key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}); err != nil {
		t.Fatal(err)
	}
	b.send(&messages.Recover{})
	b.rest()
	if n := b.stats.Failing.Load(); n != 0 {
		t.Errorf("sessions unsaved = %d", n)
	}
}

// A deletion under way when the core fails, and one that is to be done when it starts again: what has
// happened is not done once more, for a user may have signed in since, and a deletion that has not is owed.
func TestDefect_duringADeletion(t *testing.T) {
	for name, tt := range map[string]struct {
		how  func(b *bench)
		owed directory.Unsaved
	}{
		"it happens":            {func(b *bench) { b.poison(); b.work() }, directory.Saving},
		"it has happened":       {func(b *bench) { b.work(); b.poison() }, directory.Saved},
		"it fails":              {func(b *bench) { b.store.Fail(storetest.OpEnd, 1); b.poison(); b.work() }, directory.Saving},
		"it is asked for again": {func(b *bench) { b.work(); b.poison(); b.send(&messages.EndSession{Why: session.ReasonLogout}) }, directory.Saving},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.live("r0")
			b.send(&messages.EndSession{Why: session.ReasonCeiling})
			tt.how(b)
			if got := b.entry.Unsaved(); got != tt.owed {
				t.Errorf("unsaved: %v, want %v", got, tt.owed)
			}
			again := name == "it fails" || name == "it is asked for again"
			before := b.store.Ends()
			b.send(&messages.Recover{})
			b.rest()
			if n := b.store.Ends() - before; (n > 0) != again {
				t.Errorf("deletions when it starts again: %d", n)
			}
			if got := b.entry.Unsaved(); got != directory.Saved || b.stored() != "" {
				t.Errorf("unsaved: %v, the store has %q", got, b.stored())
			}
			if s := b.entry.Snapshot(); s.Phase != directory.Ended || !again && s.Reason != session.ReasonCeiling {
				t.Errorf("it is shown as %v, %s", s.Phase, s.Reason)
			}
		})
	}
}

// A record that was being read when a session failed is not what the session shows: it is read again before that is shown.
func TestDefect_whatWasReadMeanwhileIsNotShown(t *testing.T) {
	b := newBench(t)
	fresh := b.s.env.Fresh
	fresh.Shared = true
	fresh.FeedReset(b.clock.Mono())
	b.live("r0")
	b.entry.Read(fresh.Reading(b.clock.Mono()))
	if !fresh.MayShow(b.entry, b.clock) {
		t.Fatal("it is not shown in the first place")
	}
	b.send(&messages.ReadRecord{}) // another process has written
	b.poison()
	b.work() // the record
	if fresh.MayShow(b.entry, b.clock) {
		t.Error("the snapshot of before the defect counts as read")
	}
	b.send(&messages.Recover{})
	b.rest()
	if !fresh.MayShow(b.entry, b.clock) {
		t.Error("it was read again, and is not shown")
	}
}
