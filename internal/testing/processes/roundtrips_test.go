package processes_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
)

// What a refresh asks of the store before its caller is answered: the lease, the record,
// the intent, the update. What comes afterwards is not waited for.
const mostTrips = 4

func TestRefresh_fourRoundTrips(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		if strings.HasPrefix(h.URL, "postgres:") {
			h.URL += "&pool_max_conns=1" // each new connection would first be told the statements
		}
		s := newStanding(t, h, 2, idptest.WithTokenLife(tokenLife))
		w, id := s.signIn(s.all[0])
		p, line := s.all[0], s.wires[0]
		s.rest(tokenLife)
		if r := p.token(id, ""); r.Code != "" { // the first one of all
			t.Fatal(r.Code)
		}
		for range 3 {
			s.rest(tokenLife)
			s.knows(p, w)
			s.settle()
			line.limit(mostTrips)
			answer := p.start("Token", TokenCall{ID: id})
			if !inTime(func() bool { return len(answer) > 0 }) {
				line.free()
				t.Fatalf("the caller waits for more than %d round trips; then it gets %v", mostTrips, <-answer)
			}
			if left := line.free(); left != 0 {
				t.Errorf("round trips = %d, want %d", mostTrips-left, mostTrips)
			}
			if r := <-answer; r.Code != "" {
				t.Fatal(r.Code)
			}
		}
		s.judge(4)
	})
}

// rest lets time pass so slowly that every request of the processes to the store
// is answered before its deadline: one that is given up costs its connection.
func (s *standing) rest(d time.Duration) {
	s.t.Helper()
	const step = time.Second
	for ; d > 0; d -= step {
		s.settle()
		s.pass(step)
	}
	s.settle()
}
