package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// expectations are what must be seen.
func expectations() []word {
	return []word{
		event("expect "+who+" to get (.+)", func(t *story, m []string) error { return t.expectAnswer(m[0], m[1]) }),
		event("expect "+who+" to wait", func(t *story, m []string) error { return t.expectAnswer(m[0], "nothing yet") }),
		event(`expect (\d+|no) (requests|`+strings.Join(nouns(), "|")+`)`, func(t *story, m []string) error {
			n, _ := strconv.Atoi(m[0])
			got := t.asked[m[1]]
			if t.asked[m[1]] = 0; got != n {
				return fmt.Errorf("there were %d %s, want %d", got, m[1], n)
			}
			return nil
		}),
		event("expect the store to have (.+)", func(t *story, m []string) error {
			s := t.w.subjects[0]
			t.w.observe(s)
			got := "nothing"
			switch f := s.stored.family; {
			case f == nil:
			case s.stored.refresh == noToken:
				got = "the session without a refresh token"
			case s.stored.refresh < f.current:
				got = "the session with an old refresh token"
			default:
				got = "the session"
			}
			if got != m[0] {
				return fmt.Errorf("the store has %s, want %s", got, m[0])
			}
			return nil
		}),
		event("expect the store to hold the values of "+who, func(t *story, m []string) error {
			s, c := t.w.subjects[0], t.calls[m[0]]
			if t.w.observe(s); c == nil || c.made == nil || !slices.Contains(s.stored.values, slices.Index(t.w.changes, c.made)) {
				return fmt.Errorf("the store holds the updates %v", s.stored.values)
			}
			return nil
		}),
		event("expect the host to be told that the session is unsaved", func(t *story, _ []string) error {
			if t.cut == nil || !slices.Contains(t.cut.unsaved, t.w.subjects[0].key) {
				return errors.New("it is not told so")
			}
			return nil
		}),
		event("expect the provider to have (kept|revoked) the session", func(t *story, m []string) error {
			families := t.w.subjects[0].families
			if revoked := families[len(families)-1].revoked; revoked != (m[0] == "revoked") {
				return fmt.Errorf("the provider has revoked the session: %v", revoked)
			}
			return nil
		}),
	}
}

func nouns() (list []string) {
	for noun := range storeNouns {
		list = append(list, noun)
	}
	slices.Sort(list)
	return list
}
