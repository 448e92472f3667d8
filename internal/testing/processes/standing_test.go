package processes_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
)

// standing is some processes on one store whose clocks stand still: so nothing that they
// do is due to a timer, unless the test lets time pass for them. Each reaches the store's
// server, whose clock goes on, over a wire of its own.
type standing struct {
	t      *testing.T
	tenant *idptest.Tenant
	clock  *clock.Fake // the tenant's
	all    []*process
	wires  []*wire
	logins int
}

// snapshotAge is after how long a session is read again while the feed is down.
const snapshotAge = 10 * time.Second

func newStanding(t *testing.T, h home, n int, opts ...idptest.Option) *standing {
	t.Helper()
	s := &standing{t: t, clock: clock.NewFake(clock.System().Now().Truncate(time.Second))}
	s.tenant = newTenant(t, append([]idptest.Option{idptest.WithClock(s.clock)}, opts...)...)
	for i := range n {
		own, w := h.through(t)
		s.wires = append(s.wires, w)
		s.all = append(s.all, startProcess(t, fmt.Sprint("process ", i), plan{
			Issuer: s.tenant.Issuer(), Home: own, Stands: s.clock.Now().Unix(), Limits: tokenward.Limits{SnapshotAge: snapshotAge},
		}))
	}
	for i := range s.all {
		s.listening(i)
	}
	return s
}

// listening waits until a process is told of what the others write.
func (s *standing) listening(i int) {
	s.t.Helper()
	eventually(s.t, s.all[i].name+" to be told of writes", func() bool {
		if s.notified(i) {
			return true
		}
		s.pass(10 * time.Second) // after which it asks for its feed once more
		return false
	})
}

// notified reports whether a process learns of a login elsewhere by the feed.
func (s *standing) notified(i int) bool {
	s.t.Helper()
	other := s.all[(i+1)%len(s.all)]
	s.logins++
	probe := who{session: s.logins}
	id := idOf(probe.session)
	// That there is no such session is remembered, with the clock standing, unless it is told.
	s.want("nobody yet", s.all[i].user(id), "")
	s.want("login", other.login(id, probe.String()), probe.String())
	return await.Within(time.Second, func() bool { return s.all[i].user(id) == Reply{Value: probe.String()} })
}

// signIn signs a user in, and lets every process know of it.
func (s *standing) signIn(at *process) (who, string) {
	s.t.Helper()
	s.logins++
	w := who{session: s.logins}
	s.want("login", at.login(idOf(w.session), w.String()), w.String())
	for _, p := range s.all {
		s.knows(p, w)
	}
	return w, idOf(w.session)
}

func (s *standing) knows(p *process, w who) {
	s.t.Helper()
	eventually(s.t, p.name+" to know "+w.String(), func() bool { return p.user(idOf(w.session)) == Reply{Value: w.String()} })
}

// pass lets time pass, for the tenant and for everybody.
func (s *standing) pass(d time.Duration) {
	s.t.Helper()
	s.clock.Advance(d)
	for _, p := range s.all {
		p.call("Advance", d, &Nothing{})
	}
}

func (s *standing) settle() {
	s.t.Helper()
	for _, p := range s.all {
		p.call("Settle", Nothing{}, &Nothing{})
	}
}

func (s *standing) want(what string, got Reply, value string) {
	s.t.Helper()
	if got != (Reply{Value: value}) {
		s.t.Fatalf("%s: %q, %s, want %q", what, got.Value, got.Code, value)
	}
}

// judge checks what must be so when all is over.
func (s *standing) judge(refreshes int) {
	s.t.Helper()
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"refreshes", s.tenant.Refreshes(), refreshes},
		{"requests of one session at once", s.tenant.PeakPerFamily(), 1},
		{"refresh tokens presented twice", s.tenant.Reuses(), 0},
	} {
		if c.got != c.want {
			s.t.Errorf("%s = %d, want %d", c.what, c.got, c.want)
		}
	}
}
