package supervisor

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/tokenward/tokenward/internal/directory"
	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// columns are the states of the table in doc.go.
var columns = []string{"absent", "loading", "idle", "active", "ending", "marker"}

// scene is a supervisor with one session, a, in one state, and what it did with one event.
type scene struct {
	*rig
	s     *Supervisor
	sl    *resident // nil where the session is absent
	sent  []string  // to the session's actor, in this turn
	given any
	reply chan *directory.Entry
	call  *directory.Call
	f     *directory.Flight
	gates []*storetest.Gate

	answered bool // by the store, since the event

	inStore bool   // of EndSession
	behind  uint64 // commands that the actor has not seen when it reports that it is at rest
}

// sceneIn returns a session in a state. Its ceiling comes in a second. Of the store operations that follow none comes to its
// end until answerAll.
func sceneIn(t *testing.T, state string, connections bool) *scene {
	s := &scene{reply: make(chan *directory.Entry, 1), call: directory.NewCall(t.Context(), store.Options{})}
	s.f = directory.NewFlight(&session.TokenQuery{Key: session.QueryKey("a", ""), Audience: "a"}, store.Options{})
	s.rig = newRig(t, func(r *rig, l *session.Limits) {
		l.RememberMissing = time.Minute
		r.env.Fresh = &directory.Freshness{Shared: true, Age: time.Hour, Missing: l.RememberMissing, Stats: r.stats}
		send := r.env.Send
		r.env.Send = func(to *actor.PID, m any) {
			s.note(m)
			send(to, m)
		}
	})
	s.s = s.rig.s
	if state == "loading" {
		s.hold()
	}
	if state != "absent" && state != "marker" {
		kept := &session.State{RefreshToken: "r0", Internal: session.Internal{SID: "sid", Ceiling: in(time.Second)}}
		if connections {
			kept.ConnectionTokenSets = []session.ConnectionTokenSet{{Connection: "google", AccessToken: "g", ExpiresAt: t0.Add(time.Hour).Unix()}}
		}
		s.keep("a", kept)
	}
	if state != "absent" {
		s.open("a")
	}
	if state != "loading" {
		s.settle()
	}
	s.inside(func(sup *Supervisor) {
		s.sl = sup.residents.get(keyOf("a"))
		if state == "active" {
			sup.activate(s.sl)
		}
	})
	if state != "loading" {
		s.settle()
		s.hold()
	}
	if state == "ending" {
		s.clock.Advance(time.Second)
		s.inside(func(*Supervisor) {})
	}
	now := ""
	s.inside(func(*Supervisor) { now, s.sent = s.state(), nil })
	if now != state {
		t.Fatalf("the session is %s, want %s", now, state)
	}
	return s
}

func (s *scene) hold() {
	for _, op := range []storetest.Op{storetest.OpLoad, storetest.OpReplace, storetest.OpUpdate, storetest.OpEnd} {
		s.gates = append(s.gates, s.store.Hold(op))
	}
}

// answerAll has the store answer.
func (s *scene) answerAll() {
	for _, gate := range s.gates {
		gate.Release()
	}
	s.settle()
	s.answered = true
}

// note keeps what the supervisor, in its turn, sends to a session's actor.
func (s *scene) note(m any) {
	switch m.(type) {
	case *messages.Adopt:
		s.sent = append(s.sent, "activate")
	case messages.Command, *messages.NeedToken, *messages.Recover:
		word := strings.TrimPrefix(fmt.Sprintf("%T", m), "*messages.")
		if m == s.given {
			word = "pass on"
		}
		s.sent = append(s.sent, word)
	}
}

// state names the state that the session is in.
func (s *scene) state() string {
	switch sl := s.s.residents.get(keyOf("a")); {
	case sl == nil:
		return "absent"
	case sl.pid() != nil:
		return "active"
	case sl.loading():
		return "loading"
	case sl.ending:
		return "ending"
	case sl.idles():
		return "idle"
	}
	return "marker"
}

// give has the supervisor handle m, in the same turn in which the test looks at what came of it.
func (s *scene) give(m any) {
	s.given = m
	s.s.handle(m)
}

func (s *scene) openSession() {
	s.give(&messages.OpenSession{ID: "a", Key: keyOf("a"), Call: s.call, Reply: s.reply})
}

func (s *scene) needToken() {
	e := directory.NewEntry("a", keyOf("a"), nil) // one that has left memory
	if s.sl != nil {
		e = &s.sl.entry
	}
	e.Join(s.f, 8)
	s.give(&messages.NeedToken{Entry: e, Flight: s.f})
}

func (s *scene) replaceSession() {
	s.give(&messages.ReplaceSession{ID: "a", Key: keyOf("a"), State: &session.State{}, Incarnation: session.Incarnation{2}, Call: s.call})
}

func (s *scene) endSession() {
	s.give(&messages.EndSession{ID: "a", Key: keyOf("a"), Why: session.ReasonLogout, Call: s.call, InStore: s.inStore})
}

func (s *scene) updateSession() { s.give(&messages.UpdateSession{Key: keyOf("a"), Call: s.call}) }

func (s *scene) ceilingReached() {
	s.give(&messages.CeilingReached{Key: keyOf("a"), Generation: 9, Call: s.call})
}

func (s *scene) readRecord() { s.give(&messages.ReadRecord{Key: keyOf("a"), Call: s.call}) }

func (s *scene) staleIntent() {
	s.s.handle(&foundIntents{stale: []store.StaleIntent{{Key: keyOf("a")}}})
}

func (s *scene) changed() { s.give(&messages.Changed{Key: keyOf("a"), Version: session.Version{2}}) }

// itsCeiling lets the second come in which the session's ceiling is due.
func (s *scene) itsCeiling() {
	s.clock.Advance(time.Second)
	s.s.handle(&dueNow{})
}

func (s *scene) unused() {
	if s.sl != nil {
		s.sl.entry.Use(t0.Add(-time.Hour).Unix())
		s.s.checkIdle(s.sl)
		s.s.handle(&dueNow{})
	}
}

func (s *scene) tooMany() {
	s.s.evict()
	s.s.handle(&dueNow{})
}

// itsTimer lets the moment pass after which a session gives its actor back, or a marker goes.
func (s *scene) itsTimer() {
	if s.sl == nil {
		return
	}
	d := s.sl.known()
	for _, timer := range []*timer{&d.release, &d.other} {
		if timer.place != 0 {
			s.s.due.cancel(timer)
			s.s.fire(timer)
		}
	}
	s.s.handle(&dueNow{})
}

func (s *scene) atRest() {
	m := &messages.AtRest{Key: keyOf("a")}
	if s.sl != nil {
		m.Handled = s.sl.known().sent - s.behind
	}
	s.give(m)
}

func (s *scene) failed() { s.give(&messages.SessionFailed{Key: keyOf("a")}) }

// saw says in the words of the table what the supervisor did.
func (s *scene) saw(before view) (words []string) {
	now := s.look()
	if before.state != "absent" && before.sl != now.sl {
		words = append(words, "drop")
	}
	words = append(words, s.sent...)
	add := func(word string, is bool) {
		if is {
			words = append(words, word)
		}
	}
	add("load", now.load != nil && now.load != before.load)
	add("void the load", before.load != nil && now.load == nil && !s.answered && now.state == "active")
	add("outdated", before.fresh && !now.fresh && now.sl == before.sl)
	add(now.state, now.state != before.state && (now.state == "idle" || now.state == "ending"))
	switch s.given.(type) {
	case *messages.SessionBegan:
		add("ceiling watched", now.ceiling != before.ceiling)
	case *messages.SessionEnded:
		add("ceiling forgotten", now.ceiling == 0 && before.ceiling != 0)
	}
	add("claim", now.claiming > before.claiming)
	add("delete", s.answered && now.records < before.records)
	add("asked again", before.asked && !now.asked && now.state == "active")
	select {
	case e := <-s.reply:
		add("its entry", before.sl != nil && e == &before.sl.entry)
	default:
	}
	add("look again", s.f.Completed() != nil && s.f.Answer().Restart)
	if before.sl != nil {
		last := before.sl.entry.Snapshot()
		add("look again", last.Phase == directory.Failed && last.Err == nil)
		add("closed", last.Phase == directory.Failed && session.CodeOf(last.Err) == session.CodeClosed)
	}
	if slices.Contains(words, "pass on") {
		return words // the actor answers the call
	}
	select {
	case <-s.call.Done():
		_, err := s.call.Ended()
		add("done", err == nil)
		add(string(session.CodeOf(err)), err != nil)
	default:
	}
	return words
}

// view is what there is to see of a session in one moment.
type view struct {
	state        string
	sl           *resident
	load         *load
	ceiling      int64 // the second that is watched, 0: none
	fresh, asked bool
	claiming     int // sessions that a claim may bring
	records      int // in the store
}

func (s *scene) look() view {
	v := view{state: s.state(), sl: s.s.residents.get(keyOf("a")), claiming: s.s.claiming, records: s.memory.Len()}
	if v.sl != nil {
		v.load, v.asked = v.sl.known().load, v.sl.asked
		if v.sl.ceiling.place != 0 {
			v.ceiling = v.sl.ceiling.second
		}
		v.fresh = s.env.Fresh.MayShow(&v.sl.entry, s.clock)
	}
	return v
}

// events are the rows of the table, and how each comes about.
var events = map[string][]func(*scene){
	"OpenSession":                {(*scene).openSession},
	"NeedToken":                  {(*scene).needToken},
	"ReplaceSession":             {(*scene).replaceSession},
	"EndSession":                 {(*scene).endSession},
	"UpdateSession":              {(*scene).updateSession},
	"CeilingReached, ReadRecord": {(*scene).ceilingReached, (*scene).readRecord},
	"a stale intent":             {(*scene).staleIntent},
	"Changed":                    {(*scene).changed},
	"its ceiling":                {(*scene).itsCeiling},
	"unused, too many":           {(*scene).unused, (*scene).tooMany},
	"its timer":                  {(*scene).itsTimer},
	"SessionBegan": {func(s *scene) {
		s.give(&messages.SessionBegan{Key: keyOf("a"), Ceiling: in(time.Hour)})
	}},
	"SessionEnded":  {func(s *scene) { s.give(&messages.SessionEnded{Key: keyOf("a")}) }},
	"Busy":          {func(s *scene) { s.give(&messages.Busy{Key: keyOf("a")}) }},
	"AtRest":        {(*scene).atRest},
	"SessionFailed": {(*scene).failed},
	"Close":         {func(s *scene) { s.give(&messages.Close{Done: make(chan struct{})}) }},
	"Abort":         {func(s *scene) { s.give(&messages.Abort{Reply: make(chan []session.Key, 1)}) }},
}

// conditions are the cases of a cell that begin with a condition, and how it comes to hold. They are set up before the event.
var conditions = map[string]func(*scene){
	"outdated":                func(s *scene) { s.clock.Advance(time.Minute) }, // before its own timer is handled
	"with connection tokens":  func(*scene) {},                                 // see sceneIn
	"a command is on its way": func(s *scene) { s.sl.more().sent, s.behind = 1, 1 },
	"it has ended": func(s *scene) {
		s.sl.entry.Publish(directory.NewEnded(1, session.Incarnation{}, &session.State{}, &directory.Outcome{}))
	},
	"its own version":       func(s *scene) { s.sl.version = session.Version{2} },
	"the third in a minute": func(s *scene) { s.sl.more().failed = []int64{t0.Unix(), t0.Unix()} },
	"the store's index has it": func(s *scene) {
		s.put("a", in(time.Second))
		s.s.claimAt(in(time.Second)) // as the answer to the list of those that are due
	},
	"asked already":        func(s *scene) { s.sl.asked = true },
	"the store has it":     func(s *scene) { s.put("a", 0) },
	"in the store already": func(s *scene) { s.inStore = true },
}

// TestTable drives every case of every cell of the table in doc.go. A case is what the supervisor does in the turn of the event and,
// behind "then", once the store has answered. A case but the first names its condition.
func TestTable(t *testing.T) {
	rows := tableRows(t)
	for _, row := range rows {
		for i, column := range columns {
			for _, text := range strings.Split(row[i+1], "; ") {
				for n, give := range events[row[0]] {
					t.Run(fmt.Sprintf("%s %d in %s: %s", row[0], n, column, text), func(t *testing.T) { drive(t, column, text, give) })
				}
			}
		}
	}
	source, err := os.ReadFile("supervisor.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`case \*messages\.(\w+):`).FindAllSubmatch(source, -1) {
		if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Contains(strings.Split(row[0], ", "), string(m[1])) }) {
			t.Errorf("%s is in no row", m[1])
		}
	}
}

func drive(t *testing.T, column, text string, give func(*scene)) {
	condition, does, some := strings.Cut(text, ": ")
	if !some {
		condition, does = "", text
	}
	prepare := conditions[condition]
	if some && prepare == nil {
		t.Fatalf("no such condition: %q", condition)
	}
	s := sceneIn(t, column, condition == "with connection tokens")
	now, later, waits := strings.Cut(does, "then ")
	var before view
	turn := func(f func()) (saw []string) {
		s.inside(func(*Supervisor) {
			f()
			saw = s.saw(before)
			before, s.sent = s.look(), nil
		})
		return saw
	}
	agree(t, turn(func() {
		if prepare != nil {
			prepare(s)
		}
		before = s.look()
		give(s)
	}), now)
	if s.answerAll(); waits {
		agree(t, turn(func() {}), later)
	}
	s.counts()
}

func agree(t *testing.T, saw []string, text string) {
	t.Helper()
	var want []string
	for word := range strings.SplitSeq(text, ", ") {
		if word = strings.Trim(word, " ,"); word != "" && word != "–" {
			want = append(want, word)
		}
	}
	slices.Sort(saw)
	slices.Sort(want)
	if !slices.Equal(saw, want) {
		t.Errorf("saw %q, want %q", saw, want)
	}
}

// tableRows returns the rows of the table, without its head.
func tableRows(t *testing.T) (rows [][]string) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "//\t| ")
		if !ok || strings.HasPrefix(line, "event") {
			continue
		}
		row := strings.Split(strings.TrimSuffix(line, " |"), " | ")
		if len(row) != len(columns)+1 || events[row[0]] == nil {
			t.Fatalf("%q is no row, or not driven", line)
		}
		rows = append(rows, row)
	}
	if len(rows) != len(events) {
		t.Fatalf("%d rows, want %d", len(rows), len(events))
	}
	return rows
}
