package processes_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// who is one login: every login is a user of its own, so that whatever is handed out says
// whose it is.
type who struct {
	session int // whose id the host gives
	login   int // its number among the session's
	ceiling session.Ceiling
}

// String returns the subject of the login's ID token.
func (w who) String() string { return fmt.Sprintf("s%d.%d.%d", w.session, w.login, w.ceiling) }

func (w who) over(now time.Time) bool { return w.ceiling.Reached(now) }

// parseWho reads a subject. It reports false for the empty one of a session without a user.
func parseWho(subject string) (w who, ok bool) {
	n, err := fmt.Sscanf(subject, "s%d.%d.%d", &w.session, &w.login, &w.ceiling)
	return w, err == nil && n == 3
}

func idOf(session int) string { return fmt.Sprintf("host-%d", session) }

// newTenant starts a tenant whose tokens say whose they are, and for what.
func newTenant(t testing.TB, opts ...idptest.Option) *idptest.Tenant {
	t.Helper()
	return idptest.NewTenant(t, append([]idptest.Option{
		idptest.WithClient("demo", "demo-secret"),
		idptest.WithAccessToken(func(d *idptest.Draft) {
			d.Raw = fmt.Sprintf("at|%s|%s|%s", d.Claims["sub"], d.Claims["aud"], d.Claims["jti"])
		}),
		idptest.WithConnectionToken(func(d *idptest.Draft) {
			d.Raw = fmt.Sprintf("ct|%s|%s?%s|%s", d.Claims["sub"], d.Claims["connection"], d.Claims["account"], d.Raw)
		}),
		idptest.WithIDToken(func(d *idptest.Draft) {
			d.Omit = d.Kind == idptest.Refresh // a signature is most of what a refresh costs
			if w, ok := parseWho(fmt.Sprint(d.Claims["sub"])); ok && w.ceiling != 0 {
				d.Claims["session_expiry"] = int64(w.ceiling)
			}
		}),
	}, opts...)...)
}

// readToken returns whose a token is and for what: an audience, or connection?account.
func readToken(text string) (w who, of string, ok bool) {
	parts := strings.Split(text, "|")
	if len(parts) != 4 {
		return who{}, "", false
	}
	w, ok = parseWho(parts[1])
	return w, parts[2], ok
}

// ledger is what a process was told of logins that are over. What it hands out of one in
// answer to a call that began later is a resurrection.
type ledger struct {
	mu    sync.RWMutex
	time  int // grows with each death
	dead  map[string]int
	whole map[string]int // their connections' tokens too, which outlive a ceiling
}

func newLedger() *ledger { return &ledger{dead: make(map[string]int), whole: make(map[string]int)} }

// bury notes that a login is over.
func (l *ledger) bury(subject string, connections bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time++
	for _, m := range []map[string]int{l.dead, l.whole} {
		if _, again := m[subject]; !again {
			m[subject] = l.time
		}
		if !connections {
			return
		}
	}
}

// now returns the present moment in deaths.
func (l *ledger) now() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.time
}

// deadAt reports whether a login was over at that moment.
func (l *ledger) deadAt(subject string, moment int, connection bool) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m := l.dead
	if connection {
		m = l.whole
	}
	at, dead := m[subject]
	return dead && at <= moment
}
