package actors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// lives are the columns of the table.
var lives = []life{unknown, live, expiring, ended, released, failed}

func (l life) String() string {
	return [...]string{"unknown", "live", "expiring", "ended", "released", "failed"}[l]
}

// scene is a core in one life, and what came of the message that it was given last.
type scene struct {
	t   *testing.T
	c   *core
	now time.Time
	out []effect
}

var (
	login1    = session.Incarnation{1}
	newRecord = session.Version{2}
	keyGitHub = session.ConnectionKey("github", "")
)

// in returns a session under leases in the life l. It has a ceiling, a token of google in its cache, and a
// refresh token that the store has. Where l is expiring a request for github is under way, up to the given step.
func in(t *testing.T, l life, at step) *scene {
	rules := testRules()
	rules.Exclusive, rules.Leases, rules.Intents, rules.Revoke = false, true, true, true
	s := &scene{t: t, c: newCore(rules), now: t0}
	if l == unknown {
		return s
	}
	state := &session.State{RefreshToken: "r0", Internal: session.Internal{SID: "sid", Ceiling: session.Ceiling(t0.Unix() + 600)}}
	state, _, err := state.ApplyConnection(keyGoogle, session.TokenResponse{AccessToken: "google", ExpiresIn: 3600, HasExpiresIn: true}, t0, rules.applyOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.c.resume(directory.NewReady(1, login1, state), &messages.Adopt{Version: session.Version{1}})
	switch l {
	case expiring:
		s.ask(keyGitHub)
		s.reach(at)
		s.now = t0.Add(10 * time.Minute)
		s.give(&messages.CeilingReached{Generation: 1})
	case ended:
		s.now = t0.Add(10 * time.Minute)
		s.give(&messages.CeilingReached{Generation: 1})
	case released:
		s.give(&messages.Passivate{})
	case failed:
		s.c = newCore(rules)
		s.c.life, s.c.before, s.c.generation, s.c.incarnation = failed, live, 1, login1
		s.c.state, s.c.saved = &session.State{RefreshToken: "r0"}, &session.State{RefreshToken: "r0"}
	case unknown, live:
	}
	if s.c.life != l {
		t.Fatalf("the life is %v, want %v", s.c.life, l)
	}
	return s
}

func (s *scene) give(m any) { s.out = slices.Clone(s.c.on(m, s.now)) }

func (s *scene) ask(key session.FlightKey) *directory.Flight {
	f := directory.NewFlight(&session.TokenQuery{Key: key, Audience: key.Audience}, store.Options{})
	s.give(&messages.NeedToken{Flight: f})
	return f
}

// reach brings the request that was asked for up to a step.
func (s *scene) reach(at step) {
	if at >= beginning {
		s.give(&permitGranted{})
	}
	if at == onTheWire {
		s.begun(opDone{})
	}
}

// begun answers the Begin that is running.
func (s *scene) begun(m opDone) {
	o, ok := s.c.running.(*beginOp)
	if !ok {
		s.t.Fatalf("%T is running, want a begin", s.c.running)
	}
	if m.op = o; m.err == nil && m.found.version.IsZero() {
		m.epoch, m.at, m.lapses, m.intent = 1, s.now, s.now.Add(time.Hour), o.intent
	}
	s.give(&m)
}

// finish answers the store operation that is running.
func (s *scene) finish(err error) { s.give(&opDone{op: s.c.running, err: err}) }

// saved brings a save to its end.
func (s *scene) saved(err error) {
	s.ask(keyA)
	s.reach(onTheWire)
	s.give(&providerAnswered{response: session.TokenResponse{AccessToken: "a", RefreshToken: "r1", ExpiresIn: 60, HasExpiresIn: true}})
	s.finish(err)
}

// saw says in words what came of the last message.
func (s *scene) saw() (words []string) {
	for _, e := range s.out {
		switch e := e.(type) {
		case completeFlight:
			words = append(words, "answers "+answerWord(e.answer))
		case askPermit:
			words = append(words, "asks for a permit")
		case dropPermit:
			words = append(words, "gives the permit back")
		case spend:
			words = append(words, "sends "+e.token)
		case runOp:
			words = append(words, "runs "+strings.TrimPrefix(fmt.Sprintf("%T", e.op), "*actors."))
		case publish:
			words = append(words, fmt.Sprintf("shows %v", map[directory.Phase]string{directory.Ready: "a session", directory.Ended: "an end"}[e.snapshot.Phase]))
		case revoke:
			words = append(words, "revokes "+e.token)
		case retryIn:
			words = append(words, "retries")
		case pollIn:
			words = append(words, "polls")
		case endCall:
			words = append(words, "ends the call")
		case tell:
			words = append(words, strings.TrimPrefix(fmt.Sprintf("%T", e.message), "*messages."))
		}
	}
	return append(words, s.c.life.String())
}

func answerWord(a directory.Answer) string {
	if a.Err != nil {
		return string(session.CodeOf(a.Err))
	}
	return "a token"
}

// cell drives one cell of the table: it gives the message in a life, and says what must be seen. Words with a
// minus must not be seen.
type cell struct {
	event string // the row's first word, and which case of it
	life  life
	step  step // of the request in expiring
	give  func(s *scene)
	want  string
}

var errDown = errors.New("the store is down")

func needs(key session.FlightKey) func(*scene) { return func(s *scene) { s.ask(key) } }

func signsIn(s *scene) {
	s.give(&messages.ReplaceSession{State: &session.State{RefreshToken: "l0"}, Incarnation: session.Incarnation{2}})
}
func logsOut(s *scene)    { s.give(&messages.EndSession{Why: session.ReasonLogout}) }
func isNotified(s *scene) { s.give(&messages.ReadRecord{Version: newRecord}) }
func ceiling(s *scene) {
	s.now = t0.Add(10 * time.Minute)
	s.give(&messages.CeilingReached{Generation: 1})
}
func isToRest(s *scene)  { s.give(&messages.Passivate{}) }
func isToClose(s *scene) { s.give(&messages.Finish{}) }
func finishes(err error) func(*scene) {
	return func(s *scene) { s.finish(err) }
}

func holding(then func(*scene)) func(*scene) { // with a request for keyA
	return func(s *scene) { s.ask(keyA); then(s) }
}
func permit(s *scene) { s.give(&permitGranted{}) }
func answer(s *scene) {
	s.give(&providerAnswered{response: session.TokenResponse{AccessToken: "x", RefreshToken: "r1", ExpiresIn: 60, HasExpiresIn: true}})
}

func stored(s *scene) record {
	return record{newRecord, login1, s.c.state.WithRefreshToken("r9")}
}

var cells = []cell{
	{"NeedToken", unknown, 0, needs(keyA), "answers internal_error, released"},
	{"NeedToken: cached", live, 0, needs(keyGoogle), "answers a token, live"},
	{"NeedToken", live, 0, needs(keyA), "asks for a permit, live"},
	{"NeedToken: cached", expiring, onTheWire, needs(keyGoogle), "answers a token, expiring"},
	{"NeedToken", expiring, onTheWire, needs(keyA), "answers session_expired, expiring"},
	{"NeedToken: what remains", ended, 0, needs(keyGoogle), "answers a token, ended"},
	{"NeedToken", ended, 0, needs(keyA), "answers session_expired, ended"},
	{"NeedToken", released, 0, needs(keyA), "-answers, -asks, released"},
	{"NeedToken", failed, 0, needs(keyA), "answers internal_error, failed"},

	{"Login", unknown, 0, signsIn, "runs loginOp, unknown"},
	{"Login", live, 0, signsIn, "runs loginOp, live"},
	{"Login", expiring, onTheWire, func(s *scene) { s.finish(nil); signsIn(s); s.finish(nil) }, "answers missing_refresh_token, shows a session, live"},
	{"Login", ended, 0, func(s *scene) { s.finish(errDown); signsIn(s); s.finish(nil) }, "shows a session, live"},
	{"Login", released, 0, signsIn, "runs loginOp, live"},
	{"Login", failed, 0, signsIn, "-runs, failed"},

	{"End", unknown, 0, logsOut, "shows an end, runs deleteOp, ended"},
	{"End", live, 0, holding(logsOut), "shows an end, answers missing_session, runs deleteOp, revokes r0, ended"},
	{"End", expiring, onTheWire, logsOut, "answers missing_refresh_token, shows an end, ended"},
	{"End", ended, 0, func(s *scene) { s.finish(nil); logsOut(s) }, "runs deleteOp, ended"},
	{"End", released, 0, logsOut, "shows an end, runs deleteOp, ended"},
	{"End", failed, 0, logsOut, "shows an end, -runs, failed"},

	{"CeilingDue", unknown, 0, ceiling, "-shows, released"},
	{"CeilingDue", live, 0, ceiling, "shows an end, runs deleteOp, ended"},
	{"CeilingDue: an exchange is under way", live, 0, func(s *scene) { s.ask(keyGitHub); s.reach(onTheWire); ceiling(s) }, "shows an end, -answers, expiring"},
	{"CeilingDue", expiring, onTheWire, ceiling, "-shows, expiring"},
	{"CeilingDue", ended, 0, ceiling, "-shows, ended"},
	{"CeilingDue", released, 0, ceiling, "shows an end, runs deleteOp, ended"},
	{"CeilingDue", failed, 0, ceiling, "-shows, failed"},

	{"Update: the values are From", live, 0, updating("", `{"a":1}`), "runs saveOp, -ends, live"},
	{"Update: others", live, 0, updating(`{"b":1}`, `{"a":1}`), "-runs, live"},
	{"Update", unknown, 0, updating("", `{"a":1}`), "-runs, released"},
	{"Update", expiring, onTheWire, updating("", `{"a":1}`), "-runs, expiring"},
	{"Update", ended, 0, updating("", `{"a":1}`), "-runs, ended"},
	{"Update", released, 0, updating("", `{"a":1}`), "runs saveOp, live"},
	{"Update", failed, 0, updating("", `{"a":1}`), "-runs, failed"},

	{"RecordChanged", unknown, 0, isNotified, "-runs, released"},
	{"RecordChanged", live, 0, isNotified, "runs readOp, live"},
	{"RecordChanged: known", live, 0, func(s *scene) { s.give(&messages.ReadRecord{Version: session.Version{1}}) }, "-runs, live"},
	{"RecordChanged", expiring, onTheWire, func(s *scene) { s.finish(nil); isNotified(s) }, "runs readOp, expiring"},
	{"RecordChanged: deleted", ended, 0, func(s *scene) { s.finish(errDown); s.give(&messages.ReadRecord{}) }, "-runs, ended"},
	{"RecordChanged", ended, 0, func(s *scene) { s.finish(errDown); isNotified(s) }, "runs readOp, ended"},
	{"RecordChanged", released, 0, isNotified, "runs readOp, live"},
	{"RecordChanged", failed, 0, isNotified, "-runs, failed"},

	{"PermitGranted", unknown, 0, nil, ""},
	{"PermitGranted", live, 0, holding(permit), "runs beginOp, live"},
	{"PermitGranted: without leases", expiring, onTheWire, func(s *scene) {
		*s = *in(s.t, live, 0)
		s.c.rules.Leases, s.c.rules.Intents = false, false
		s.ask(keyGitHub)
		ceiling(s)
		permit(s)
	}, "sends r0, expiring"},
	{"PermitGranted", ended, 0, func(s *scene) { s.late(waitingForPermit); permit(s) }, "gives the permit back, ended"},
	{"PermitGranted", released, 0, nil, ""},
	{"PermitGranted", failed, 0, func(s *scene) { s.c.step = waitingForPermit; permit(s) }, "gives the permit back, failed"},

	{"Begun: ok", live, 0, holding(func(s *scene) { permit(s); s.begun(opDone{}) }), "sends r0, live"},
	{"Begun: moved", live, 0, holding(func(s *scene) { permit(s); s.begun(opDone{found: stored(s)}) }), "shows a session, runs beginOp, live"},
	{"Begun: held elsewhere", live, 0, holding(func(s *scene) { permit(s); s.begun(opDone{err: store.ErrLeased}) }), "gives the permit back, polls, live"},
	{"Begun: ok", expiring, beginning, func(s *scene) { s.begun(opDone{}) }, "sends r0, expiring"},
	{"Begun: moved", expiring, beginning, func(s *scene) { s.begun(opDone{found: record{newRecord, login1, &session.State{RefreshToken: "r9"}}}) }, "runs beginOp, expiring"},
	{"Begun: held elsewhere", expiring, beginning, func(s *scene) { s.begun(opDone{err: store.ErrLeased}) }, "gives the permit back, answers missing_refresh_token, ended"},
	{"Begun: ok", ended, 0, func(s *scene) { s.late(beginning); s.begun(opDone{}) }, "gives the permit back, -sends, ended"},
	{"Begun", unknown, 0, nil, ""},
	{"Begun", released, 0, nil, ""},
	{"Begun", failed, 0, func(s *scene) { o := &beginOp{}; s.c.running = o; s.give(&opDone{op: o, epoch: 1}) }, "-sends, -runs, failed"},

	{"ProviderAnswered", live, 0, holding(func(s *scene) { s.reach(onTheWire); answer(s) }), "runs saveOp, -answers, live"},
	{"ProviderAnswered", expiring, onTheWire, answer, "answers a token, shows an end, ended"},
	{"ProviderAnswered: logged out", ended, 0, func(s *scene) { s.late(onTheWire); answer(s) }, "revokes r1, -answers, ended"},
	{"ProviderAnswered", unknown, 0, nil, ""},
	{"ProviderAnswered", released, 0, nil, ""},
	{"ProviderAnswered", failed, 0, func(s *scene) {
		s.c.step, s.c.request = onTheWire, &request{}
		answer(s)
		if s.c.state.RefreshToken != "r1" {
			s.t.Error("the refresh token is lost")
		}
	}, "-runs, failed"},

	{"Saved: ok", live, 0, func(s *scene) { s.saved(nil) }, "shows a session, answers a token, live"},
	{"Saved: conflict", live, 0, func(s *scene) { s.saved(store.ErrConflict) }, "runs readOp, -answers, live"},
	{"Saved", unknown, 0, nil, ""},
	{"Saved", expiring, onTheWire, nil, ""},
	{"Saved", ended, 0, nil, ""},
	{"Saved", released, 0, nil, ""},
	{"Saved", failed, 0, func(s *scene) { o := &saveOp{}; s.c.running = o; s.give(&opDone{op: o}) }, "-shows, -runs, failed"},

	{"Deleted: ok", unknown, 0, func(s *scene) {
		s.give(&messages.EndSession{Only: session.Incarnation{9}, Why: session.ReasonLogout})
		s.finish(nil)
	}, "AtRest, released"},
	{"Deleted: failed", unknown, 0, func(s *scene) {
		s.give(&messages.EndSession{Only: session.Incarnation{9}, Why: session.ReasonLogout})
		s.finish(errDown)
	}, "shows an end, retries, ended"},
	{"Deleted: ok", expiring, onTheWire, finishes(nil), "-retries, expiring"},
	{"Deleted: failed", expiring, onTheWire, finishes(errDown), "retries, expiring"},
	{"Deleted: ok", ended, 0, finishes(nil), "AtRest, released"},
	{"Deleted: failed", ended, 0, finishes(errDown), "retries, ended"},
	{"Deleted", live, 0, func(s *scene) {
		s.give(&messages.EndSession{Only: session.Incarnation{9}, Why: session.ReasonLogout})
		s.finish(nil)
	}, "-shows, live"},
	{"Deleted", released, 0, nil, ""},
	{"Deleted: ok", failed, 0, func(s *scene) { s.deletes(nil) }, "-retries, failed"},
	{"Deleted: failed", failed, 0, func(s *scene) {
		s.deletes(errDown)
		if len(s.c.backlog) != 1 {
			s.t.Error("the deletion is owed no more")
		}
	}, "failed"},

	{"Release", unknown, 0, isToRest, "AtRest, released"},
	{"Release: idle", live, 0, isToRest, "AtRest, released"},
	{"Release: busy", live, 0, holding(isToRest), "Busy, live"},
	{"Release", expiring, onTheWire, isToRest, "-AtRest, expiring"},
	{"Release", ended, 0, func(s *scene) { isToRest(s); s.finish(nil) }, "AtRest, released"},
	{"Release", released, 0, isToRest, "AtRest, released"},
	{"Release", failed, 0, isToRest, "Busy, failed"},

	{"Close", unknown, 0, isToClose, "AtRest, released"},
	{"Close: a request waits", live, 0, holding(isToClose), "answers closed, live"},
	{"Close: a request is sent", live, 0, holding(func(s *scene) { s.reach(onTheWire); isToClose(s) }), "-answers, -AtRest, live"},
	{"Close", expiring, onTheWire, func(s *scene) { isToClose(s); answer(s) }, "answers a token, ended"},
	{"Close", ended, 0, func(s *scene) { isToClose(s); s.finish(nil) }, "AtRest, released"},
	{"Close", released, 0, isToClose, "AtRest, released"},
	{"Close", failed, 0, isToClose, "runs reloadOp, failed"},
}

// late has a session end, by a logout, under a request that has come up to a step; then its deletion happens.
func (s *scene) late(at step) {
	*s = *in(s.t, live, 0)
	s.ask(keyA)
	s.reach(at)
	logsOut(s)
	if at != beginning {
		s.finish(nil)
	}
}

// deletes brings the end of a deletion that was running when the panic came.
func (s *scene) deletes(err error) {
	o := &deleteOp{}
	s.c.running = o
	s.give(&opDone{op: o, err: err})
}

// updating has the application's values become to.
func updating(from, to session.RawData) func(*scene) {
	return func(s *scene) {
		s.give(&messages.UpdateSession{Incarnation: login1, From: from, To: to, Call: directory.NewCall(context.Background(), store.Options{})})
	}
}

// TestTable drives every cell of the table in states.go. A cell without a message cannot come about: nothing
// is under way in that life that could bring it.
func TestTable(t *testing.T) {
	driven := make(map[string]bool)
	for _, tt := range cells {
		if tt.give == nil {
			continue
		}
		row, _, _ := strings.Cut(tt.event, ":")
		driven[row+" "+tt.life.String()] = true
		t.Run(tt.event+" in "+tt.life.String(), func(t *testing.T) {
			s := in(t, tt.life, tt.step)
			tt.give(s)
			saw := s.saw()
			text := strings.Join(saw, ", ")
			for want := range strings.SplitSeq(tt.want, ", ") {
				not, negative := strings.CutPrefix(want, "-")
				has := slices.ContainsFunc(saw, func(word string) bool { return word == not || negative && strings.HasPrefix(word, not) })
				if has == negative {
					t.Errorf("saw %q, want %q", text, tt.want)
				}
			}
		})
	}
	rows := tableRows(t, "states.go")
	for _, row := range rows {
		name, _, _ := strings.Cut(strings.FieldsFunc(row[0], func(r rune) bool { return r == ':' || r == '(' })[0], " ")
		for i, l := range lives {
			if row[i+1] != "–" && !driven[name+" "+l.String()] {
				t.Errorf("%s in %v (%s) is not driven", name, l, row[i+1])
			}
		}
	}
	if text, err := os.ReadFile("../ARCHITECTURE.md"); err != nil || !slices.EqualFunc(rows, tableRows(t, "../ARCHITECTURE.md"), slices.Equal) {
		t.Errorf("ARCHITECTURE.md (%d bytes, %v) shows another table than states.go", len(text), err)
	}
}

// tableRows returns the rows of the table in a file, without its head.
func tableRows(t *testing.T, file string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "//"))
		if strings.HasPrefix(line, "| event |") {
			inside = true
			continue
		}
		if !inside || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			inside = inside && strings.HasPrefix(line, "|")
			continue
		}
		var row []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		rows = append(rows, row)
	}
	if len(rows) != 13 {
		t.Fatalf("%s: %d rows, want 13", file, len(rows))
	}
	return rows
}
