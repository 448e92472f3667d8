package processes_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp/idptest"
)

// A refresh asks the store for two operations before its caller is answered: Begin, and the Update that gives the lease
// back.
func TestRefresh_twoRoundTrips(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s, w, id := standingForTrips(t, h)
		for range 3 {
			s.rest(tokenLife)
			s.knows(s.all[0], w)
			s.settle()
			s.refreshIn(id, 2)
		}
		s.judge(4)
	})
}

// Where the record has moved since this process read it, Begin brings what another process saved, and the refresh begins
// again from there.
func TestRefresh_threeRoundTripsWhereTheRecordHadMoved(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s, w, id := standingForTrips(t, h)
		s.rest(tokenLife)
		s.knows(s.all[0], w)
		s.settle()
		s.wires[0].let(feedsMuted)
		if r := s.all[1].token(id, "https://elsewhere.example"); r.Code != "" {
			t.Fatal(r.Code)
		}
		s.settle()
		s.refreshIn(id, 3)
		s.wires[0].let(feedsPass)
		s.judge(3)
	})
}

// standingForTrips returns two processes and a session that has refreshed once at the first.
func standingForTrips(t *testing.T, h home) (*standing, who, string) {
	if strings.HasPrefix(h.URL, "postgres:") {
		h.URL += "&pool_max_conns=1" // each new connection would first be told the statements
	}
	s := newStanding(t, h, 2, idptest.WithTokenLife(tokenLife))
	w, id := s.signIn(s.all[0])
	s.rest(tokenLife)
	if r := s.all[0].token(id, ""); r.Code != "" { // the first one of all
		t.Fatal(r.Code)
	}
	return s, w, id
}

// refreshIn has the first process refresh a token, and its caller be answered after so many round trips.
func (s *standing) refreshIn(id string, trips int) {
	s.t.Helper()
	line := s.wires[0]
	line.limit(trips)
	answer := s.all[0].start("Token", TokenCall{ID: id})
	if !inTime(func() bool { return len(answer) > 0 }) {
		line.free()
		s.t.Fatalf("the caller waits for more than %d round trips; then it gets %v", trips, <-answer)
	}
	if left := line.free(); left != 0 {
		s.t.Errorf("round trips = %d, want %d", trips-left, trips)
	}
	if r := <-answer; r.Code != "" {
		s.t.Fatal(r.Code)
	}
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
