//go:build unix

package processes_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A process is stopped in its tracks with a request on the wire, for longer than its lease
// lasts: another one takes over, refreshes and saves. When the first goes on, its
// save is refused, and no caller is given a token older than the other's.
func TestPaused_beyondItsLease(t *testing.T) {
	points := map[string]idptest.Point{"before the grant": idptest.BeforeGrant, "after the grant": idptest.AfterGrant}
	for name, point := range points {
		t.Run(name, func(t *testing.T) {
			eachHome(t, func(t *testing.T, h home) { paused(t, h, point) })
		})
	}
}

func paused(t *testing.T, h home, point idptest.Point) {
	const audience = "https://a.example"
	s := &standing{t: t, tenant: newTenant(t, idptest.WithOverlap(time.Hour))}
	for i := range 3 {
		s.all = append(s.all, startProcess(t, fmt.Sprint("process ", i), plan{
			Issuer: s.tenant.Issuer(), Home: h,
			Limits: tokenward.Limits{Lease: time.Second, FlightTimeout: patience, StoreTimeout: patience},
		}))
	}
	stopped, other := s.all[0], s.all[1]
	w, id := s.signIn(stopped)

	hold := s.tenant.Hold(idptest.Refresh, point)
	late := stopped.start("Token", TokenCall{id, audience})
	s.held(hold, 1)
	must(t, stopped.cmd.Process.Signal(syscall.SIGSTOP))
	second := other.start("Token", TokenCall{id, audience})
	s.held(hold, 2) // the lease has lapsed
	hold.Last()
	newer := receive(t, second)
	if newer.Code != "" {
		t.Fatalf("the process that took over: %s", newer.Code)
	}
	must(t, stopped.cmd.Process.Signal(syscall.SIGCONT))
	hold.Release()
	s.want("the one that was stopped", receive(t, late), newer.Value)

	for _, p := range s.all {
		s.want(p.name+" afterwards", p.token(id, audience), newer.Value)
		p.call("Settle", Nothing{}, &Nothing{})
	}
	// The store has the tokens that the other process got: without an overlap the session lives on, in
	// every process.
	s.tenant.Set(idptest.WithOverlap(0))
	for i, p := range s.all {
		r := p.token(id, fmt.Sprint("https://", i, ".example"))
		if got, _, _ := readToken(r.Value); r.Code != "" || got != w {
			t.Errorf("%s: the next refresh: %s, %s", p.name, got, r.Code)
		}
	}
	family := s.tenant.Family(w.String())
	// Both presented the login's token, as the overlap allows. Its two children are 1 and 2, in
	// the order of the grants; the other process has one, and what came of it is spent then.
	kept := map[idptest.Point]int{idptest.BeforeGrant: 1, idptest.AfterGrant: 2}[point]
	if got, want := fmt.Sprint(family.Serials()), fmt.Sprint([]int{0, 0, kept, 3, 4}); got != want || family.Reuses != 0 || !family.Alive {
		t.Errorf("refresh tokens presented = %v, %d of them twice, want %v", got, family.Reuses, want)
	}
	for _, p := range s.all {
		if s := p.stats(); s.Failures != 0 || s.Lost != 0 || s.Unsaved != 0 {
			t.Errorf("%s: %+v", p.name, s)
		}
		p.close()
	}
}
