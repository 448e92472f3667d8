package processes_test

import (
	"context"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
)

const tokenLife = time.Minute

const noFeed = "does not tell of other processes' writes"

// waiting is a refresh that one process has on the wire, and callers who wait for it in all.
type waiting struct {
	hold   *idptest.Hold
	holder <-chan Reply
	others [][]<-chan Reply // by process
}

// wait has the session's token expire, and everybody ask for a new one, the holder first.
// The others have been denied the session's lease when it returns.
func (s *standing) wait(id string, w who, holder int) *waiting {
	s.t.Helper()
	s.pass(tokenLife)
	for _, p := range s.all {
		s.knows(p, w)
	}
	s.settle()
	f := &waiting{hold: s.tenant.Hold(idptest.Refresh, idptest.AfterGrant), others: make([][]<-chan Reply, len(s.all))}
	f.holder = s.all[holder].start("Token", TokenCall{ID: id})
	s.held(f.hold, 1)
	for i, p := range s.all {
		if i == holder {
			continue
		}
		before := s.wires[i].asked()
		for range 5 {
			f.others[i] = append(f.others[i], p.start("Token", TokenCall{ID: id}))
		}
		eventually(s.t, p.name+" to ask for the lease", func() bool { return s.wires[i].asked() > before })
		p.call("Settle", Nothing{}, &Nothing{})
	}
	for i := range s.all {
		if n := f.answered(i); n > 0 {
			s.t.Fatalf("%d callers in process %d are answered while the request is on the wire", n, i)
		}
	}
	return f
}

func (s *standing) held(h *idptest.Hold, n int) {
	s.t.Helper()
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	must(s.t, h.Wait(ctx, n))
}

// loses takes a process's feed away and waits until it knows.
func (s *standing) loses(process int, how feeds) {
	s.t.Helper()
	eventually(s.t, "the loss of the feed to be noticed", s.losing(process, how))
}

// losing takes a process's feed away and returns what says whether it knows.
func (s *standing) losing(process int, how feeds) (noticed func() bool) {
	said := s.all[process].said
	before := said.count(noFeed)
	s.wires[process].let(how)
	return func() bool { return said.count(noFeed) > before }
}

// answered returns how many of a process's callers have their answer.
func (f *waiting) answered(process int) (n int) {
	for _, c := range f.others[process] {
		n += len(c)
	}
	return n
}

// want checks that everybody gets what the holder gets.
func (s *standing) wantSame(f *waiting, first Reply) {
	s.t.Helper()
	if first.Code != "" {
		s.t.Fatalf("the holder: %s", first.Code)
	}
	for i, callers := range f.others {
		for _, c := range callers {
			s.want(s.all[i].name, receive(s.t, c), first.Value)
		}
	}
}

// receive returns an answer that has to come.
func receive(t testing.TB, c <-chan Reply) Reply {
	t.Helper()
	eventually(t, "an answer", func() bool { return len(c) > 0 })
	return <-c
}

// Callers that wait in another process are released by the feed, while every clock stands.
func TestWaiters_areReleasedByTheFeed(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s := newStanding(t, h, 3, idptest.WithTokenLife(tokenLife))
		w, id := s.signIn(s.all[0])
		for round := range 4 {
			f := s.wait(id, w, round%3)
			f.hold.Release()
			s.wantSame(f, receive(t, f.holder))
		}
		s.judge(4)
	})
}

// Without a feed they ask for the lease again now and then.
func TestWaiters_areReleasedByThePoll(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s := newStanding(t, h, 2, idptest.WithTokenLife(tokenLife))
		w, id := s.signIn(s.all[0])
		for range 2 {
			s.loses(1, feedsCut)
			f := s.wait(id, w, 0)
			f.hold.Release()
			first := receive(t, f.holder)
			s.settle() // the lease is given back
			if n := f.answered(1); n > 0 {
				t.Fatalf("%d callers are answered, and nobody told their process", n)
			}
			for range 5 { // the first poll comes within a second
				s.pass(time.Second)
			}
			s.wantSame(f, first)
			s.wires[1].let(feedsPass)
			s.listening(1)
		}
		s.judge(2)
	})
}

// A logout ends the session in every process, with every clock standing.
func TestLogout_isToldToAll(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s := newStanding(t, h, 3)
		for round := range 6 {
			_, id := s.signIn(s.all[round%3])
			at := s.all[(round+1)%3]
			if r := at.do("Logout", id); r.Code != "" {
				t.Fatalf("Logout: %s", r.Code)
			}
			for _, p := range s.all {
				eventually(t, p.name+" to know of the logout", func() bool { return p.user(id) == Reply{} })
				if r := p.token(id, ""); r.Code != "missing_refresh_token" {
					t.Errorf("%s after a logout: a token, %q", p.name, r.Code)
				}
			}
		}
	})
}

// A process that finds its feed silent shows nothing that it has read before without another look. What it
// reads while nothing is told it shows for the snapshot age.
func TestLogout_whereNothingIsTold(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		h.Pings = 2 * time.Second
		s := newStanding(t, h, 2)
		w, id := s.signIn(s.all[0])
		noticed := s.losing(1, feedsMuted)
		if r := s.all[0].do("Logout", id); r.Code != "" {
			t.Fatalf("Logout: %s", r.Code)
		}
		s.want("while the silence is not noticed", s.all[1].user(id), w.String())
		eventually(t, "the silence to be noticed", noticed)
		s.want("once the silence is noticed", s.all[1].user(id), "")

		w, id = s.signIn(s.all[0])
		if r := s.all[0].do("Logout", id); r.Code != "" {
			t.Fatalf("Logout: %s", r.Code)
		}
		s.want("while what was read is new enough", s.all[1].user(id), w.String())
		s.pass(snapshotAge)
		s.want("after the snapshot age", s.all[1].user(id), "")
		if r := s.all[1].token(id, ""); r.Code != "missing_refresh_token" {
			t.Errorf("a token after the snapshot age: %q", r.Code)
		}
		s.wires[1].let(feedsPass)
		s.listening(1)
	})
}
