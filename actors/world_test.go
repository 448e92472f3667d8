package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var t0 = time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC)

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is everything around one core, as plain values: supervisor, callers, provider
// and store. It carries out what the core says, and holds it to its promises at every
// step. Messages wait in the mailbox until they are delivered.
//
// It is not the simulation of internal/testing/sim. Here one core is real, and all around it is a model: a test can deliver
// any message at any moment, also one that the real supervisor or store would send at that moment once in a million runs; a
// sequence takes microseconds, and rapid shortens one that fails. The simulation runs the real supervisor, actors, directory,
// calls and stores of several processes. What lies between those is held there and not here: which actor owns an entry, what
// a caller is answered, what two processes do to each other.
type world struct {
	t     failer
	rules *Rules
	now   time.Time

	core    *core // nil while the session is not resident
	entry   *directory.Entry
	mailbox []any
	sent    uint64 // commands sent to this core
	shown   *directory.Snapshot
	ends    []*directory.Snapshot // every one that said "ended"

	flights []*journey
	calls   map[*directory.Call]int // how often each was answered

	// The provider. Refresh tokens are "login/number"; newest says which one works.
	logins int
	newest map[string]string
	serial int
	others bool // another process spends refresh tokens too, without a lease
	onWire *spend
	asked  bool // for a permit
	held   bool
	spends int

	// The store.
	record     *record
	gone       session.Reason
	writing    op
	holder     string // of the lease: self, other, or unheld
	epoch      int64
	lapses     bool          // the lease may lapse under a request
	grace      time.Duration // until an outage is over for everybody
	unheard    bool          // of a lease that was taken or given back: it lapses by itself
	intent     *store.Intent
	lost       map[string]bool // logins whose newest refresh token nobody has
	throttled  time.Time       // until then no request may be sent
	tells      bool            // the store tells of writes
	notices    []*messages.ReadRecord
	late       bool // what the store answers is held back, in reply
	reply      *opDone
	unreadable bool // what was told could not be read
	marker     bool // an end is remembered, and no actor is left
	poll       bool
	polled     time.Duration                  // how long that waits
	renewed    time.Time                      // when the lease was asked for that is renewed next
	renew      bool                           // the timer
	renewal    int64                          // under way, of the lease with that epoch; 0: none is
	names      map[session.Incarnation]string // of logins
	dead       map[session.Incarnation]bool   // ended, or replaced
	retry      bool
	updates    int
	trace      []string
}

// journey is a flight and how it went.
type journey struct {
	flight    *directory.Flight
	login     string // of the session that was asked
	completed bool
	answer    directory.Answer
}

func testRules() *Rules {
	return &Rules{
		ClientID: "demo", Issuer: "https://tenant.example/", Exclusive: true,
		DefaultQuery: &session.TokenQuery{Key: session.QueryKey("a", ""), Audience: "a"},
		Limits:       session.Limits{RememberEnded: 10 * time.Minute, RetryFirst: 50 * time.Millisecond, RetryMost: 5 * time.Second},
	}
}

func newWorld(t failer) *world {
	return &world{
		t: t, rules: testRules(), now: t0, calls: make(map[*directory.Call]int), newest: make(map[string]string),
		names: make(map[session.Incarnation]string), dead: make(map[session.Incarnation]bool), lost: make(map[string]bool),
	}
}

// newTestWorld returns a world with a session that has just been loaded.
func newTestWorld(t *testing.T) *world {
	w := newWorld(t)
	in, s := w.newLogin(0)
	w.record = &record{w.version(), in, s}
	w.load()
	return w
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(w.trace, "\n  "))
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *world) version() (v session.Version) {
	w.serial++
	copy(v[:], fmt.Sprintf("v%d", w.serial))
	return v
}

// newLogin returns what a login that was just made at the provider brings.
func (w *world) newLogin(ceiling session.Ceiling) (session.Incarnation, *session.State) {
	w.logins++
	name := fmt.Sprintf("login%d", w.logins)
	var in session.Incarnation
	copy(in[:], name)
	w.names[in] = name
	w.newest[name] = name + "/0"
	return in, &session.State{
		User: session.User{"sub": name}.Raw(), RefreshToken: w.newest[name],
		Internal: session.Internal{SID: name, CreatedAt: w.now.Unix(), Ceiling: ceiling},
	}
}

// rotate makes a new refresh token for the family of token.
func (w *world) rotate(token string) string {
	name, _, _ := strings.Cut(token, "/")
	w.serial++
	w.newest[name] = fmt.Sprintf("%s/%d", name, w.serial)
	return w.newest[name]
}

func familyOf(token string) string {
	name, _, _ := strings.Cut(token, "/")
	return name
}

// load makes the session resident, from the store.
func (w *world) load() {
	w.wake()
	w.note("adopt %s", w.names[w.record.incarnation])
	shown := directory.NewReady(1, w.record.incarnation, w.record.state)
	w.carryOut([]effect{publish{shown}})
	w.core.resume(shown, &messages.Adopt{Version: w.record.version})
	w.check()
}

// wake makes a core that knows nothing.
func (w *world) wake() {
	w.entry = directory.NewEntry("id", session.Key{1}, directory.NewSnapshot(directory.Opening, directory.Outcome{Settled: make(chan struct{})}))
	w.core, w.sent, w.mailbox, w.shown, w.retry = newCore(w.rules), 0, nil, nil, false
	w.poll, w.renew, w.renewal = false, false, 0
}

// command posts what the supervisor sends.
func (w *world) command(m any) {
	if w.core == nil {
		w.wake()
	}
	w.sent++
	w.post(m)
}

func (w *world) post(m any) { w.mailbox = append(w.mailbox, m) }

// deliver hands the core its next message.
func (w *world) deliver() {
	m := w.mailbox[0]
	w.mailbox = w.mailbox[1:]
	w.note("%s", describe(m))
	w.carryOut(w.core.on(m, w.now))
	w.check()
}

func (w *world) deliverAll() {
	for w.core != nil && len(w.mailbox) > 0 {
		w.deliver()
	}
}

func describe(m any) string {
	switch m := m.(type) {
	case *messages.NeedToken:
		return fmt.Sprintf("NeedToken %+v", m.Flight.Query.Key)
	case *opDone:
		return fmt.Sprintf("%T done: %v", m.op, m.err)
	case *providerAnswered:
		return fmt.Sprintf("answered: rotated to %q, %v", m.response.RefreshToken, m.err)
	case *permitGranted:
		return fmt.Sprintf("permitGranted: %v", m.err)
	case *renewedLease:
		return fmt.Sprintf("renewed: %v", m.err)
	}
	return fmt.Sprintf("%T", m)
}

// ask has a caller ask key, who joins a flight where there is one.
func (w *world) ask(key session.FlightKey) *journey {
	q := &session.TokenQuery{Key: key, Audience: key.Audience, Scope: key.Scopes}
	f, first := w.entry.Join(directory.NewFlight(q, store.Options{}), 8)
	if !first {
		return nil
	}
	j := &journey{flight: f, login: w.names[w.shown.Incarnation]}
	w.flights = append(w.flights, j)
	w.post(&messages.NeedToken{Flight: f})
	return j
}

func (w *world) call() *directory.Call {
	c := directory.NewCall(context.Background(), store.Options{})
	w.calls[c] = 0
	return c
}

func (w *world) login(ceiling session.Ceiling) session.Incarnation {
	in, s := w.newLogin(ceiling)
	w.command(&messages.ReplaceSession{State: s, Incarnation: in, Call: w.call()})
	return in
}

func (w *world) logout(only session.Incarnation) {
	w.command(&messages.EndSession{Only: only, Why: session.ReasonLogout, Call: w.call()})
}

func (w *world) reachCeiling() {
	w.command(&messages.CeilingReached{Generation: w.shown.Generation, Call: w.call()})
}

// grant answers the request for a permit.
func (w *world) grant(err error) {
	w.asked, w.held = false, err == nil
	w.post(&permitGranted{err: err})
}

// answerKind says how the provider answers.
type answerKind int

const (
	answersRotated       answerKind = iota // a token, and a new refresh token
	answersPlain                           // a token
	answersRotatedBroken                   // a new refresh token, but nothing else of use
	answersRotatedError                    // an error, and a new refresh token
	answersUnreachable                     // nothing came through
	answersRefused                         // invalid_grant
	answersDenied                          // invalid_target: the token is well
	answersThrottled                       // 429, to be tried again in half a minute
)

// answerRequest answers the request on the wire.
func (w *world) answerRequest(how answerKind) {
	e := w.onWire
	w.onWire, w.held = nil, false
	if e.token != w.newest[familyOf(e.token)] {
		how = answersRefused // reuse, which only another process may bring about
	}
	m := &providerAnswered{}
	switch how {
	case answersRotated, answersRotatedBroken, answersRotatedError:
		m.response.RefreshToken = w.rotate(e.token)
	case answersUnreachable:
		m.err = &session.APIError{Code: session.CodeTokenError, Err: errors.New("unreachable")}
	case answersRefused:
		if a := w.core.request; !e.query.Key.ForConnection() && (a.mayBeSpent || e.token == w.newest[familyOf(e.token)]) {
			w.lost[familyOf(e.token)] = true // it is dropped
		}
		m.err = &session.APIError{Code: "invalid_grant", Status: 403}
	case answersDenied:
		m.err = &session.APIError{Code: "invalid_target", Status: 400}
	case answersThrottled:
		m.err = &session.APIError{Code: "too_many_requests", Status: 429, RetryAfter: 30 * time.Second}
		if w.core.current(w.core.request) {
			w.throttled = w.now.Add(30 * time.Second)
		}
	case answersPlain:
	}
	switch how {
	case answersRotated, answersPlain:
		w.serial++
		m.response.AccessToken = fmt.Sprintf("%s|%s|%d", familyOf(e.token), name(e.query.Key), w.serial)
		m.response.ExpiresIn, m.response.HasExpiresIn = 60, true
	case answersRotatedError:
		m.err = &session.APIError{Code: "invalid_response", Status: 200}
	}
	w.post(m)
}

func name(k session.FlightKey) string {
	if k.ForConnection() {
		return k.Connection + "?" + k.LoginHint
	}
	return k.Audience
}

const (
	storeDoes  outcome = iota
	storeFails         // without an effect
	storeLies          // with its effect, but an error
)

func (w *world) carryOut(effects []effect) {
	w.t.Helper()
	for _, e := range effects {
		switch e := e.(type) {
		case publish:
			w.published(e.snapshot)
		case completeFlight:
			w.answered(e.flight, e.answer)
		case askPermit:
			if w.asked || w.held {
				w.fail("a second permit was asked for")
			}
			w.asked = true
		case dropPermit:
			if !w.held {
				w.fail("a permit was given back that nobody held")
			}
			w.held = false
		case spend:
			w.spent(e)
		case runOp:
			w.wrote(e.op)
		case retryIn:
			w.retry = true
		case pollIn:
			w.poll, w.polled = true, e.wait
		case renewIn:
			w.renew, w.renewed = true, e.taken
		case renewLease:
			if w.renewal != 0 {
				w.fail("two renewals at once")
			}
			w.renewal = e.epoch
		case tokenLost, deletedAt, tellHost:
		case setUnsaved:
			w.entry.SetUnsaved(directory.Unsaved(e))
		case tell:
			w.receive(e.message)
		case endCall:
			if w.calls[e.call]++; w.calls[e.call] > 1 {
				w.fail("a call was answered twice")
			}
			e.call.End(e.err)
		case report:
		default:
			w.fail("an unknown effect: %T", e)
		}
	}
}
