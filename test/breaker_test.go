package test_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// wantOpen fails unless err says that the provider was not asked, of which no one need sign in again.
func (r *rig) wantOpen(what string, err error, until time.Time) {
	r.t.Helper()
	var open *tokenward.BreakerOpenError
	if !errors.As(err, &open) || tokenward.LoginRequired(err) || open.Issuer != r.tenant.Issuer() || !open.Until.Equal(until) {
		r.t.Errorf("%s: %v, want that the provider is asked again at %v", what, err, until)
	}
}

// A provider that does not work gets one request in ten seconds from all sessions. Cached tokens are served, and the first
// success ends it.
func TestBreaker_leavesTheProviderAlone(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 3})))
	ids := []string{r.login(), r.login(), r.login(), r.login()}
	r.clock.Advance(idptest.TokenLife - time.Minute)
	r.token(ids[3], tokenward.TokenRequest{Audience: audience(1)})
	r.clock.Advance(time.Minute)
	r.tenant.Reset()
	down := idptest.Respond(503, "text/html", "down for maintenance")
	r.tenant.Script(idptest.Refresh, down, down, down, down)
	for _, id := range ids[:3] {
		if err := r.tokenErr(id, tokenward.TokenRequest{}); tokenward.CodeOf(err) != "refresh_token_error" {
			t.Errorf("while it opens: %v", err)
		}
	}
	until := r.clock.Now().Add(10 * time.Second)
	r.wantOpen("a refresh", r.tokenErr(ids[0], tokenward.TokenRequest{}), until)
	err := r.connectionErr(ids[1], tokenward.ConnectionRequest{Connection: google})
	if r.wantOpen("a connection", err, until); tokenward.CodeOf(err) != "retrieval_error" {
		t.Errorf("a connection: code %v, want retrieval_error", tokenward.CodeOf(err))
	}
	r.token(ids[3], tokenward.TokenRequest{Audience: audience(1)}) // from the cache
	r.want("requests", r.tenant.Refreshes(), 3)
	if s := r.client.Stats(); s.BreakersOpen != 1 || s.Refused != 2 {
		t.Errorf("BreakersOpen = %d, Refused = %d, want 1 and 2", s.BreakersOpen, s.Refused)
	}

	r.clock.Advance(10 * time.Second)
	if err := r.tokenErr(ids[0], tokenward.TokenRequest{}); tokenward.CodeOf(err) != "refresh_token_error" {
		t.Errorf("the probe: %v", err)
	}
	r.wantOpen("after the probe", r.tokenErr(ids[1], tokenward.TokenRequest{}), until.Add(10*time.Second))
	r.want("requests", r.tenant.Refreshes(), 4)

	r.clock.Advance(10 * time.Second)
	for _, id := range ids {
		r.token(id, tokenward.TokenRequest{})
	}
	if s := r.client.Stats(); s.BreakersOpen != 0 {
		t.Errorf("BreakersOpen = %d, want none", s.BreakersOpen)
	}
}

// Of a thousand sessions that ask once the provider may be asked again, one does; the others are refused at once.
func TestBreaker_oneProbe(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		ids := make([]string, 1000)
		for i := range ids {
			ids[i] = r.login()
		}
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(500))
		if err := r.tokenErr(ids[0], tokenward.TokenRequest{}); err == nil {
			t.Error("a refresh at a provider that is down succeeds")
		}
		r.clock.Advance(10 * time.Second)
		hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
		refused := 0
		var probe *caller
		var all []*caller
		for _, id := range ids {
			all = append(all, r.ask(t.Context(), id, tokenward.TokenRequest{}))
		}
		r.rest()
		for _, c := range all {
			if c.answered() {
				refused++
				r.wantOpen("beside the probe", c.err, r.clock.Now())
			} else {
				probe = c
			}
		}
		r.want("requests at the provider", hold.Held(), 1)
		r.want("callers refused", refused, len(ids)-1)
		hold.Release()
		if _, err := probe.wait(); err != nil {
			t.Errorf("the probe: %v", err)
		}
		for _, id := range ids {
			r.token(id, tokenward.TokenRequest{})
		}
		r.want("refreshes", r.tenant.Refreshes(), 1+len(ids))
	}, withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 1})))
}

// A refusal is an answer: it opens no breaker.
func TestBreaker_refusalsAreAnswers(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 1})))
	ids := []string{r.login(), r.login(), r.login()}
	r.expire()
	r.tenant.Script(idptest.Refresh, idptest.Respond(403, "application/json", `{"error":"invalid_grant"}`),
		idptest.Respond(400, "application/json", `{"error":"invalid_target"}`))
	for _, id := range ids[:2] {
		if err := r.tokenErr(id, tokenward.TokenRequest{}); err == nil {
			t.Error("a refused refresh succeeds")
		}
	}
	r.token(ids[2], tokenward.TokenRequest{})
}

func TestBreaker_configuration(t *testing.T) {
	for _, p := range []tokenward.BreakerPolicy{{Failures: -1}, {Probe: -1}, {Probe: 11 * time.Second}} {
		_, err := tokenward.New(newRig(t).cfg, tokenward.WithBreaker(p))
		var config *tokenward.ConfigurationError
		if !errors.As(err, &config) {
			t.Errorf("%+v: %v, want a ConfigurationError", p, err)
		}
	}
}

// What no caller asks for keeps to the breaker too: a request that a crash cut off is not recovered, and a refresh token not
// revoked, while it is open.
func TestBreaker_recoveryAndRevocation(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		cut, id := r.login(), r.login()
		r.expire()
		r.pass(30) // the hour may have overtaken a look for cut-off requests, which counts as an outage
		r.crash(t, cut, r.another())
		r.tenant.Reset()
		r.tenant.Script(idptest.Refresh, idptest.Status(503))
		if err := r.tokenErr(id, tokenward.TokenRequest{}); err == nil {
			t.Error("a refresh at a provider that is down succeeds")
		}
		r.pass(9)
		if err := <-r.logout(id); err != nil {
			t.Error(err)
		}
		r.rest()
		r.want("refreshes while it is open", r.tenant.Refreshes(), 1)
		r.want("revocations while it is open", r.tenant.Requests(idptest.Revocation), 0)
		if n := r.client.Stats().Refused; n < 2 {
			t.Errorf("Refused = %d, want the recovery and the revocation", n)
		}
		r.pass(15)
		r.want("refreshes once it may be asked", r.tenant.Refreshes(), 2)
		r.want("open breakers", int(r.client.Stats().BreakersOpen), 0)
	}, withTenant(idptest.WithOverlap(time.Minute)), withClient(tokenward.WithRevocation(), tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 1})),
		func(rc *rigConfig) { rc.memory = []store.MemoryOption{store.Shared()} })
}

// Whatever the provider answers to strangers, be it 429 or 503, slows down no refresh and opens no breaker.
func TestStrangers_moveNoPace(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 1})))
	var ids []string
	for range 30 {
		ids = append(ids, r.login())
	}
	r.expire()
	for i := range 40 {
		r.tenant.Script(idptest.CodeExchange, throttled([]int{429, 503}[i%2], "5"))
		if err := <-r.makeUp(); err == nil {
			t.Error("a made-up code is accepted")
		}
	}
	for _, id := range ids {
		r.token(id, tokenward.TokenRequest{}) // at once: the clock stands
	}
	if s := r.client.Stats(); s.Paced != 0 || s.BreakersOpen != 0 {
		t.Errorf("Paced = %d, BreakersOpen = %d, want none", s.Paced, s.BreakersOpen)
	}
}
