package actors

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

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
		return // no caller waits for it
	}
	if i < 0 {
		w.fail("a flight is completed that nobody started")
	}
	j := w.flights[i]
	if j.completed {
		w.fail("%+v is completed twice", f.Query.Key)
	}
	j.completed, j.answer = true, a
	w.note("  completes %s: %v", name(f.Query.Key), a.Err)
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
			w.fail("a connection's query was answered with %T", a.Err)
		}
	case a.Err != nil:
		if !errors.As(a.Err, &access) {
			w.fail("a query was answered with %T", a.Err)
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

// judge holds a token against the query that it answers.
func (w *world) judge(j *journey, token, of string, expires time.Time, cached bool) {
	w.t.Helper()
	parts := strings.Split(token, "|")
	if len(parts) != 3 || parts[1] != of || !strings.HasPrefix(of, name(j.flight.Query.Key)) {
		w.fail("the query %s was answered with %q", name(j.flight.Query.Key), token)
	}
	if parts[0] != j.login && parts[0] != w.names[w.shown.Incarnation] {
		w.fail("a query about %s was answered with a token of %s", j.login, parts[0])
	}
	if cached && !w.now.Before(expires) {
		w.fail("an expired token came from the cache")
	}
}

func (w *world) spent(e spend) {
	w.t.Helper()
	w.spends++
	if w.onWire != nil || !w.held {
		w.fail("two requests on the wire, or one without a permit")
	}
	if w.now.Before(w.throttled) {
		w.fail("%s is spent while the provider is not to be asked", e.token)
	}
	w.onWire = &e
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

func (w *world) receive(m any) {
	w.t.Helper()
	if m, ok := m.(*messages.AtRest); ok {
		w.note("  at rest after %d of %d", m.Handled, w.sent)
		if !w.core.idle() || w.asked || w.held || w.onWire != nil || w.writing != nil || w.renewal != 0 {
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
		if !j.completed {
			w.fail("at rest, %s has not completed", name(j.flight.Query.Key))
		}
	}
	w.core, w.mailbox = nil, nil
	w.marker = w.shown != nil && w.shown.Phase == directory.Ended && !w.shown.Until.IsZero()
}

// informed checks, when everything was told, that this process knows who is signed in.
func (w *world) informed() {
	w.t.Helper()
	switch {
	case !w.tells || w.unreadable:
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
	if w.held != (w.onWire != nil) && !preparing && !granted {
		w.fail("a permit leaks")
	}
	if w.core == nil {
		return
	}
	if a := w.core.request; w.rules.Intents && !w.others && !w.lapses && w.onWire != nil && w.core.step == onTheWire && w.core.current(a) && w.core.life == live &&
		w.record != nil && w.names[w.record.incarnation] == familyOf(w.onWire.token) && w.record.incarnation == w.core.incarnation &&
		(w.intent == nil || w.intent.Token != sha256.Sum256([]byte(w.onWire.token))) {
		w.fail("%s is on the wire and is not written down", w.onWire.token)
	}
	if preparing && w.held && !granted && !w.core.queued(func(o op) bool { _, ok := o.(*beginOp); return ok }) {
		w.fail("a permit is held and nothing leads to a request")
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
	w.grace = 0
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
		case w.onWire != nil:
			w.answerRequest(answersPlain)
		case w.writing != nil:
			w.finish(storeDoes)
		case w.renewal != 0:
			w.renewNow(storeDoes)
		case w.holder == other:
			w.holder = unheld
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
		if !j.completed {
			w.fail("%s was never completed", name(j.flight.Query.Key))
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
