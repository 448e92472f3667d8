package test_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/store/storetest"
)

// With the store down, Close names by hash the sessions it has waited for: the unsaved, those to be deleted, and one whose login
// failed and may have replaced it all the same.
func TestClose_cutShortNamesWhatItWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = mustNew(t, r)
		again, ended, fine := r.login(), r.login(), r.login()
		for _, op := range []storetest.Op{storetest.OpReplace, storetest.OpLoad, storetest.OpEnd} {
			r.store.Inject(storetest.Fault{Op: op, Err: storetest.ErrFault})
		}
		if _, err := r.tryLogin(tokenward.SessionID(again)); tokenward.CodeOf(err) != "store_error" {
			t.Fatalf("a login while the store is down: err = %v, want store_error", err)
		}
		if err := <-r.logout(ended); tokenward.CodeOf(err) != "store_error" {
			t.Fatalf("a logout while the store is down: err = %v, want store_error", err)
		}
		r.rest()
		ctx, cancel := context.WithCancel(context.Background())
		done := r.closeIn(ctx)
		r.rest()
		cancel()
		err := <-done
		var cut *tokenward.CloseError
		if !errors.As(err, &cut) {
			t.Fatalf("Close: err = %v (%T), want a CloseError", err, err)
		}
		if !slices.Equal(cut.Waiting, []tokenward.Key{key(again)}) {
			t.Errorf("waiting = %v, want the session of the login that failed, %v", cut.Waiting, key(again))
		}
		if want := []tokenward.Key{key(ended)}; !slices.Equal(cut.Undeleted, want) || !slices.Equal(cut.Unsaved, want) {
			t.Errorf("undeleted = %v, unsaved = %v, want the session that was signed out, %v", cut.Undeleted, cut.Unsaved, key(ended))
		}
		if slices.Contains(slices.Concat(cut.Waiting, cut.Undeleted, cut.Unsaved), key(fine)) {
			t.Error("a session at rest is named")
		}
		if text := err.Error(); !strings.Contains(text, "1 of them ended and not deleted") || !strings.Contains(text, "1 more waited for the store") {
			t.Errorf("err = %q, want it to say what Close waited for", text)
		}
	})
}

// A session that is being ended when closing is cut short may still be in the store. It is named so, whether or not it was in memory.
func TestClose_cutShortNamesAnEndUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.client = mustNew(t, r)
		asleep := r.login()
		closeClient(t, r.client)
		r.client = mustNew(t, r)
		shown := r.login()
		gate := r.store.Hold(storetest.OpEnd)
		for _, id := range []string{asleep, shown} {
			go func() { _ = r.client.EndSession(context.Background(), key(id), tokenward.StoreOptions{}) }()
		}
		gate.Arrived(t, 2)
		ctx, cancel := context.WithCancel(context.Background())
		done := r.closeIn(ctx)
		r.rest()
		cancel()
		err := <-done
		var cut *tokenward.CloseError
		if !errors.As(err, &cut) {
			t.Fatalf("Close: err = %v (%T), want a CloseError", err, err)
		}
		for name, id := range map[string]string{"asleep": asleep, "in memory": shown} {
			if !slices.Contains(cut.Undeleted, key(id)) {
				t.Errorf("undeleted = %v, want the session that was %s, %v", cut.Undeleted, name, key(id))
			}
		}
	})
}
