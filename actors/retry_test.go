package actors

import (
	"strings"
	"testing"
)

// Values of the application could not be saved, and the retry waits while a request is on the wire, whose intent a save
// would clear. The request is not sent, for its lease has lapsed: the retry does not wait any longer.
func TestRetry_afterARequestThatWasNotSent(t *testing.T) {
	for name, err := range map[string]error{"the lease has lapsed": errLapsed, "the overlap is over": errTooLate} {
		t.Run(name, func(t *testing.T) {
			s := in(t, live, 0)
			updating("", `{"n":1}`)(s)
			s.ask(keyA)
			s.finish(errDown) // the save
			s.reach(onTheWire)
			s.give(&retryDue{})
			if words := s.saw(); strings.Contains(strings.Join(words, ", "), "runs saveOp") {
				t.Fatalf("it %v while a request is on the wire", words)
			}
			s.give(&providerAnswered{err: err})
			if !s.c.queued(isA[*saveOp]) {
				t.Errorf("it %v, and saves nothing", s.saw())
			}
		})
	}
}
