package actors

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var keys = []session.FlightKey{
	session.QueryKey("a", ""), session.QueryKey("b", ""), session.ConnectionKey("google", ""), session.ConnectionKey("google", "ann"),
}

// surroundings are the worlds that a core may live in.
var surroundings = []struct {
	name  string
	rules func(*world)
	other bool // another process writes to the store: it refreshes, signs in and signs out
}{
	{"alone", func(*world) {}, false},
	{"alone, with intents", func(w *world) { w.rules.Intents = true }, false},
	{"beside another process", func(w *world) { w.rules.Exclusive = false }, true},
	{"told of writes, whenever that is heard", func(w *world) { w.rules.Exclusive, w.tells = false, true }, true},
	// Each refresh token is spent under a lease.
	{"under leases", underLeases, true},
	// The process may be paused for longer than its lease lasts.
	{"under leases that lapse", func(w *world) { underLeases(w); w.lapses = true }, true},
	{"told of writes under leases", func(w *world) { underLeases(w); w.tells = true }, true},
}

func underLeases(w *world) { w.rules.Exclusive, w.rules.Leases, w.rules.Intents = false, true, true }

// Whatever happens in whatever order: the world's checks hold at every step, and
// everything comes to rest once the store and the provider work.
func TestCore_keepsItsPromises(t *testing.T) {
	for _, s := range surroundings {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t)
				s.rules(w)
				unfold(t, w, s.other)
			})
		})
	}
}

// FuzzCore is the same with sequences of messages that the fuzzer makes up.
func FuzzCore(f *testing.F) {
	for seed := range uint64(8) {
		b := make([]byte, 4<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
		b[0] = byte(seed) // one for each of the surroundings
		f.Add(b)
	}
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		s := surroundings[rapid.IntRange(0, len(surroundings)-1).Draw(t, "surroundings")]
		w := newWorld(t)
		s.rules(w)
		unfold(t, w, s.other)
	}))
}

// move is something that may happen next.
type move struct {
	name string
	more int         // how much likelier than others it is
	can  func() bool // nil: always
	do   func(*rapid.T)
}

// steps are all that may happen in w.
func steps(w *world, shared bool) []move {
	awake := func() bool { return w.core != nil }
	shown := func() bool { return w.core != nil && w.shown != nil }
	all := []move{
		{"deliver", 1, func() bool { return w.core != nil && len(w.mailbox) > 0 }, func(*rapid.T) { w.deliver() }},
		{"deliver all", 0, nil, func(*rapid.T) { w.deliverAll() }},
		{"load", 0, func() bool { return w.core == nil && w.record != nil }, func(*rapid.T) { w.load() }},
		{"ask", 1, shown, func(t *rapid.T) { w.ask(rapid.SampledFrom(keys).Draw(t, "key")) }},
		{"login", 0, nil, func(t *rapid.T) {
			w.login(rapid.SampledFrom([]session.Ceiling{0, 0, session.Ceiling(w.now.Unix() + 100)}).Draw(t, "ceiling"))
		}},
		{"logout", 0, nil, func(t *rapid.T) {
			var only session.Incarnation
			if rapid.Bool().Draw(t, "only") && w.logins > 0 {
				ins := w.incarnations()
				only = ins[rapid.IntRange(0, len(ins)-1).Draw(t, "which")]
			}
			w.logout(only)
		}},
		{"ceiling", 0, shown, func(*rapid.T) { w.reachCeiling() }},
		{"read again", 0, awake, func(*rapid.T) { w.command(&messages.ReadRecord{Call: w.call()}) }},
		{"passivate", 0, awake, func(*rapid.T) { w.command(&messages.Passivate{}) }},
		{"permit", 1, func() bool { return w.asked }, func(t *rapid.T) {
			w.grant(rapid.SampledFrom([]error{nil, nil, nil, session.ErrOverloaded}).Draw(t, "denied"))
		}},
		{"answer", 0, func() bool { return w.onWire != nil }, func(t *rapid.T) { w.answerRequest(answerKind(rapid.IntRange(0, int(answersThrottled)).Draw(t, "how"))) }},
		{"store", 1, func() bool { return w.writing != nil }, func(t *rapid.T) {
			w.late = w.tells && rapid.Bool().Draw(t, "late")
			w.finish(outcome(rapid.IntRange(0, 2).Draw(t, "how")))
		}},
		{"retry", 0, func() bool { return w.retry }, func(*rapid.T) { w.retryNow() }},
		{"later", 0, nil, func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
		}},
	}
	if w.rules.Leases {
		all = append(all,
			move{"renewal due", 0, func() bool { return w.renew }, func(*rapid.T) { w.renewalDue() }},
			move{"renewal", 0, func() bool { return w.renewal != 0 }, func(t *rapid.T) { w.renewNow(outcome(rapid.IntRange(0, 2).Draw(t, "how"))) }},
			move{"poll", 0, func() bool { return w.poll }, func(*rapid.T) { w.pollNow() }},
			move{"outage", 0, nil, func(t *rapid.T) { w.grace = time.Duration(rapid.IntRange(0, 1).Draw(t, "begins")) * 10 * time.Second }},
		)
	}
	if w.lapses {
		all = append(all, move{"lapse", 0, func() bool { return w.holder == self }, func(*rapid.T) { w.holder, w.others = unheld, true }})
	}
	if w.rules.Intents {
		quiet := func() bool {
			return w.record != nil && w.holder == unheld && w.intent == nil && w.onWire == nil && !w.asked && !w.held
		}
		all = append(all,
			move{"stale intent", 0, quiet, func(t *rapid.T) { w.staleIntent(rapid.Bool().Draw(t, "rotated")) }},
			move{"recover intent", 0, func() bool { return w.core != nil && w.intent != nil && w.holder != other }, func(*rapid.T) {
				w.command(&messages.RecoverIntent{Intent: *w.intent})
			}},
			move{"presented elsewhere", 0, func() bool { return w.core != nil && w.intent != nil && w.holder == unheld && w.onWire == nil }, func(*rapid.T) {
				listed := *w.intent
				in := listed
				in.Tries++
				w.intent = &in
				w.command(&messages.RecoverIntent{Intent: listed})
			}},
		)
	}
	if w.tells {
		all = append(all,
			move{"hear", 1, func() bool { return len(w.notices) > 0 }, func(*rapid.T) { w.hear() }},
			move{"answer", 0, func() bool { return w.reply != nil }, func(*rapid.T) { w.answerNow() }},
		)
	}
	if shared {
		all = append(all, move{"elsewhere", 0, nil, func(t *rapid.T) {
			w.elsewhere(rapid.SampledFrom([]string{"touched", "refreshed", "signed in", "signed out", "ended at a ceiling", "leased", "let go"}).Draw(t, "what"))
		}})
	}
	return all
}

func unfold(t *rapid.T, w *world, shared bool) {
	if rapid.Bool().Draw(t, "loaded") {
		in, s := w.newLogin(rapid.SampledFrom([]session.Ceiling{0, session.Ceiling(w.now.Unix() + 100)}).Draw(t, "ceiling"))
		w.record = &record{w.version(), in, s}
		w.load()
	}
	w.rules.EndOnDead = rapid.Bool().Draw(t, "ends when dead")
	all := steps(w, shared)
	for range rapid.IntRange(10, 100).Draw(t, "steps") {
		var now []move
		for _, s := range all {
			if s.can == nil || s.can() {
				now = append(append(now, s), slices.Repeat([]move{s}, s.more)...)
			}
		}
		s := now[rapid.IntRange(0, len(now)-1).Draw(t, "step")]
		t.Log(s.name)
		s.do(t)
	}
	if w.core != nil && rapid.Bool().Draw(t, "close") {
		w.command(&messages.Finish{})
		w.deliverAll()
		if w.core != nil && rapid.Bool().Draw(t, "late") {
			w.logout(session.Incarnation{9})
		}
	}
	w.drain()
}

func loginName(i int) string { return fmt.Sprintf("login%d", i) }

func (w *world) incarnations() (list []session.Incarnation) {
	for i := 1; i <= w.logins; i++ {
		for in, n := range w.names {
			if n == loginName(i) {
				list = append(list, in)
			}
		}
	}
	return list
}

// elsewhere is what another process does to the store.
func (w *world) elsewhere(what string) {
	w.note("elsewhere: %s", what)
	switch {
	case what == "leased":
		if w.rules.Leases {
			_, _ = w.take(other)
		}
	case what == "let go":
		if w.holder == other {
			w.holder = unheld
		}
	case what == "signed in":
		in, s := w.newLogin(0)
		w.record, w.gone, w.intent = &record{w.version(), in, s}, "", nil
		w.tell()
	case what == "ended at a ceiling": // of a login that this process need not have seen
		w.record, w.gone, w.intent = nil, session.ReasonCeiling, nil
		w.tell()
	case w.record == nil:
	case what == "given up": // for it was refused there
		next := w.record.state.Clone()
		next.RefreshToken = ""
		w.record = &record{w.version(), w.record.incarnation, next}
		w.tell()
	case what == "signed out":
		w.record, w.gone, w.intent = nil, session.ReasonLogout, nil
		w.tell()
	case w.rules.Leases && w.holder != other: // else it may not write
	case what == "touched":
		w.record = &record{w.version(), w.record.incarnation, w.record.state.Clone()}
		w.tell()
	case w.onWire == nil || w.rules.Leases && w.lapses:
		w.others = w.others || !w.rules.Leases || w.lapses // else never at the same time
		w.record = &record{w.version(), w.record.incarnation, w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))}
		w.tell()
	}
}

// staleIntent is what another process, or an earlier one, leaves behind that ends in the middle of a
// request; the provider may have rotated the token.
func (w *world) staleIntent(rotated bool) {
	login := w.names[w.record.incarnation]
	w.note("a stale intent of %s, rotated %v", login, rotated)
	w.intent = &store.Intent{Token: sha256.Sum256([]byte(w.record.state.RefreshToken)), Epoch: w.epoch, At: w.now.Unix()}
	if rotated {
		w.rotate(w.record.state.RefreshToken)
		w.lost[login] = true
	}
}
