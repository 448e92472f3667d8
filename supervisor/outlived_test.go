package supervisor

import (
	"crypto/rand"
	"testing"

	"github.com/tokenward/tokenward/messages"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A session that has outlived itself answers no question on its way in, for it is to end.
func TestOutlived_answersNoQuestionOnItsWayIn(t *testing.T) {
	r := newRig(t)
	s := &session.State{User: session.User{"sub": "ann"}, RefreshToken: "r0", Internal: session.Internal{SID: "sid", EndsAt: t0.Unix()}}
	record, err := r.env.Codec.Encode(keyOf("a"), s, session.NewVersion(rand.Reader), session.NewIncarnation(rand.Reader))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.memory.Replace(t.Context(), keyOf("a"), record, store.Options{}); err != nil {
		t.Fatal(err)
	}
	first := messages.NewFlight(&session.Question{Key: session.ConnectionKey("google", "")}, store.Options{})
	replied := make(chan *messages.Entry, 1)
	r.send(&messages.OpenSession{
		ID: "a", Key: keyOf("a"), Call: messages.NewCall(t.Context(), store.Options{}), First: first, Reply: replied,
	})
	r.settle()
	if e := <-replied; e.Snapshot().Phase != messages.Ready || len(e.Flights()) != 0 {
		t.Errorf("phase %d with %d flights, want ready with none", e.Snapshot().Phase, len(e.Flights()))
	}
	if first.Landed() != nil {
		t.Error("the question was answered")
	}
}
