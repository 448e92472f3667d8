package test_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
)

// throttled is an answer that asks to wait.
func throttled(status int, after string) idptest.Fault {
	return idptest.Respond(status, "application/json", `{"error":"too_many_requests"}`).With("Retry-After", after)
}

// wantThrottled fails unless err is the provider's refusal, and says how long to wait.
func (r *rig) wantThrottled(what string, err error, after time.Duration) {
	r.t.Helper()
	var api *tokenward.APIError
	if !errors.As(err, &api) || api.RetryAfter != after || tokenward.LoginRequired(err) {
		r.t.Errorf("%s: %v, want a refusal with %v to wait", what, err, after)
	}
}

// Calls into a 429 or 503 with Retry-After are one request, over all audiences and connections
// of the session, until its time has come. Other sessions go on, and tokens in the cache are
// served.
func TestRetryAfter_holdsTheSessionUp(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  func(now time.Time) string
		wait   time.Duration // by the error
		until  time.Duration
	}{
		"429":         {429, func(time.Time) string { return "7" }, 7 * time.Second, 7 * time.Second},
		"503":         {503, func(time.Time) string { return "7" }, 7 * time.Second, 7 * time.Second},
		"a date":      {429, func(now time.Time) string { return now.Add(7 * time.Second).UTC().Format(http.TimeFormat) }, 7 * time.Second, 7 * time.Second},
		"for an hour": {429, func(time.Time) string { return "3600" }, time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(_ *testing.T, r *rig) {
				id, other := r.login(), r.login()
				r.token(id, tokenward.TokenRequest{Audience: audience(7)})
				r.clock.Advance(idptest.TokenLife - 2*time.Minute)
				r.token(id, tokenward.TokenRequest{Audience: audience(8)})
				r.clock.Advance(2 * time.Minute)
				r.tenant.Reset()
				r.tenant.Script(idptest.Refresh, throttled(c.status, c.after(r.clock.Now())))

				callers := r.askAll(1, id, tokenward.TokenRequest{})
				for i := range 19 {
					callers = append(callers, r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(i % 5)}))
				}
				for _, caller := range callers {
					_, err := caller.wait()
					r.wantThrottled("a caller", err, c.wait)
				}
				r.wantThrottled("a connection", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), c.wait)
				r.want("requests", r.tenant.Refreshes()+r.tenant.Requests(idptest.ConnectionExchange), 1)
				r.token(id, tokenward.TokenRequest{Audience: audience(8)}) // from the cache
				r.want("requests", r.tenant.Refreshes(), 1)
				r.token(other, tokenward.TokenRequest{})

				r.clock.Advance(c.until - time.Millisecond)
				r.wantThrottled("just before", r.tokenErr(id, tokenward.TokenRequest{}), c.wait)
				r.clock.Advance(time.Millisecond)
				r.token(id, tokenward.TokenRequest{})
				r.want("requests", r.tenant.Refreshes(), 3)
			})
		})
	}
}

// A refused exchange holds refreshes up as well.
func TestRetryAfter_ofAnExchange(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.expire()
	r.tenant.Script(idptest.ConnectionExchange, throttled(429, "7"))
	r.wantThrottled("the exchange", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), 7*time.Second)
	r.wantThrottled("a refresh", r.tokenErr(id, tokenward.TokenRequest{}), 7*time.Second)
	r.want("requests", r.tenant.Refreshes(), 0)
}

// Without the header, or with one that says no time, nothing is held up.
func TestRetryAfter_thatSaysNoTime(t *testing.T) {
	for _, fault := range []idptest.Fault{idptest.Status(429), idptest.Status(503), throttled(429, "soon"), throttled(429, "-1"), throttled(429, "0"), throttled(500, "7")} {
		r := newRig(t)
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, fault.Times(3))
		for range 3 {
			r.wantCode("a caller", r.tokenErr(id, tokenward.TokenRequest{}), session.CodeRefreshTokenError)
		}
		r.want("requests", r.tenant.Refreshes(), 3)
		r.token(id, tokenward.TokenRequest{})
	}
}

// A login ends what the session before was held up by.
func TestRetryAfter_endsWithALogin(t *testing.T) {
	r := newRig(t)
	o := tokenward.SessionID("an id of the host's")
	id := r.loginAs(o)
	r.expire()
	r.tenant.Script(idptest.Refresh, throttled(429, "60"))
	r.wantThrottled("a caller", r.tokenErr(id, tokenward.TokenRequest{}), time.Minute)
	r.loginAs(o)
	r.token(id, tokenward.TokenRequest{Audience: audience(1)})
}

// A session that is held up stays in memory: what it would forget is sent again.
func TestRetryAfter_outlivesASessionsRest(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{PassivateAfter: 10 * time.Second})))
	id := r.login()
	r.expire()
	r.tenant.Script(idptest.Refresh, throttled(429, "60"))
	r.wantThrottled("a caller", r.tokenErr(id, tokenward.TokenRequest{}), time.Minute)
	for range 5 {
		r.clock.Advance(11 * time.Second)
		r.settle()
	}
	r.wantThrottled("a caller", r.tokenErr(id, tokenward.TokenRequest{}), time.Minute)
	r.want("requests", r.tenant.Refreshes(), 1)
	r.clock.Advance(5 * time.Second)
	r.token(id, tokenward.TokenRequest{})
	for range 3 {
		r.clock.Advance(11 * time.Second)
		r.settle()
	}
	r.wantResident(0)
}
