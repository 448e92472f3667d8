package actors

import (
	"strings"
	"testing"
)

// Values of the application could not be saved. They are tried again also while a request is on the wire, whose intent stays:
// what has come of its refresh token is still to be found out.
func TestRetry_besideARequestLeavesItsIntent(t *testing.T) {
	s := in(t, live, 0)
	updating("", `{"n":1}`)(s)
	s.ask(keyA)
	s.finish(errDown) // the save
	s.reach(onTheWire)
	s.give(&retryDue{})
	o, ok := s.c.running.(*saveOp)
	if !ok || !strings.Contains(strings.Join(s.saw(), ", "), "runs saveOp") {
		t.Fatalf("it %v, want a save", s.saw())
	}
	if !o.keeps {
		t.Error("the save clears the intent of the request")
	}
	s.finish(nil)
	if s.c.lease.intent == nil {
		t.Error("the session takes the intent for cleared")
	}
}
