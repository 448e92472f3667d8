package actors

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
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

// The same where each refresh token is spent under a lease: no two processes spend at
// once, unless a lease lapses under a request.
func TestCore_underLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Exclusive, w.rules.Leases, w.rules.Intents = false, true, true
		live(t, w, true)
	})
}

// The same where the process may be paused for longer than its lease lasts.
func TestCore_underLeasesThatLapse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Exclusive, w.rules.Leases, w.rules.Intents = false, true, true
		w.lapses = true
		live(t, w, true)
	})
}

// The same where the store tells of every write, whenever that is heard: in the end the
// process knows who is signed in.
func TestCore_toldOfWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Exclusive, w.tells = false, true
		live(t, w, true)
	})
}

// The same under leases.
func TestCore_toldOfWritesUnderLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Exclusive, w.rules.Leases, w.rules.Intents, w.tells = false, true, true, true
		live(t, w, true)
	})
}

// The same in a store of this process alone that outlives it.
func TestCore_withIntents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.rules.Intents = true
		live(t, w, false)
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
			w.late = w.tells && rapid.Bool().Draw(t, "late")
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
	if w.rules.Leases {
		actions["renewal due"] = func(t *rapid.T) {
			if !w.renew {
				t.Skip()
			}
			w.renewalDue()
		}
		actions["renewal"] = func(t *rapid.T) {
			if !w.renews {
				t.Skip()
			}
			w.renewNow(outcome(rapid.IntRange(0, 2).Draw(t, "how")))
		}
		actions["outage"] = func(t *rapid.T) {
			w.calm = time.Duration(rapid.IntRange(0, 1).Draw(t, "begins")) * 10 * time.Second
		}
		actions["poll"] = func(t *rapid.T) {
			if !w.poll {
				t.Skip()
			}
			w.pollNow()
		}
	}
	if w.lapses {
		actions["lapse"] = func(*rapid.T) {
			if w.holder == self {
				w.holder, w.others = nobody, true
			}
		}
	}
	if w.rules.Intents {
		actions["orphan"] = func(t *rapid.T) {
			if w.record == nil || w.holder != nobody || w.intent != nil || w.air != nil || w.slot || w.held {
				t.Skip()
			}
			w.orphan(rapid.Bool().Draw(t, "rotated"))
		}
		actions["follow up"] = func(t *rapid.T) {
			if w.core == nil || w.intent == nil || w.holder == other {
				t.Skip()
			}
			w.command(&messages.FollowUp{Intent: *w.intent})
		}
	}
	actions["deliver more"], actions["store more"], actions["ask more"], actions["slot more"] = actions["deliver"], actions["store"], actions["ask"], actions["slot"]
	if w.tells {
		actions["hear"] = func(t *rapid.T) {
			if len(w.notices) == 0 {
				t.Skip()
			}
			w.hear()
		}
		actions["hear more"] = actions["hear"]
		actions["answer"] = func(t *rapid.T) {
			if w.reply == nil {
				t.Skip()
			}
			w.answerNow()
		}
	}
	if shared {
		actions["elsewhere"] = func(t *rapid.T) {
			w.elsewhere(rapid.SampledFrom([]string{"touched", "refreshed", "signed in", "signed out", "ended at a ceiling", "leased", "let go"}).Draw(t, "what"))
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
	case what == "leased":
		if w.rules.Leases {
			_, _ = w.take(other)
		}
	case what == "let go":
		if w.holder == other {
			w.holder = nobody
		}
	case what == "signed in":
		in, s := w.newLogin(0)
		w.record, w.gone, w.intent = &record{w.version(), in, s}, "", nil
		w.tell()
	case what == "ended at a ceiling": // of a login that this process need not have seen
		w.record, w.gone, w.intent = nil, session.ReasonCeiling, nil
		w.tell()
	case w.record == nil:
	case what == "signed out":
		w.record, w.gone, w.intent = nil, session.ReasonLogout, nil
		w.tell()
	case w.rules.Leases && w.holder != other: // else it may not write
	case what == "touched":
		w.record = &record{w.version(), w.record.incarnation, w.record.state.Clone()}
		w.tell()
	case w.air == nil || w.rules.Leases && w.lapses:
		w.others = w.others || !w.rules.Leases || w.lapses // else never at the same time
		w.record = &record{w.version(), w.record.incarnation, w.record.state.WithRefreshToken(w.rotate(w.record.state.RefreshToken))}
		w.tell()
	}
}

// orphan is what another process, or an earlier one, leaves behind that ends in the middle of a
// request; the provider may have rotated the token.
func (w *world) orphan(rotated bool) {
	login := w.names[w.record.incarnation]
	w.note("an orphan of %s, rotated %v", login, rotated)
	w.intent = &store.Intent{Token: sha256.Sum256([]byte(w.record.state.RefreshToken)), Epoch: w.epoch, At: w.now.Unix()}
	if rotated {
		w.rotate(w.record.state.RefreshToken)
		w.lost[login] = true
	}
}
