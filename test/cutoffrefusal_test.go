package test_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store/storetest"
)

// refusedRefreshes are the ways in which a provider answers a recovery, and what they say about the
// refresh token.
var refusedRefreshes = []struct {
	name          string
	fault         idptest.Fault
	settled, dead bool
	hold          int // seconds that the answer asks to wait
}{
	{"invalid_grant", idptest.OAuthError("invalid_grant", ""), true, true, 0},
	{"invalid_grant at 500", idptest.Respond(500, "application/json", `{"error":"invalid_grant"}`), true, true, 0},
	{"Dex", idptest.Respond(400, "application/json", `{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}`), true, true, 0},
	{"Slack", idptest.Respond(200, "application/json", `{"ok":false,"error":"invalid_refresh_token"}`), true, true, 0},
	{"Yahoo", idptest.Respond(400, "application/json", `{"error":"INVALID_REFRESH_TOKEN"}`), true, true, 0},
	{"text", idptest.Respond(400, "text/plain", "bad token"), true, false, 0},
	{"invalid_scope", idptest.Respond(400, "application/json", `{"error":"invalid_scope"}`), true, false, 0},
	{"another parameter", idptest.Respond(400, "application/json", `{"error":"invalid_request","error_description":"The client_id is missing."}`), true, false, 0},
	{"consent", idptest.Respond(403, "application/json", `{"error":"consent_required"}`), true, false, 0},
	{"invalid_client", idptest.Respond(401, "application/json", `{"error":"invalid_client"}`), false, false, 0},
	{"unauthorized_client", idptest.Respond(400, "application/json", `{"error":"unauthorized_client"}`), false, false, 0},
	{"429", idptest.Status(429), false, false, 0},
	{"429 with Retry-After", idptest.Status(429).With("Retry-After", "30"), false, false, 30},
	{"503", idptest.Status(503), false, false, 0},
	{"408", idptest.Status(408), false, false, 0},
	{"text at 200", idptest.Respond(200, "text/plain", "busy"), false, false, 0},
	{"no answer", idptest.ResetConn(), false, false, 0},
}

// A refresh that a crash cut off is presented again until the provider has said something about
// its token: once where that is settled, at most 8 times in an hour where it is not. Processes
// that start and end in between change nothing.
func TestCutOff_isPresentedAgainUntilSettled(t *testing.T) {
	for _, c := range refusedRefreshes {
		t.Run(c.name, func(t *testing.T) {
			processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
				r.crash(t, id, p[0])
				r.tenant.Reset()
				r.tenant.Script(idptest.Refresh, c.fault.Always())
				presented := r.presentations(2*time.Hour, func() {
					_ = p[1].Close(context.Background())
					p[1] = r.another()
				})
				if c.settled {
					r.want("presentations", len(presented), 1)
				} else {
					wantBackoff(t, presented, c.hold)
				}
				r.want("intents left", len(r.staleIntents()), map[bool]int{true: 0, false: 1}[c.settled])
				if kept := r.refreshToken(id) != ""; kept == c.dead {
					t.Errorf("refresh token kept: %v, dead: %v", kept, c.dead)
				}
				if u, err := p[1].GetUser(context.Background(), tokenward.SessionID(id)); u == nil || err != nil {
					t.Errorf("GetUser = %v, %v, want the user", u, err)
				}
			})
		})
	}
}

// Several processes find a request that was cut off at the same moment: one presents its token.
func TestCutOff_isPresentedByOneProcess(t *testing.T) {
	processes(t, 4, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.crash(t, id, p[0])
		r.tenant.Reset()
		r.tenant.Script(idptest.Refresh, idptest.Status(503).Always())
		wantBackoff(t, r.presentations(time.Hour, func() {}), 0)
	})
}

// A caller's own request is sent whatever the back-off says, and does not begin it anew.
func TestCutOff_callersDoNotWaitForIt(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		r.crash(t, id, p[0])
		r.tenant.Reset()
		r.tenant.Script(idptest.Refresh, idptest.Status(503).Always())
		asked := 0
		presented := r.presentations(time.Hour, func() {
			before := r.tenant.Refreshes()
			_, err := p[1].GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(id))
			r.wantCode("a caller", err, session.CodeRefreshTokenError)
			asked += r.tenant.Refreshes() - before
		})
		r.want("requests of callers", asked, 6)
		if n := len(presented); n > 8+asked {
			t.Errorf("requests = %d, want at most 8 and %d of callers", n, asked)
		}
		r.tenant.Heal()
		r.tenant.Set(idptest.WithOverlap(24 * time.Hour))
		r.client = p[1].Client
		r.token(id, tokenward.TokenRequest{})
		r.rest()
		r.want("intents left", len(r.staleIntents()), 0)
	})
}

// A store that one process has to itself outlives it, and so do count and next time.
func TestCutOff_backoffOutlivesTheOnlyProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.close()
		s := newDurable(r.clock)
		start := func() process {
			f := storetest.NewFaulty(s)
			return process{r.newClientToCut(tokenward.WithStateStore(f), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never})), f}
		}
		p := start()
		r.client = p.Client
		id := r.login()
		r.clock.Advance(idptest.TokenLife)
		r.rest()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		c := p.ask(id, tokenward.TokenRequest{})
		r.rest()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(now)
		_, _ = c.wait()
		hold.Release()
		r.rest()
		r.tenant.Reset()
		r.tenant.Script(idptest.Refresh, idptest.Status(503).Always())
		p = start()
		wantBackoff(t, r.presentations(time.Hour, func() {
			_ = p.Close(context.Background())
			p = start()
		}), 0)
		_ = p.Close(context.Background())
	})
}

// another starts one more process on the rig's store.
func (r *rig) another() process {
	f := storetest.NewFaulty(r.memory)
	c := r.newClientToCut(tokenward.WithStateStore(f), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithProvider(tokenward.ProviderConfig{EndSession: tokenward.Never}))
	r.t.Cleanup(func() { _ = c.Close(context.Background()) })
	return process{c, f}
}

// presentations lets d pass, and has something done every ten minutes. It returns in which
// second each refresh came since the tenant was reset.
func (r *rig) presentations(d time.Duration, everyTenMinutes func()) (at []int) {
	r.rest()
	seen := r.tenant.Refreshes()
	at = slices.Repeat([]int{0}, seen)
	for second := range int(d / time.Second) {
		r.clock.Advance(time.Second)
		if second%600 == 599 {
			everyTenMinutes()
		}
		r.rest()
		for ; seen < r.tenant.Refreshes(); seen++ {
			at = append(at, second+1)
		}
	}
	return at
}

// wantBackoff fails unless the gaps double from 5 s on, but for hold seconds at least, and no
// hour has more than eight.
func wantBackoff(t *testing.T, at []int, hold int) {
	t.Helper()
	if len(at) < 8 {
		t.Fatalf("presented at %v, want at least 8 times", at)
	}
	for i := range 7 {
		if gap, want := at[i+1]-at[i], max(5<<i, hold); gap < want || gap > want+10 {
			t.Errorf("presented at %v: %d s after the one before, want %d", at, gap, want)
		}
	}
	for i, from := range at {
		if n := len(at[i:]) - len(slices.DeleteFunc(slices.Clone(at[i:]), func(s int) bool { return s < from+3600 })); n > 8 {
			t.Errorf("presented %d times within an hour: %v", n, at)
		}
	}
}
