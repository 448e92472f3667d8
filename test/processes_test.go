package test_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// process is a client as one of several processes on one store.
type process struct {
	*tokenward.Client
	store *storetest.Faulty // its own way to the store
}

// processes tells story with n processes on one store with leases, intents and a feed,
// unless hide takes one away. One session is signed in, known to all of them, and its token
// has expired.
func processes(t *testing.T, n int, hide func(store.StateStore) store.StateStore, story func(t *testing.T, r *rig, id string, p []process), opts ...rigOption) {
	t.Helper()
	if hide == nil {
		hide = func(s store.StateStore) store.StateStore { return s }
	}
	inBubble(t, func(t *testing.T, r *rig) {
		r.close() // the rig's own would be one more process
		var all []process
		for range n {
			f := storetest.NewFaulty(hide(r.memory))
			p := process{r.newClientToCut(tokenward.WithStateStore(f), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never})), f}
			t.Cleanup(func() { _ = p.Close(context.Background()) })
			all = append(all, p)
		}
		r.client = all[0].Client
		id := r.login()
		r.clock.Advance(idptest.TokenLife - 30*time.Second)
		r.pass(30) // in steps: whose question to the store the clock overtakes takes that for an outage
		for _, p := range all {
			if u, err := p.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
				t.Fatalf("GetUser = %v, %v", u, err)
			}
		}
		r.rest()
		r.tenant.Reset()
		story(t, r, id, all)
	}, append([]rigOption{func(c *rigConfig) { c.memory = append(c.memory, store.Shared()) }}, opts...)...)
}

func withoutFeed(s store.StateStore) store.StateStore { return storetest.Without[store.ChangeFeed](s) }

func (p process) ask(id string, q tokenward.TokenRequest) *caller {
	return askOf(context.Background(), p.Client, id, q)
}

// P1 and P2 across processes: one request, and callers that wait elsewhere are released by the
// feed, with the clock standing still.
func TestProcesses_oneRequest(t *testing.T) {
	processes(t, 3, nil, func(t *testing.T, r *rig, id string, p []process) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		var all []*caller
		for _, p := range p {
			for range 10 {
				all = append(all, p.ask(id, tokenward.TokenRequest{}))
			}
			r.rest()
		}
		r.want("requests on the wire", hold.Held(), 1)
		hold.Release()
		first, err := all[0].wait()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range all {
			if got, err := c.wait(); err != nil || got.AccessToken != first.AccessToken {
				t.Errorf("caller %d: %v, %v, want what the first got", i, got, err)
			}
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("requests at once", r.tenant.PeakPerFamily(), 1)
		r.rest()
		r.wantLiving(id)
	})
}

// Without a feed the lease is asked for again now and then.
func TestProcesses_pollWhereNobodyTells(t *testing.T) {
	processes(t, 2, withoutFeed, func(t *testing.T, r *rig, id string, p []process) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		one := p[0].ask(id, tokenward.TokenRequest{})
		r.rest()
		two := p[1].ask(id, tokenward.TokenRequest{})
		r.rest()
		hold.Release()
		want, err := one.wait()
		if err != nil {
			t.Fatal(err)
		}
		r.rest()
		r.clock.Advance(time.Second)
		if got, err := two.wait(); err != nil || got.AccessToken != want.AccessToken {
			t.Errorf("the other process: %v, %v, want what the first got", got, err)
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.rest()
		r.wantLiving(id)
	})
}

// Five audiences in three processes: a request each, never two at once, and each spends
// what the one before returned.
func TestProcesses_fiveAudiences(t *testing.T) {
	processes(t, 3, nil, func(t *testing.T, r *rig, id string, p []process) {
		var all []*caller
		for i := range 60 {
			all = append(all, p[i%3].ask(id, tokenward.TokenRequest{Audience: audience(i % 5)}))
		}
		r.pass(20)
		for i, c := range all {
			if got, err := c.wait(); err != nil || got.Audience != audience(i%5) {
				t.Errorf("caller %d: %v, %v", i, got, err)
			}
		}
		r.want("requests", r.tenant.Refreshes(), 5)
		r.want("requests at once", r.tenant.PeakPerFamily(), 1)
		r.rest()
		r.wantLiving(id)
	})
}

// P7 across processes: a logout ends the session everywhere, at once where writes are told.
func TestProcesses_logoutElsewhere(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		if _, err := p[0].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest()
		if _, err := p[0].Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest()
		if u, err := p[1].GetUser(context.Background(), tokenward.SessionID(id)); u != nil || err != nil {
			t.Errorf("GetUser in the other process = %v, %v, want nobody", u, err)
		}
	})
}

// Without a feed a session is read again once it has reached the snapshot age.
func TestProcesses_snapshotAge(t *testing.T) {
	processes(t, 2, withoutFeed, func(t *testing.T, r *rig, id string, p []process) {
		if _, err := p[0].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest() // the lease is given back
		if _, err := p[1].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest()
		loads := p[1].store.Loads()
		if _, err := p[0].Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(29 * time.Second)
		r.rest()
		for range 10 {
			if _, err := p[1].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
				t.Fatal(err)
			}
		}
		r.want("loads within the snapshot age", p[1].store.Loads(), loads)
		r.clock.Advance(time.Second)
		r.client = p[1].Client
		r.wantCode("after the snapshot age", r.tokenErr(id, tokenward.TokenRequest{}), session.CodeMissingRefreshToken)
	})
}

// A store that hangs for other sessions, of which there are more than store work may be under way:
// the lease of a request that is out is renewed all the same.
func TestProcesses_theLeaseWaitsBehindNobody(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		one := p[0].ask(id, tokenward.TokenRequest{})
		r.rest()
		const n = 600
		p[0].store.Hang(storetest.OpLoad, n)
		var others []*caller
		for i := range n {
			others = append(others, p[0].ask(fmt.Sprint("made up ", i), tokenward.TokenRequest{}))
		}
		r.pass(9)
		r.want("requests on the wire, nine seconds later", hold.Held(), 1)
		hold.Release()
		r.pass(20)
		if _, err := one.wait(); err != nil {
			t.Error(err)
		}
		r.want("requests at once", r.tenant.PeakPerFamily(), 1)
		for _, c := range others {
			_, err := c.wait()
			r.wantCode("another session", err, "store_error")
		}
	})
}

// A process that is paused for longer than its lease: another one refreshes, and what the
// first brings home is refused. No token older than the other's is served or stored.
func TestProcesses_pausedBeyondTheLease(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		one := p[0].ask(id, tokenward.TokenRequest{})
		r.rest()
		p[0].store.Hang(storetest.OpRenew, 100) // paused, it renews nothing
		p[0].store.MuteFeed(true)
		r.pass(6) // in steps: what the other asks of the store meanwhile is answered in time
		two := p[1].ask(id, tokenward.TokenRequest{})
		r.rest()
		r.want("requests on the wire", hold.Held(), 2)
		p[0].store.Heal()
		hold.Last()
		newer, err := two.wait()
		if err != nil {
			t.Fatal(err)
		}
		r.rest()
		kept := r.refreshToken(id)
		hold.Release()
		got, err := one.wait()
		if err != nil {
			t.Fatal(err)
		}
		if got.AccessToken != newer.AccessToken {
			t.Error("the paused process serves a token older than the other's")
		}
		r.rest()
		if r.refreshToken(id) != kept {
			t.Error("the paused process has written")
		}
		r.tenant.Set(idptest.WithOverlap(0))
		r.tenant.Reset()
		r.wantLiving(id)
	}, withTenant(idptest.WithOverlap(time.Hour)))
}

// A process ends between the provider's answer and the save: another one presents the old
// refresh token, once, within the provider's overlap.
func TestProcesses_crashIsRecovered(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.crash(t, id, p[0])
		r.pass(15)
		r.want("requests: one was cut off, one recovered", r.tenant.Refreshes(), 2)
		r.want("intents left", len(r.staleIntents()), 0)
		r.tenant.Set(idptest.WithOverlap(0))
		r.client = p[1].Client
		r.tenant.Reset()
		r.wantLiving(id)
		r.want("sessions lost", int(p[1].Stats().Lost), 0)
	}, withTenant(idptest.WithOverlap(30*time.Second)))
}

// Without an overlap such a session is lost, after one try; its callers get the error.
func TestProcesses_crashWithoutOverlap(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.crash(t, id, p[0])
		r.pass(15)
		r.want("tries to present the old refresh token", r.tenant.Reuses(), 1)
		r.want("sessions lost", int(p[1].Stats().Lost), 1)
		r.want("intents left", len(r.staleIntents()), 0)
		for range 3 {
			_, err := p[1].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
			r.wantCode("a caller afterwards", err, session.CodeMissingRefreshToken)
		}
		r.pass(60)
		r.want("tries to present the old refresh token", r.tenant.Reuses(), 1)
		if u, err := p[1].GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v, want the user", u, err)
		}
	})
}

// A caller may come before the recovery does: its request is the one try.
func TestProcesses_crashFoundByACaller(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.crash(t, id, p[0])
		c := p[1].ask(id, tokenward.TokenRequest{})
		r.pass(8) // the lease lapses after five, and is asked for again within a second or so
		_, err := c.wait()
		r.wantCode("the caller", err, session.CodeRefreshTokenError)
		r.pass(60)
		_, err = p[1].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
		r.wantCode("a caller afterwards", err, session.CodeMissingRefreshToken)
		r.want("tries to present the old refresh token", r.tenant.Reuses(), 1)
	})
}

// pass lets seconds pass, one at a time: what each sets going comes to rest.
func (r *rig) pass(seconds int) {
	for range seconds {
		r.rest()
		r.clock.Advance(time.Second)
	}
	r.rest()
}

// crash ends a process in the middle of a request whose answer is on its way.
func (r *rig) crash(t *testing.T, id string, p process) {
	t.Helper()
	hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	c := p.ask(id, tokenward.TokenRequest{})
	r.rest()
	r.want("requests on the wire", hold.Held(), 1)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var cut *tokenward.CloseError
	if err := p.Close(now); !errors.As(err, &cut) {
		t.Fatalf("Close = %v, want a CloseError", err)
	}
	if _, err := c.wait(); err == nil {
		t.Fatal("the caller of a process that has ended got a token")
	}
	hold.Release()
	r.rest()
	r.want("intents left", len(r.staleIntents()), 0) // its lease lives on for a while
}

// staleIntents returns the intents in the store whose lease has lapsed.
func (r *rig) staleIntents() []store.StaleIntent {
	r.t.Helper()
	all, err := r.memory.StaleIntents(context.Background(), 100, store.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// While the store is down sessions in memory are served, up to a limit; readiness says so, and
// no refresh token is spent.
func TestProcesses_outage(t *testing.T) {
	processes(t, 2, withoutFeed, func(t *testing.T, r *rig, id string, p []process) {
		one := p[0]
		r.client = one.Client
		r.token(id, tokenward.TokenRequest{})
		r.rest()
		one.store.Down()
		for range 9 {
			r.clock.Advance(30 * time.Second)
			r.rest()
			r.token(id, tokenward.TokenRequest{})
			if u, err := one.GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
				t.Fatalf("GetUser = %v, %v", u, err)
			}
		}
		if one.Stats().Stale == 0 {
			t.Error("answers from memory were not counted")
		}
		r.wantCode("a refresh", r.tokenErr(id, tokenward.TokenRequest{Audience: audience(1)}), session.CodeStoreError)
		if err := one.Ready(context.Background()); err == nil {
			t.Error("Ready = nil while the store is down")
		}
		r.want("requests", r.tenant.Refreshes(), 1)
		r.clock.Advance(time.Minute)
		r.wantCode("after the outage limit", r.tokenErr(id, tokenward.TokenRequest{}), session.CodeStoreError)
		one.store.Heal()
		r.clock.Advance(2 * time.Second)
		r.rest()
		r.token(id, tokenward.TokenRequest{})
		r.want("requests", r.tenant.Refreshes(), 1)
	}, withTenant(idptest.WithTokenLife(time.Hour)))
}

// A load that is under way when the session is signed out elsewhere does not bring it back.
func TestProcesses_loadIsVoidedByANotice(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		late := storetest.NewFaulty(r.memory)
		c := r.newClient(tokenward.WithStateStore(late))
		r.rest()
		gate := late.HoldAfter(storetest.OpLoad)
		got := make(chan error, 1)
		var user tokenward.User
		go func() {
			var err error
			user, err = c.GetUser(context.Background(), tokenward.SessionID(id))
			got <- err
		}()
		r.rest()
		if _, err := p[0].Logout(context.Background(), tokenward.LogoutRequest{}, tokenward.SessionID(id)); err != nil {
			t.Fatal(err)
		}
		r.rest()
		gate.Release()
		if err := <-got; err != nil || user != nil {
			t.Errorf("GetUser = %v, %v, want nobody", user, err)
		}
	})
}

// A session that was signed in anew elsewhere, under the id that the host gave it, is seen.
func TestProcesses_loginElsewhere(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.client = p[1].Client
		r.tenant.SetUser("somebody-else", nil)
		r.loginAs(tokenward.SessionID(id), idptest.Claims{"sub": "somebody-else"})
		r.rest()
		u, err := p[0].GetUser(context.Background(), tokenward.SessionID(id))
		if err != nil || u.Sub() != "somebody-else" {
			t.Errorf("GetUser in the other process = %v, %v, want the new user", u, err)
		}
	})
}

// A process that still waits for a connection's token when the session's ceiling comes hears
// of a login elsewhere all the same.
func TestProcesses_loginElsewhereAfterTheCeiling(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		hold := r.tenant.Hold(idptest.ConnectionExchange, idptest.AfterGrant)
		r.client = p[0].Client
		flying := r.exchange(context.Background(), id, "google-oauth2")
		r.rest()
		r.want("requests on the wire", hold.Held(), 1)
		r.clock.Advance(5 * time.Second)
		r.rest()
		r.wantGone(id)
		r.client = p[1].Client
		r.loginAs(tokenward.SessionID(id), idptest.Claims{"sub": "somebody-else", "session_expiry": idptest.Absent})
		r.rest()
		hold.Release()
		_, err := flying.wait()
		r.rest()
		r.wantConnectionCode("the caller who waited", err, session.CodeMissingRefreshToken)
		u, err := p[0].GetUser(context.Background(), tokenward.SessionID(id))
		if err != nil || u.Sub() != "somebody-else" {
			t.Errorf("GetUser in the other process = %v, %v, want the new user", u, err)
		}
	}, withTenant(idptest.WithUser(idptest.Subject, until(idptest.TokenLife+session.CeilingLeeway+5*time.Second))))
}
