package test_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func (r *rig) wantResident(n int) {
	r.t.Helper()
	r.settle()
	r.want("resident sessions", int(r.client.Stats().Resident), n)
}

// replaceClient closes the client and makes another one.
func (r *rig) replaceClient(opts ...tokenward.Option) {
	r.t.Helper()
	if err := r.client.Close(context.Background()); err != nil {
		r.t.Fatalf("Close: %v", err)
	}
	r.client = r.newClient(opts...)
}

// An unused session leaves memory, and comes back when it is asked for.
func TestResidency_idleSessionsLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		want := r.token(id, tokenward.TokenRequest{})
		r.wantResident(1)
		r.clock.Advance(10 * time.Minute)
		r.token(id, tokenward.TokenRequest{}) // a hit counts as use
		r.clock.Advance(15*time.Minute - 1)
		r.wantResident(1)
		r.clock.Advance(time.Second)
		r.wantResident(0)
		loads := r.store.Loads()
		if got := r.token(id, tokenward.TokenRequest{}); got != want {
			t.Error("after it was loaded again the session has another token")
		}
		r.want("loads", r.store.Loads()-loads, 1)
		r.wantResident(1)
		r.want("requests", r.tenant.Refreshes(), 0)
	})
}

// A session is asked to give its actor back two seconds after it got one. A login may still be being written then: it is
// asked again afterwards.
func TestResidency_aSlowLoginGivesItsActorBack(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.SessionID("slow"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		gate := r.store.Hold(storetest.OpReplace)
		done := make(chan error, 1)
		go func() {
			_, err := r.client.CompleteInteractiveLogin(t.Context(), back, tokenward.SessionID("slow"))
			done <- err
		}()
		r.rest()
		r.clock.Advance(2 * time.Second)
		r.rest()
		gate.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		r.want("sessions with an actor just after the login", int(r.client.Stats().Active), 1)
		r.clock.Advance(2 * time.Second)
		r.settle()
		r.want("sessions with an actor two seconds later", int(r.client.Stats().Active), 0)
		r.wantResident(1)
	})
}

// Neither with a request on the wire nor with something unsaved does a session leave.
func TestResidency_busySessionsStay(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		flying, unsaved, idle := r.login(), r.login(), r.login()
		r.expire()
		r.inMemory(flying)
		r.inMemory(unsaved)
		r.inMemory(idle)
		r.store.Inject(storetest.Fault{Op: storetest.OpUpdate, Key: key(unsaved), Err: storetest.ErrFault})
		r.token(unsaved, tokenward.TokenRequest{})
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		c := r.ask(context.Background(), flying, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(time.Hour)
		r.rest()
		r.wantResident(2)
		hold.Release()
		if _, err := c.wait(); err != nil {
			t.Error(err)
		}
		r.store.Heal()
		r.pass(60)
		r.clock.Advance(time.Hour)
		r.rest()
		r.wantResident(0)
		r.want("refresh tokens reused", r.tenant.Reuses(), 0)
		r.wantLiving(unsaved)
	}, withLimits(tokenward.Limits{FlightTimeout: 10 * time.Hour}))
}

// When there is no room the least recently used go.
func TestResidency_theLeastRecentlyUsedMakesRoom(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		ids := make([]string, 10)
		for i := range ids {
			ids[i] = r.login()
			r.clock.Advance(time.Second)
			if i > 0 {
				r.token(ids[0], tokenward.TokenRequest{}) // stays in use
			}
			r.rest()
		}
		r.wantResident(4)
		loads := r.store.Loads()
		r.token(ids[0], tokenward.TokenRequest{})
		r.token(ids[9], tokenward.TokenRequest{})
		r.want("loads of those in use", r.store.Loads()-loads, 0)
		r.token(ids[1], tokenward.TokenRequest{})
		r.want("loads of one that has left", r.store.Loads()-loads, 1)
		r.want("requests", r.tenant.Refreshes(), 0)
	}, withLimits(tokenward.Limits{Resident: 4}))
}

// Sessions that cannot go may bring the number to twice the limit, then the client is
// overloaded; as soon as they can go there is room again.
func TestResidency_twiceTheLimitThenOverloaded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ids := make([]string, 6)
		for i := range ids {
			ids[i] = r.login()
			r.rest() // the one that makes room has gone
		}
		r.expire()
		r.wantResident(0)
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		callers := make([]*caller, 4)
		for i := range callers {
			callers[i] = r.ask(context.Background(), ids[i], tokenward.TokenRequest{})
			r.rest()
		}
		r.wantResident(4)
		r.wantCode("one more", r.tokenErr(ids[4], tokenward.TokenRequest{}), "overloaded")
		if _, err := r.client.GetUser(context.Background(), tokenward.SessionID(ids[4])); tokenward.CodeOf(err) != "overloaded" {
			t.Errorf("GetUser: err = %v, want overloaded", err)
		}
		if _, err := r.tryLogin(tokenward.SessionID("new")); tokenward.CodeOf(err) != "overloaded" {
			t.Errorf("login: err = %v, want overloaded", err)
		}
		hold.Release()
		for i, c := range callers {
			if _, err := c.wait(); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		}
		r.rest()
		// No session is busy any more: after one refusal at most there is room.
		_, _ = r.client.GetUser(context.Background(), tokenward.SessionID(ids[4]))
		r.rest()
		for _, id := range ids {
			r.token(id, tokenward.TokenRequest{})
			r.rest()
		}
		if n := r.client.Stats().Resident; n > 3 {
			t.Errorf("resident sessions = %d, want the limit of 2, and one on its way at most", n)
		}
	}, withLimits(tokenward.Limits{Resident: 2}))
}

// P7, without anyone asking: a session that is not resident ends at its ceiling, by
// the store's index or, where it has none, by a timer that stayed behind.
func TestResidency_ceilingsOfSessionsThatSleep(t *testing.T) {
	for name, pick := range map[string]func(*rig) store.StateStore{
		"with an index":    func(r *rig) store.StateStore { return r.store },
		"without an index": func(r *rig) store.StateStore { return storetest.Without[store.Index](r.store) },
		"a plain store": func(r *rig) store.StateStore {
			r.store = storetest.NewFaulty(store.NewSimple(&plain{}, r.clock, store.OwnedByThisProcess()))
			return r.store
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.replaceClient(tokenward.WithStateStore(pick(r)))
				id := r.login(idptest.Claims{"session_expiry": t0.Add(8 * time.Hour).Unix()})
				other := r.login()
				r.clock.Advance(time.Hour)
				r.rest()
				r.wantResident(0)
				r.clock.Set(t0.Add(8*time.Hour - session.CeilingLeeway - 11*time.Second))
				r.pass(10) // what the store was asked on the way may have been overtaken: it is asked again
				if _, err := r.stored(id); err != nil {
					t.Fatalf("a second before its ceiling: %v", err)
				}
				deletes := r.store.Ends()
				r.clock.Advance(time.Second)
				r.rest()
				r.wantGone(id)
				r.want("deletes", r.store.Ends()-deletes, 1)
				r.want("ceilings", int(r.client.Stats().Ceilings), 1)
				r.wantCode("afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "session_expired")
				r.token(other, tokenward.TokenRequest{})
				r.wantResident(1)
			})
		})
	}
}

// A sleeping session whose load fails keeps its ceiling.
func TestResidency_aFailedLoadForgetsNoCeiling(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		r.replaceClient(tokenward.WithStateStore(storetest.Without[store.Index](r.store)))
		id := r.login(idptest.Claims{"session_expiry": t0.Add(8 * time.Hour).Unix()})
		r.clock.Advance(time.Hour)
		r.rest()
		r.wantResident(0)
		r.store.Fail(storetest.OpLoad, 1)
		r.wantCode("the store is down", r.tokenErr(id, tokenward.TokenRequest{}), "store_error")
		r.clock.Set(t0.Add(8*time.Hour - session.CeilingLeeway)) // and no further: a deletion has a deadline
		r.rest()
		r.wantGone(id)
	})
}

// Ceilings that came while no process ran are enforced at start.
func TestResidency_ceilingsThatPassedBeforeTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login(idptest.Claims{"session_expiry": t0.Add(8 * time.Hour).Unix()})
		if err := r.client.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(8*time.Hour + 30*time.Minute)
		r.rest()
		if _, err := r.stored(id); err != nil {
			t.Fatalf("nobody ran: %v", err)
		}
		r.client = r.newClient()
		r.rest()
		r.wantGone(id)
		r.wantCode("afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "session_expired")
	})
}

// A session that is used again and again is the same one each time, wherever it was.
func TestResidency_comingAndGoing(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithOpaqueTokens()), withLimits(tokenward.Limits{Resident: 3}))
	ids := make([]string, 12)
	for i := range ids {
		ids[i] = r.login()
	}
	for range 5 {
		r.clock.Advance(idptest.TokenLife)
		together(len(ids)*4, func(i int) {
			for {
				_, err := r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(ids[i%len(ids)]))
				if tokenward.CodeOf(err) == "overloaded" {
					continue
				}
				if err != nil {
					t.Errorf("caller %d: %v", i, err)
				}
				return
			}
		})
	}
	r.want("requests", r.tenant.Refreshes(), 5*len(ids))
	r.want("refresh tokens reused", r.tenant.Reuses(), 0)
	r.want("updates", r.store.Updates(), 5*len(ids))
	if n := r.client.Stats().Resident; n > 6 {
		t.Errorf("resident sessions = %d, want 6 at most", n)
	}
}

// plain is a key-value store as a host may have it.
type plain struct {
	mu sync.Mutex
	kv map[string][]byte
}

func (p *plain) Get(_ context.Context, k string, _ store.Options) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kv[k], nil
}

func (p *plain) Set(_ context.Context, k string, v []byte, _ time.Duration, _ store.Options) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kv == nil {
		p.kv = make(map[string][]byte)
	}
	p.kv[k] = append([]byte(nil), v...)
	return nil
}

func (p *plain) Delete(_ context.Context, k string, _ store.Options) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.kv, k)
	return nil
}
