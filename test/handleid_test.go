package test_test

import (
	"testing"

	"github.com/tokenward/tokenward"
)

// A handle tells the id of its session, which names it to another process; that of the context's sessions has none.
func TestHandle_sessionID(t *testing.T) {
	r := newRig(t)
	id := r.login()
	ctx := tokenward.ContextWith(t.Context(), tokenward.SessionID(id))
	h, err := r.client.SessionOf(ctx, tokenward.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if h.SessionID() != id || r.client.Session(id).SessionID() != id {
		t.Error("a handle has another id")
	}
	if got := r.client.ContextSession().SessionID(); got != "" {
		t.Errorf("the handle of the context's sessions has the id %q", got)
	}
	if r.client.Session(h.SessionID()).SessionID() != id {
		t.Error("the id does not lead back")
	}
}
