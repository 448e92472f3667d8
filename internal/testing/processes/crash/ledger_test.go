package crash

import (
	"slices"
	"strings"
	"testing"
)

// story is a ledger of one session, which has signed in with R0.
type story struct {
	t *testing.T
	*ledger
	expected int // objections that were expected
}

func newStory(t *testing.T) *story {
	s := &story{t: t, ledger: newLedger(1)}
	s.signedIn(0, "R0")
	return s
}

// refresh has the session present a refresh token, for which the provider grants another.
func (s *story) refresh(spent, next string) {
	if a := s.presents(spent); a != nil {
		s.granted(a, spent, next, "A of "+next)
	}
}

func (s *story) acknowledge(refresh string) {
	s.acknowledges(0, "https://api.example", digest("A of "+refresh))
}

// want fails unless there is one more objection, which says so; empty: none.
func (s *story) want(says string) {
	s.t.Helper()
	list := s.objections()[s.expected:]
	s.expected += len(list)
	switch {
	case says == "" && len(list) == 0, len(list) == 1 && says != "" && strings.Contains(list[0], says):
	default:
		s.t.Errorf("objections = %q, want one that says %q, or none where that is empty", list, says)
	}
}

func TestLedger_theNewestEachTime(t *testing.T) {
	s := newStory(t)
	s.refresh("R0", "R1")
	s.acknowledge("R1")
	s.refresh("R1", "R2")
	s.killed([]string{"R2"})
	s.refresh("R2", "R3")
	s.want("")
}

func TestLedger_recoveryMayTryOnceAfterEachKill(t *testing.T) {
	s := newStory(t)
	s.refresh("R0", "R1")
	if window := s.killed([]string{"R0"}); !slices.Equal(window, []int{0}) {
		t.Errorf("in the window = %v, want session 0", window)
	}
	s.refresh("R0", "R2")
	s.want("")
	s.killed([]string{"R0"})
	s.refresh("R0", "R3")
	s.want("")
	s.refresh("R0", "R4")
	s.want("a second time after one kill")
	if again, _ := s.counts(); again != 3 {
		t.Errorf("presented again = %d, want 3", again)
	}
	if list := s.retried(); !slices.Equal(list, []int{0}) || len(s.retried()) > 0 {
		t.Errorf("killed in the window = %v, want session 0, once", list)
	}
}

func TestLedger_objects(t *testing.T) {
	for says, tell := range map[string]func(s *story){
		"was not killed between rotation and save": func(s *story) { s.refresh("R0", "R2") },
		"older than the one before": func(s *story) {
			s.refresh("R1", "R2")
			s.refresh("R0", "R3")
		},
		"was rolled back": func(s *story) {
			s.acknowledge("R1")
			s.refresh("R0", "R2")
		},
		"lost a refresh token that was acknowledged": func(s *story) {
			s.acknowledge("R1")
			s.killed([]string{"R0"})
		},
		"holds a refresh token older": func(s *story) {
			s.refresh("R1", "R2")
			s.killed([]string{"R0"})
		},
		"has refused none": func(s *story) { s.killed([]string{""}) },
	} {
		t.Run(says, func(t *testing.T) {
			s := newStory(t)
			s.refresh("R0", "R1")
			s.want("")
			tell(s)
			s.want(says)
		})
	}
}

func TestLedger_aRefusedSessionHasNone(t *testing.T) {
	s := newStory(t)
	s.refresh("R0", "R1")
	s.killed([]string{"R0"})
	s.refuses(s.presents("R0"))
	s.killed([]string{""})
	s.want("")
	if !s.view(0).dead {
		t.Error("the session lives on after the provider has refused it")
	}
	s.signedIn(0, "R9")
	s.refresh("R9", "R10")
	s.want("")
}

func TestLedger_marks(t *testing.T) {
	s := newStory(t)
	s.refresh("R0", "R1")
	s.refresh("R1", "R2")
	if first, second := s.mark(), s.mark(); first != 2 || second != 0 {
		t.Errorf("presented until the marks = %d, %d, want 2, 0", first, second)
	}
}
