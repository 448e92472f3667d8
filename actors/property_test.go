package actors

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
)

var keys = []session.FlightKey{
	session.QuestionKey("a", ""), session.QuestionKey("b", ""), session.ConnectionKey("google", ""), session.ConnectionKey("google", "ann"),
}

// Whatever happens in whatever order: the world's checks hold at every step, and
// everything comes to rest once the store and the provider work.
func TestCore_keepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { live(t, newWorld(t), false) })
}

// The same beside another process that writes to the store: it refreshes, signs in
// and signs out.
func TestCore_besideAnotherProcess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Exclusive = false
		live(t, w, true)
	})
}

func live(t *rapid.T, w *world, shared bool) {
	actions := map[string]func(*rapid.T){
		"": func(*rapid.T) {},
		"deliver": func(t *rapid.T) {
			if w.core == nil || len(w.mailbox) == 0 {
				t.Skip()
			}
			w.deliver()
		},
		"deliver all": func(*rapid.T) { w.deliverAll() },
		"load": func(t *rapid.T) {
			if w.core != nil || w.record == nil {
				t.Skip()
			}
			w.load()
		},
		"ask": func(t *rapid.T) {
			if w.core == nil || w.shown == nil {
				t.Skip()
			}
			w.ask(rapid.SampledFrom(keys).Draw(t, "key"))
		},
		"login": func(t *rapid.T) {
			w.login(rapid.SampledFrom([]session.Ceiling{0, 0, session.Ceiling(w.now.Unix() + 100)}).Draw(t, "ceiling"))
		},
		"logout": func(t *rapid.T) {
			var only session.Incarnation
			if rapid.Bool().Draw(t, "only") && w.logins > 0 {
				ins := w.incarnations()
				only = ins[rapid.IntRange(0, len(ins)-1).Draw(t, "which")]
			}
			w.logout(only)
		},
		"ceiling": func(t *rapid.T) {
			if w.core == nil || w.shown == nil {
				t.Skip()
			}
			w.reachCeiling()
		},
		"read again": func(t *rapid.T) {
			if w.core == nil {
				t.Skip()
			}
			w.command(&messages.Reread{Call: w.call()})
		},
		"passivate": func(t *rapid.T) {
			if w.core == nil {
				t.Skip()
			}
			w.command(&messages.Passivate{})
		},
		"slot": func(t *rapid.T) {
			if !w.slot {
				t.Skip()
			}
			w.grant(rapid.SampledFrom([]error{nil, nil, nil, session.ErrOverloaded}).Draw(t, "denied"))
		},
		"land": func(t *rapid.T) {
			if w.air == nil {
				t.Skip()
			}
			w.land(landing(rapid.IntRange(0, 5).Draw(t, "how")))
		},
		"store": func(t *rapid.T) {
			if w.writing == nil {
				t.Skip()
			}
			w.finish(outcome(rapid.IntRange(0, 2).Draw(t, "how")))
		},
		"retry": func(t *rapid.T) {
			if !w.retry {
				t.Skip()
			}
			w.retryNow()
		},
		"later": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
		},
	}
	actions["deliver more"], actions["store more"], actions["ask more"], actions["slot more"] = actions["deliver"], actions["store"], actions["ask"], actions["slot"]
	if shared {
		actions["elsewhere"] = func(t *rapid.T) {
			w.elsewhere(rapid.SampledFrom([]string{"touched", "refreshed", "signed in", "signed out"}).Draw(t, "what"))
		}
	}
	if rapid.Bool().Draw(t, "loaded") {
		in, s := w.newLogin(rapid.SampledFrom([]session.Ceiling{0, session.Ceiling(w.now.Unix() + 100)}).Draw(t, "ceiling"))
		w.record = &record{w.version(), in, s}
		w.load()
	}
	t.Repeat(actions)
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
	case what == "signed in":
		in, s := w.newLogin(0)
		w.record, w.gone = &record{w.version(), in, s}, ""
	case w.record == nil:
	case what == "signed out":
		w.record, w.gone = nil, session.ReasonLogout
	case what == "touched":
		w.record = &record{w.version(), w.record.incarnation, w.record.state.Clone()}
	case w.air == nil:
		w.others = true
		w.record = &record{w.version(), w.record.incarnation, w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))}
	}
}
