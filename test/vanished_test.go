package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// vanish takes a record out of the store without a word, as a flush or eviction does.
func (r *rig) vanish(id string) {
	r.t.Helper()
	if err := r.memory.Touch(context.Background(), session.KeyOf("_a0_session", id), 1, store.Options{}); err != nil {
		r.t.Fatal(err)
	}
	r.clock.Advance(time.Millisecond)
}

// lostLines returns what each line about lost records says: how many.
func lostLines(logs *observer.ObservedLogs) (lines []int64) {
	for _, e := range logs.FilterLevelExact(zap.ErrorLevel).All() {
		if n, is := e.ContextMap()["lost"]; is {
			lines = append(lines, n.(int64))
		}
	}
	return lines
}

func TestVanished_recordsAreCountedAndLoggedOnceAMinute(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	r := newRig(t, withClient(tokenward.WithLogger(zap.New(core))))
	ids := []string{r.login(), r.login(), r.login(), r.login()}
	for _, id := range ids[:3] {
		r.vanish(id)
	}
	for _, id := range ids {
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://another.example"}, tokenward.SessionID(id))
		if want := id != ids[3]; (tokenward.CodeOf(err) == "missing_session") != want {
			t.Errorf("err = %v, want missing_session: %v", err, want)
		}
	}
	r.settle()
	if n := r.client.Stats().Vanished; n != 3 {
		t.Errorf("%d records are counted as lost, want 3", n)
	}
	if got := lostLines(logs); len(got) != 1 || got[0] != 1 {
		t.Errorf("lines about lost records: %v, want one about the first", got)
	}
	r.clock.Advance(time.Minute)
	if got := lostLines(logs); len(got) != 2 || got[1] != 2 {
		t.Errorf("lines about lost records after a minute: %v, want another about two more", got)
	}
	r.clock.Advance(time.Hour)
	if got := lostLines(logs); len(got) != 2 {
		t.Errorf("lines about lost records: %v, want none where none was lost", got)
	}
}

// One process learns of it from another's writes, or from its own question, and counts it once.
func TestVanished_fromASharedStore(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.vanish(id)
		for _, p := range p {
			if _, err := p.ask(id, tokenward.TokenRequest{}).wait(); tokenward.CodeOf(err) != "missing_session" {
				t.Errorf("err = %v, want missing_session", err)
			}
			r.rest()
			r.want("records counted as lost", int(p.Stats().Vanished), 1)
		}
		r.want("requests", r.tenant.Refreshes(), 0)
	})
}

// The record had stood while its writes were told, hours after it was read; then the server restarts, and is empty.
func TestVanished_withTheServerHoursAfterItWasRead(t *testing.T) {
	processes(t, 1, nil, func(t *testing.T, r *rig, id string, p []process) {
		for range 6 * 12 {
			r.clock.Advance(5 * time.Minute)
			r.rest() // a question to the store that the clock overtakes counts as an outage
			if _, err := p[0].GetUser(context.Background(), tokenward.SessionID(id)); err != nil {
				t.Fatal(err)
			}
		}
		r.vanish(id)
		p[0].store.BreakFeed(errors.New("the server restarts"))
		r.rest()
		if u, err := p[0].GetUser(context.Background(), tokenward.SessionID(id)); u != nil {
			t.Errorf("GetUser = %v, %v, want none", u, err)
		}
		r.rest()
		r.want("records counted as lost", int(p[0].Stats().Vanished), 1)
	})
}

func TestVanished_whatWasEndedElsewhereIsNotLost(t *testing.T) {
	bare := func(s store.StateStore) store.StateStore { return storetest.Without[store.Leaser](withoutFeed(s)) }
	logout := func(r *rig, id string, other process) {
		if _, err := other.Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			r.t.Fatal(err)
		}
		r.rest()
	}
	tests := []struct {
		name string
		hide func(store.StateStore) store.StateStore
		end  func(r *rig, id string, other process)
	}{
		{"a tombstone says so", nil, logout},
		{"the tombstone has lapsed", withoutFeed, func(r *rig, id string, other process) {
			logout(r, id, other)
			r.clock.Advance(store.DefaultTombstoneLife + time.Minute)
		}},
		{"the store's tombstones may be in another process", bare, func(r *rig, id string, _ process) { r.vanish(id) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			processes(t, 2, tt.hide, func(_ *testing.T, r *rig, id string, p []process) {
				tt.end(r, id, p[1])
				for _, p := range p {
					_, _ = p.ask(id, tokenward.TokenRequest{}).wait()
					r.rest()
					r.want("records counted as lost", int(p.Stats().Vanished), 0)
				}
			})
		})
	}
}

// A browser's session that a job uses without the browser: its record is kept as long as browsers need it.
func TestVanished_aTTLThatHasPassedIsNoLoss(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithTokenLife(48*time.Hour)), withClient(tokenward.WithLimits(tokenward.Limits{PassivateAfter: 48 * time.Hour})))
	id := newBrowser(r).login()
	ask := func(audience string) error {
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: audience}, tokenward.SessionID(id))
		return err
	}
	for range 26 {
		r.clock.Advance(time.Hour)
		if err := ask(""); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("https://another.example"); tokenward.CodeOf(err) != "missing_session" {
		t.Fatalf("err = %v, want missing_session: its TTL has passed", err)
	}
	if n := r.client.Stats().Vanished; n != 0 {
		t.Errorf("%d records are counted as lost, want none", n)
	}
}
