package test_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// Records that no configured secret opens are no sessions, and are left as they are, for processes that
// can read them. One line of the log tells of the first, another a minute later how many more there
// were; and the client is not ready for five minutes after the last.
func TestUnreadable_isToldAndLeftAlone(t *testing.T) {
	for name, open := range map[string]func(*rig) store.StateStore{
		"memory":  func(r *rig) store.StateStore { return r.memory },
		"durable": func(r *rig) store.StateStore { return newDurable(r.clock) },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 20
			r := newRig(t)
			r.close()
			inner := open(r)
			r.store = storetest.NewFaulty(inner)
			r.client = r.newClient()
			var ids []string
			for range n {
				ids = append(ids, r.login(until(24*time.Hour)))
			}
			before := recordsOf(t, inner, ids)
			r.close()

			r.cfg.Secrets = []string{"another secret of thirty-two bytes or more"}
			core, said := observer.New(zapcore.WarnLevel)
			c := r.newClient(tokenward.WithLogger(zap.New(core)))
			r.client = c
			if err := c.Ready(t.Context()); err != nil {
				t.Errorf("before anybody asks: Ready = %v", err)
			}
			for range 2 {
				for _, id := range ids {
					if u, err := c.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
						t.Fatalf("GetUser = %v, %v, want nobody", u, err)
					}
					_, err := c.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
					r.wantCode("a caller", err, "missing_refresh_token")
				}
			}
			var not *tokenward.NotReadyError
			if err := c.Ready(t.Context()); !errors.As(err, &not) || not.Store == nil {
				t.Errorf("Ready = %v, want the store to be named", err)
			}
			r.advance(5*time.Minute - time.Second)
			if err := c.Ready(t.Context()); !errors.As(err, &not) {
				t.Errorf("just before five minutes have passed: Ready = %v", err)
			}
			r.advance(time.Second)
			if err := c.Ready(t.Context()); err != nil {
				t.Errorf("after five minutes: Ready = %v", err)
			}
			var counts []int64
			for _, line := range said.All() {
				count, ok := line.ContextMap()["count"].(int64)
				if !ok {
					t.Errorf("a line without a count: %s", line.Message)
				}
				counts = append(counts, count)
			}
			if want := []int64{1, n - 1}; !slices.Equal(counts, want) {
				t.Errorf("lines of the log with counts %v, want %v", counts, want)
			}
			r.want("Stats.Unreadable", int(c.Stats().Unreadable), n)
			r.want("records written or deleted", r.store.Updates()+r.store.Ends()+r.store.Replaces()-n, 0)
			if after := recordsOf(t, inner, ids); !slices.EqualFunc(before, after, sameRecord) {
				t.Error("the records have changed")
			}
			r.close()

			r.cfg.Secrets = []string{secret}
			r.client = r.newClient()
			for _, id := range ids {
				r.inMemory(id)
			}
		})
	}
}

func recordsOf(t *testing.T, s store.StateStore, ids []string) (records []store.Record) {
	t.Helper()
	for _, id := range ids {
		rec, err := s.Load(context.Background(), key(id), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return records
}

func sameRecord(a, b store.Record) bool {
	return a.Version == b.Version && a.Incarnation == b.Incarnation && slices.Equal(a.Sealed, b.Sealed)
}
