package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
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
	air    *spend
	asked  bool // for a permit
	held   bool
	spends int

	// The store.
	record    *record
	gone      session.Reason
	writing   op
	holder    string // of the lease: self, other, or nobody
	epoch     int64
	lapses    bool          // the lease may lapse under a request
	calm      time.Duration // until an outage is over for everybody
	unheard   bool          // of a lease that was taken or given back: it lapses by itself
	intent    *store.Intent
	lost      map[string]bool // logins whose newest refresh token nobody has
	throttled time.Time       // until then no request may be sent
	tells     bool            // the store tells of writes
	notices   []*messages.ReadRecord
	late      bool // what the store answers is held back, in reply
	reply     *opDone
	doubt     bool // what was told could not be read
	marker    bool // an end is remembered, and no actor is left
	poll      bool
	polled    time.Duration                  // how long that waits
	renewed   time.Time                      // when the lease was asked for that is renewed next
	renew     bool                           // the timer
	renews    bool                           // under way
	names     map[session.Incarnation]string // of logins
	dead      map[session.Incarnation]bool   // ended, or replaced
	retry     bool
	updates   int
	trace     []string
}

// journey is a flight and how it went.
type journey struct {
	flight *directory.Flight
	login  string // of the session that was asked
	landed bool
	answer directory.Answer
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
	w.core.resume(shown, w.record.version, nil)
	w.check()
}

// wake makes a core that knows nothing.
func (w *world) wake() {
	w.entry = directory.NewEntry("id", session.Key{1}, directory.NewSnapshot(directory.Opening, directory.Outcome{Settled: make(chan struct{})}))
	w.core, w.sent, w.mailbox, w.shown, w.retry = newCore(w.rules), 0, nil, nil, false
	w.poll, w.renew, w.renews = false, false, false
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

// grant answers the request for a slot.
func (w *world) grant(err error) {
	w.asked, w.held = false, err == nil
	w.post(&permitGranted{err: err})
}

// landing says how the provider answers.
type landing int

const (
	landRotated       landing = iota // a token, and a new refresh token
	landPlain                        // a token
	landRotatedBroken                // a new refresh token, but nothing else of use
	landRotatedError                 // an error, and a new refresh token
	landUnreachable                  // nothing came through
	landRefused                      // invalid_grant
	landDenied                       // invalid_target: the token is well
	landThrottled                    // 429, to be tried again in half a minute
)

// land answers the request in the air.
func (w *world) land(how landing) {
	e := w.air
	w.air, w.held = nil, false
	if e.token != w.newest[familyOf(e.token)] {
		how = landRefused // reuse, which only another process may bring about
	}
	m := &providerAnswered{}
	switch how {
	case landRotated, landRotatedBroken, landRotatedError:
		m.response.RefreshToken = w.rotate(e.token)
	case landUnreachable:
		m.err = &session.APIError{Code: session.CodeTokenError, Err: errors.New("unreachable")}
	case landRefused:
		if a := w.core.request; !e.query.Key.ForConnection() && (a.mayBeSpent || e.token == w.newest[familyOf(e.token)]) {
			w.lost[familyOf(e.token)] = true // it is dropped
		}
		m.err = &session.APIError{Code: "invalid_grant", Status: 403}
	case landDenied:
		m.err = &session.APIError{Code: "invalid_target", Status: 400}
	case landThrottled:
		m.err = &session.APIError{Code: "too_many_requests", Status: 429, RetryAfter: 30 * time.Second}
		if w.core.current(w.core.request) {
			w.throttled = w.now.Add(30 * time.Second)
		}
	case landPlain:
	}
	switch how {
	case landRotated, landPlain:
		w.serial++
		m.response.AccessToken = fmt.Sprintf("%s|%s|%d", familyOf(e.token), name(e.query.Key), w.serial)
		m.response.ExpiresIn, m.response.HasExpiresIn = 60, true
	case landRotatedError:
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

// outcome says how store work goes.
type outcome int

const (
	storeDoes  outcome = iota
	storeFails         // without an effect
	storeLies          // with its effect, but an error
)

var errStore = errors.New("the store is down")

// finish carries out the store operation that is running.
func (w *world) finish(how outcome) {
	job := w.writing
	w.writing = nil
	m := &opDone{op: job, at: w.now}
	if isRead(job) {
		m.grace = w.calm
	}
	if o, ok := job.(stamped); ok {
		o.stamp(w.version())
	}
	_, begins := job.(*beginOp)
	_, releases := job.(*releaseOp)
	saving, saves := job.(*saveOp)
	w.unheard = w.unheard || how != storeDoes && (begins || releases || saves && w.rules.Leases && saving.epoch == 0)
	_, deletes := job.(*deleteOp)
	if _, reads := job.(*readOp); !deletes && !releases {
		w.doubt = how != storeDoes && (w.doubt || reads)
	}
	if how == storeFails {
		m.err = errStore
		w.answer(m)
		return
	}
	switch o := job.(type) {
	case *beginOp:
		w.begin(o, m)
	case *readOp, *reloadOp:
		if m.err = w.absent(); m.err == nil {
			m.found = *w.record
		}
	case *releaseOp:
		if o.intent != nil && w.intent != nil && o.intent.Matches(*w.intent) {
			w.intent = nil
		}
		if w.holder == self && w.epoch == o.epoch {
			w.holder = nobody
		}
	case *saveOp:
		w.update(o, m)
	case *loginOp:
		w.record, w.gone, w.intent = &record{o.version, o.incarnation, o.state}, "", nil
		w.tell()
	case *deleteOp:
		if w.record != nil && (o.only.IsZero() || o.only == w.record.incarnation) {
			w.record, w.gone, w.intent = nil, o.why, nil
			w.tell()
		}
	}
	if how == storeLies {
		m.err = errStore
	}
	w.answer(m)
}

// begin is what a store does whose Begin is one operation.
func (w *world) begin(o *beginOp, m *opDone) {
	switch m.err = w.absent(); {
	case m.err != nil:
		return
	case w.record.version != o.version:
		m.found = *w.record
		return
	}
	if o.owned {
		if m.epoch, m.err = w.take(self); m.err != nil {
			return
		}
		m.lapses = m.at.Add(leaseTTL)
	}
	if o.intent == nil {
		return
	}
	in, before := *o.intent, w.intent
	in.Epoch = m.epoch
	next, again, err := in.Over(before)
	if again {
		m.prior = before
	}
	m.grace, m.err = w.calm, err
	if err == nil {
		w.intent = &next
	}
	m.intent = &next
}

const leaseTTL = 15 * time.Second

func (w *world) update(o *saveOp, m *opDone) {
	epoch := o.epoch
	if w.rules.Leases && epoch == 0 {
		if m.epoch, m.err = w.take(self); m.err != nil {
			return
		}
		epoch, m.lapses = m.epoch, m.at.Add(leaseTTL)
	}
	switch {
	case w.rules.Leases && epoch < w.epoch:
		m.err = store.ErrConflict
	case w.record == nil:
		m.err = w.absent()
	case w.record.version != o.prev || w.record.incarnation != o.incarnation:
		m.err = store.ErrConflict
	default:
		w.record, w.intent = &record{o.version, o.incarnation, o.state}, nil
		w.updates++
		w.tell()
	}
}

// answer brings what the store said, now or later.
func (w *world) answer(m *opDone) {
	if w.late {
		w.reply = m
		return
	}
	w.post(m)
}

// answerNow brings the answer that was held back.
func (w *world) answerNow() {
	m := w.reply
	w.reply, w.late = nil, false
	w.post(m)
}

// tell has the store tell of what it holds now.
func (w *world) tell() {
	m := &messages.ReadRecord{}
	if w.record != nil {
		m.Version = w.record.version
	}
	if w.tells {
		w.notices = append(w.notices, m)
	}
}

// hear passes the oldest notice on, as the supervisor does.
func (w *world) hear() {
	m := w.notices[0]
	w.notices = w.notices[1:]
	w.note("hears of %v", m.Version)
	if w.core != nil {
		w.command(m)
	} else if !m.Version.IsZero() {
		w.marker = false
	}
}

// Who may hold the lease.
const nobody, self, other = "", "self", "other"

// take takes or renews the lease for owner.
func (w *world) take(owner string) (int64, error) {
	switch w.holder {
	case nobody:
		w.holder = owner
		w.epoch++
	case owner:
	default:
		return 0, store.ErrLeased
	}
	return w.epoch, nil
}

// renewNow carries out a renewal of the lease.
func (w *world) renewNow(how outcome) {
	w.renews = false
	m := &renewedLease{at: w.now, lapses: w.now.Add(leaseTTL)}
	w.unheard = w.unheard || how != storeDoes
	if how != storeFails {
		m.epoch, m.err = w.take(self)
	}
	if how != storeDoes {
		m.epoch, m.err = 0, errStore
	}
	w.post(m)
}

func (w *world) absent() error {
	switch {
	case w.record != nil:
		return nil
	case w.gone != "":
		return &store.GoneError{Reason: w.gone}
	}
	return store.ErrNotFound
}

func (w *world) retryNow() {
	w.retry = false
	w.post(&retryDue{})
}

func (w *world) pollNow() {
	w.poll = false
	w.post(&pollDue{})
}

func (w *world) renewalDue() {
	w.renew = false
	w.post(&renewDue{})
}

func (w *world) carryOut(effects []effect) {
	w.t.Helper()
	for _, e := range effects {
		switch e := e.(type) {
		case publish:
			w.published(e.snapshot)
		case land:
			w.answered(e.flight, e.answer)
		case askPermit:
			if w.asked || w.held {
				w.fail("a second slot was asked for")
			}
			w.asked = true
		case dropPermit:
			if !w.held {
				w.fail("a slot was given back that nobody held")
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
			if w.renews {
				w.fail("two renewals at once")
			}
			w.renews = true
		case tokenLost:
		case setUnsaved:
			w.entry.SetUnsaved(directory.Unsaved(e))
		case tell:
			w.told(e.message)
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

func (w *world) published(s *directory.Snapshot) {
	w.t.Helper()
	w.note("  shows %d of %s", s.Phase, w.names[s.Incarnation])
	old := w.shown
	switch s.Phase {
	case directory.Ready:
		if old == nil || old.Generation != s.Generation {
			w.throttled = time.Time{} // a login
		}
		if w.dead[s.Incarnation] {
			w.fail("%s came back to life", w.names[s.Incarnation])
		}
		if old != nil && old.Incarnation != s.Incarnation {
			w.dead[old.Incarnation] = true
		}
		if old != nil && old.Incarnation == s.Incarnation && old.Phase == directory.Ready && !w.others && number(s.State().RefreshToken) < number(old.State().RefreshToken) {
			w.fail("the snapshot went back from %s to %s", old.State().RefreshToken, s.State().RefreshToken)
		}
	case directory.Ended:
		if old != nil {
			w.dead[old.Incarnation] = true
		}
		if s.State() == nil || s.State().RefreshToken != "" || len(s.State().TokenSets) > 0 || s.State().User != "" {
			w.fail("the end of a session shows more than connection tokens")
		}
		if old != nil && old.Phase == directory.Ready && len(s.State().ConnectionTokenSets) > 0 && !old.Ceiling.Reached(w.now.Add(session.CeilingLeeway)) {
			w.fail("connection tokens stay of a session that has not reached its ceiling")
		}
		w.ends = append(w.ends, s)
	default:
		w.fail("a snapshot of phase %d was published", s.Phase)
	}
	if old != nil && s.Generation < old.Generation {
		w.fail("generation %d after %d", s.Generation, old.Generation)
	}
	w.shown = s
	w.entry.Publish(s)
}

// number returns the number of a refresh token; they grow.
func number(token string) (n int) {
	_, text, _ := strings.Cut(token, "/")
	_, _ = fmt.Sscan(text, &n)
	return n
}

func (w *world) answered(f *directory.Flight, a directory.Answer) {
	w.t.Helper()
	i := slices.IndexFunc(w.flights, func(j *journey) bool { return j.flight == f })
	if f.Query == w.rules.DefaultQuery {
		w.note("  recovered: %v", a.Err)
		return // nobody waits for it
	}
	if i < 0 {
		w.fail("a flight landed that nobody started")
	}
	j := w.flights[i]
	if j.landed {
		w.fail("%+v landed twice", f.Query.Key)
	}
	j.landed, j.answer = true, a
	w.note("  lands %s: %v", name(f.Query.Key), a.Err)
	w.entry.Complete(f, a)
	var (
		access    *session.AccessTokenError
		federated *session.ConnectionTokenError
		key       = f.Query.Key
	)
	switch {
	case a.Restart && a.Err == nil:
	case a.Err != nil && key.ForConnection():
		if !errors.As(a.Err, &federated) {
			w.fail("a connection's question was answered with %T", a.Err)
		}
	case a.Err != nil:
		if !errors.As(a.Err, &access) {
			w.fail("a question was answered with %T", a.Err)
		}
	case key.ForConnection():
		w.judge(j, a.Connection.AccessToken, a.Connection.Connection+"?"+a.Connection.LoginHint, a.Connection.ExpiresAt, a.Cached)
	default:
		w.judge(j, a.Token.AccessToken, a.Token.Audience, a.Token.ExpiresAt, a.Cached)
		if a.Cached && a.Ceiling.Reached(w.now) {
			w.fail("a cached token left after the ceiling")
		}
	}
}

// judge holds a token against the question that it answers.
func (w *world) judge(j *journey, token, of string, expires time.Time, cached bool) {
	w.t.Helper()
	parts := strings.Split(token, "|")
	if len(parts) != 3 || parts[1] != of || !strings.HasPrefix(of, name(j.flight.Query.Key)) {
		w.fail("the question %s was answered with %q", name(j.flight.Query.Key), token)
	}
	if parts[0] != j.login && parts[0] != w.names[w.shown.Incarnation] {
		w.fail("a question about %s was answered with a token of %s", j.login, parts[0])
	}
	if cached && !w.now.Before(expires) {
		w.fail("an expired token came from the cache")
	}
}

func (w *world) spent(e spend) {
	w.t.Helper()
	w.spends++
	if w.air != nil || !w.held {
		w.fail("two requests in the air, or one without a slot")
	}
	if w.now.Before(w.throttled) {
		w.fail("%s is spent while the provider is not to be asked", e.token)
	}
	w.air = &e
	w.note("  spends %s for %s", e.token, name(e.query.Key))
	login := familyOf(e.token)
	if !w.others && !w.lost[login] && e.token != w.newest[login] {
		w.fail("%s was spent, the newest is %s", e.token, w.newest[login])
	}
	if w.shown.Phase == directory.Ready && w.record != nil && w.names[w.record.incarnation] == login {
		if w.rules.Leases && !w.lapses && w.holder != self {
			w.fail("%s was spent without the lease, which %q holds", e.token, w.holder)
		}
		if w.rules.Intents && (w.intent == nil || w.intent.Token != sha256.Sum256([]byte(e.token))) {
			w.fail("%s was spent and is not written down", e.token)
		}
		if e.query == w.rules.DefaultQuery && w.intent != nil && (w.intent.Tries == 0 || w.intent.Next <= w.intent.At) {
			w.fail("%s was presented again, and the intent does not say so: %+v", e.token, w.intent)
		}
	}
	if login != w.names[w.shown.Incarnation] {
		w.fail("%s was spent for %s", e.token, w.names[w.shown.Incarnation])
	}
	switch {
	case w.shown.Phase == directory.Ready:
		if r := w.record; r != nil && w.names[r.incarnation] == login && !w.others && !w.lost[login] && r.state.RefreshToken != e.token {
			w.fail("%s was spent while the store has %s", e.token, r.state.RefreshToken)
		}
	case w.shown.Reason != session.ReasonCeiling || !e.query.Key.ForConnection():
		w.fail("a refresh token was spent for a session that is over")
	}
}

func (w *world) wrote(job op) {
	w.t.Helper()
	w.note("  %T", job)
	if w.writing != nil {
		w.fail("two pieces of store work at once")
	}
	w.writing = job
	if o, ok := job.(*saveOp); ok && w.dead[o.incarnation] {
		w.fail("a save for %s, which is over", w.names[o.incarnation])
	}
}

func (w *world) told(m any) {
	w.t.Helper()
	if m, ok := m.(*messages.AtRest); ok {
		w.note("  at rest after %d of %d", m.Handled, w.sent)
		if !w.core.idle() || w.asked || w.held || w.air != nil || w.writing != nil || w.renews {
			w.fail("at rest with something under way")
		}
		if m.Handled == w.sent {
			w.rested()
		}
	}
}

// rested lets the session go, as the supervisor does.
func (w *world) rested() {
	w.t.Helper()
	w.quiet()
	for _, m := range w.mailbox {
		if m, ok := m.(*messages.NeedToken); ok {
			w.answered(m.Flight, directory.Answer{Restart: true})
		}
	}
	for _, j := range w.flights {
		if !j.landed {
			w.fail("at rest, %s has not landed", name(j.flight.Query.Key))
		}
	}
	w.core, w.mailbox = nil, nil
	w.marker = w.shown != nil && w.shown.Phase == directory.Ended && !w.shown.Until.IsZero()
}

// informed checks, when everything was told, that this process knows who is signed in.
func (w *world) informed() {
	w.t.Helper()
	switch {
	case !w.tells || w.doubt:
	case w.core == nil && w.marker && w.record != nil:
		w.fail("an end is remembered, and %s is signed in", w.names[w.record.incarnation])
	case w.core == nil || w.core.life == unknown:
	case w.shown.Phase == directory.Ready && w.record == nil:
		w.fail("%s is shown, and nobody is signed in", w.names[w.shown.Incarnation])
	case w.record != nil && (w.shown.Phase != directory.Ready || w.shown.Incarnation != w.record.incarnation):
		w.fail("phase %d of %s is shown, and %s is signed in", w.shown.Phase, w.names[w.shown.Incarnation], w.names[w.record.incarnation])
	case w.shown.Phase == directory.Ready && w.core.version != w.record.version:
		w.fail("an older version of %s is known than the store has", w.names[w.shown.Incarnation])
	}
}

// quiet checks what must be so when nothing is under way.
func (w *world) quiet() {
	w.t.Helper()
	for c, n := range w.calls {
		if n == 0 && !slices.ContainsFunc(w.mailbox, func(m any) bool { return callOf(m) == c }) {
			w.fail("a call was never answered")
		}
	}
	for _, s := range w.ends {
		if s.Settled != nil {
			select {
			case <-s.Settled:
			default:
				w.fail("the end of %s never settles", w.names[s.Incarnation])
			}
		}
	}
	r := w.record
	switch {
	case w.shown == nil || r == nil:
	case w.dead[r.incarnation]:
		w.fail("%s is over and still in the store", w.names[r.incarnation])
	case w.shown.Phase == directory.Ready && r.incarnation == w.shown.Incarnation && !w.others:
		if login := w.names[r.incarnation]; r.state.RefreshToken != w.newest[login] && !w.lost[login] {
			w.fail("the store has %s, the newest is %s", r.state.RefreshToken, w.newest[login])
		}
	}
}

func callOf(m any) *directory.Call {
	switch m := m.(type) {
	case *messages.ReplaceSession:
		return m.Call
	case *messages.EndSession:
		return m.Call
	case *messages.CeilingReached:
		return m.Call
	case *messages.ReadRecord:
		return m.Call
	}
	return nil
}

// check holds after every step.
func (w *world) check() {
	w.t.Helper()
	granted := slices.ContainsFunc(w.mailbox, func(m any) bool { _, ok := m.(*permitGranted); return ok })
	preparing := w.core != nil && w.core.request != nil && w.core.step != onTheWire
	if w.held != (w.air != nil) && !preparing && !granted {
		w.fail("a slot leaks")
	}
	if w.core == nil {
		return
	}
	if a := w.core.request; w.rules.Intents && !w.others && !w.lapses && w.air != nil && w.core.step == onTheWire && w.core.current(a) && w.core.life == live &&
		w.record != nil && w.names[w.record.incarnation] == familyOf(w.air.token) && w.record.incarnation == w.core.incarnation &&
		(w.intent == nil || w.intent.Token != sha256.Sum256([]byte(w.air.token))) {
		w.fail("%s is in the air and is not written down", w.air.token)
	}
	if preparing && w.held && !granted && !w.core.queued(func(o op) bool { _, ok := o.(*beginOp); return ok }) {
		w.fail("a slot is held and nothing leads to a request")
	}
	reads := w.core.step == waitingForSave && w.core.queued(isRead)
	if w.core.step.waiting() && len(w.core.queue) > 0 && !w.poll && !reads && !slices.ContainsFunc(w.mailbox, func(m any) bool { _, ok := m.(*pollDue); return ok }) {
		w.fail("the queue waits for nothing")
	}
	if (w.core.running != nil) != (w.writing != nil) && w.reply == nil && !slices.ContainsFunc(w.mailbox, func(m any) bool { _, ok := m.(*opDone); return ok }) {
		w.fail("the store queue has stopped")
	}
}

// drain lets everything come to rest: the store works, the provider answers.
func (w *world) drain() {
	w.t.Helper()
	w.calm = 0
	for range 500 {
		switch {
		case w.core == nil && len(w.notices) == 0:
			w.informed()
			return
		case len(w.mailbox) > 0:
			w.deliver()
		case len(w.notices) > 0:
			w.hear()
		case w.reply != nil:
			w.answerNow()
		case w.asked:
			w.grant(nil)
		case w.air != nil:
			w.land(landPlain)
		case w.writing != nil:
			w.finish(storeDoes)
		case w.renews:
			w.renewNow(storeDoes)
		case w.holder == other:
			w.holder = nobody
		case w.retry:
			w.retryNow()
		case w.poll:
			w.pollNow()
		default:
			w.drained()
			return
		}
	}
	w.fail("it never comes to rest")
}

func (w *world) drained() {
	w.t.Helper()
	w.quiet()
	w.informed()
	for _, j := range w.flights {
		if !j.landed {
			w.fail("%s never landed", name(j.flight.Query.Key))
		}
	}
	if w.core.life != live || w.core.closing {
		w.fail("life %d, closing %v, and never at rest", w.core.life, w.core.closing)
	}
	if w.core.state != w.core.saved {
		w.fail("something was never saved")
	}
	if w.holder == self && !w.unheard {
		w.fail("the lease was never given back")
	}
}
