package test_test

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// retrying is a client that sends again what failed, at providers that accept a rotated refresh token once more for overlap.
func retrying(p tokenward.RetryPolicy, overlap time.Duration) rigOption {
	return func(rc *rigConfig) {
		rc.tenant = append(rc.tenant, idptest.WithOverlap(overlap))
		rc.client = append(rc.client, tokenward.WithRetry(p))
		if overlap > 0 {
			rc.client = append(rc.client, withProvider(tokenward.ProviderConfig{RotationOverlap: overlap}))
		}
	}
}

// Callers of a request that is asked to wait, and those who join, wait for one more request; other queries wait behind it.
func TestRetry_callersWaitForOneAnswer(t *testing.T) {
	for _, status := range []int{429, 503} {
		inBubble(t, func(t *testing.T, r *rig) {
			id := r.login()
			r.expire()
			r.tenant.Script(idptest.Refresh, throttled(status, "7"))
			callers := r.askAll(10, id, tokenward.TokenRequest{})
			r.rest()
			callers = append(callers, r.askAll(10, id, tokenward.TokenRequest{})...)
			other := r.ask(context.Background(), id, tokenward.TokenRequest{Audience: audience(1)})
			r.rest()
			r.clock.Advance(7*time.Second - 1)
			r.rest()
			r.want("requests before the provider's time", r.tenant.Refreshes(), 1)
			r.clock.Advance(201 * time.Millisecond)
			for i, c := range callers {
				if _, err := c.wait(); err != nil {
					t.Fatalf("caller %d: %v", i, err)
				}
			}
			if _, err := other.wait(); err != nil {
				t.Errorf("the other query: %v", err)
			}
			r.want("requests", r.tenant.Refreshes(), 3)
			r.want("retries", int(r.client.Stats().Retries), 1)
		}, retrying(tokenward.RetryPolicy{}, 0))
	}
}

// What the provider may have acted on is sent again only within the overlap that the host has stated.
func TestRetry_withinTheOverlap(t *testing.T) {
	for name, tt := range map[string]struct {
		fault   idptest.Fault
		overlap time.Duration
		again   bool
	}{
		"500":                               {idptest.Status(500), time.Minute, true},
		"500, and no overlap stated":        {idptest.Status(500), 0, false},
		"502, and a short overlap":          {idptest.Status(502), time.Nanosecond, false},
		"503, and no overlap stated":        {idptest.Status(503), 0, true},
		"an answer that is lost":            {idptest.ResetConn().AfterGrant(), time.Minute, true},
		"one lost, and no overlap stated":   {idptest.ResetConn(), 0, false},
		"invalid_grant":                     {idptest.OAuthError("invalid_grant", ""), time.Minute, false},
		"invalid_scope":                     {idptest.OAuthError("invalid_scope", ""), time.Minute, false},
		"408":                               {idptest.Status(408), time.Minute, false},
		"a second factor":                   {idptest.MFARequired("mfa", nil), time.Minute, false},
		"429 that asks for too long a wait": {throttled(429, "31"), time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login()
				r.expire()
				r.tenant.Script(idptest.Refresh, tt.fault)
				c := r.ask(context.Background(), id, tokenward.TokenRequest{})
				r.rest()
				if c.answered() == tt.again && tt.overlap != time.Nanosecond { // whose end is noticed after the wait
					t.Fatalf("after the failure: answered %v, %v", c.answered(), c.err)
				}
				r.clock.Advance(200 * time.Millisecond)
				if _, err := c.wait(); (err == nil) != tt.again {
					t.Errorf("the caller gets %v", err)
				}
				want := 1
				if tt.again {
					want = 2
				}
				r.want("requests", r.tenant.Refreshes(), want)
			}, retrying(tokenward.RetryPolicy{}, tt.overlap))
		})
	}
}

// A request that the provider may have acted on is not sent again once the overlap is over, however it comes to be late.
func TestRetry_overlapIsOver(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(500), idptest.Status(503).With("Retry-After", "3"))
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		r.clock.Advance(200 * time.Millisecond)
		r.rest()
		r.clock.Advance(10 * time.Second)
		if _, err := c.wait(); tokenward.CodeOf(err) != "refresh_token_error" {
			t.Errorf("the caller gets %v, want the failure", err)
		}
		r.want("requests", r.tenant.Refreshes(), 2)
	}, retrying(tokenward.RetryPolicy{}, 2*time.Second))
}

// Times without end, as a host gives them whose refresh tokens do not rotate, are not over at once.
func TestRetry_timesWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(500), idptest.ResetConn(), throttled(429, "3600"))
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.pass(4000)
		if _, err := c.wait(); err != nil {
			t.Errorf("the caller gets %v", err)
		}
		r.want("requests", r.tenant.Refreshes(), 4)
	}, retrying(tokenward.RetryPolicy{Within: math.MaxInt64, First: math.MaxInt64, Most: time.Minute}, math.MaxInt64))
}

// After the last attempt its error is the answer, and a Retry-After in it holds the session up as it does without retries.
func TestRetry_attempts(t *testing.T) {
	inBubble(t, func(_ *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, throttled(429, "1").Always())
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		for range 20 {
			r.rest()
			r.clock.Advance(time.Second)
		}
		_, err := c.wait()
		r.wantThrottled("the caller", err, time.Second)
		r.want("requests", r.tenant.Refreshes(), 4)
		r.want("retries", int(r.client.Stats().Retries), 3)
		r.tenant.Heal()
		r.token(id, tokenward.TokenRequest{})
	}, retrying(tokenward.RetryPolicy{}, 0))
}

// A caller who gives up is answered at once, and the others get their token.
func TestRetry_callerGivesUp(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, throttled(429, "7"))
		ctx, cancel := context.WithCancel(context.Background())
		first, second := r.ask(ctx, id, tokenward.TokenRequest{}), r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		cancel()
		if _, err := first.wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who gave up: %v", err)
		}
		r.clock.Advance(8 * time.Second)
		if _, err := second.wait(); err != nil {
			t.Errorf("the other: %v", err)
		}
	}, retrying(tokenward.RetryPolicy{}, 0))
}

// A logout, the ceiling, and the close end the wait at once, and nothing is sent.
func TestRetry_endsOfTheWait(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(r *rig, id string)
		code tokenward.Code
	}{
		"a logout":    {func(r *rig, id string) { r.logout(id); r.rest() }, "missing_session"},
		"the ceiling": {func(r *rig, _ string) { r.clock.Advance(5 * time.Second) }, "session_expired"},
		"the close":   {func(r *rig, _ string) { r.closeIn(context.Background()) }, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				id := r.login(until(idptest.TokenLife + 35*time.Second))
				r.expire()
				r.tenant.Script(idptest.Refresh, throttled(429, "7"))
				c := r.ask(context.Background(), id, tokenward.TokenRequest{})
				r.rest()
				tt.end(r, id)
				if _, err := c.wait(); tokenward.CodeOf(err) != tt.code {
					t.Errorf("the caller gets %v, want %s", err, tt.code)
				}
				r.clock.Advance(10 * time.Second)
				r.rest()
				r.want("requests", r.tenant.Refreshes(), 1)
			}, retrying(tokenward.RetryPolicy{}, 0))
		})
	}
}

// A connection exchange is sent again like a refresh.
func TestRetry_exchange(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.tenant.Script(idptest.ConnectionExchange, idptest.Status(503))
		c := r.exchange(context.Background(), id, google)
		r.rest()
		r.clock.Advance(200 * time.Millisecond)
		if _, err := c.wait(); err != nil {
			t.Errorf("the caller gets %v", err)
		}
	}, retrying(tokenward.RetryPolicy{}, 0))
}

// Where nothing of a request could be sent it is sent again, without an overlap, over a real network too.
func TestRetry_nothingWasSent(t *testing.T) {
	var refused atomic.Int64
	r := newRig(t, func(rc *rigConfig) {
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
		t.Cleanup(transport.CloseIdleConnections)
		transport.DisableKeepAlives = true
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if refused.Add(-1) >= 0 {
				return nil, errors.New("connection refused")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		rc.client = append(rc.client, tokenward.WithRetry(tokenward.RetryPolicy{First: 1}), tokenward.WithHTTPClient(&http.Client{Transport: transport}))
	})
	id := r.login()
	r.expire()
	refused.Store(1)
	c := r.ask(context.Background(), id, tokenward.TokenRequest{})
	for !c.answered() {
		r.clock.Advance(time.Nanosecond)
	}
	if _, err := c.wait(); err != nil {
		t.Errorf("the caller gets %v", err)
	}
	r.want("requests", r.tenant.Refreshes(), 1)
}

// A flight that waits holds no lease: another process refreshes the session, and that answers the callers here.
func TestRetry_holdsNoLease(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		other := r.newClient()
		r.expire()
		r.tenant.Script(idptest.Refresh, throttled(429, "7"))
		here := r.ask(context.Background(), id, tokenward.TokenRequest{})
		r.rest()
		there := askOf(context.Background(), other, id, tokenward.TokenRequest{})
		if _, err := there.wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
		r.rest()
		r.clock.Advance(8 * time.Second)
		if token, err := here.wait(); err != nil || token.AccessToken != there.token.AccessToken {
			t.Errorf("the caller here gets another token, or %v", err)
		}
		r.want("requests", r.tenant.Refreshes(), 2)
	}, retrying(tokenward.RetryPolicy{}, 0), func(rc *rigConfig) { rc.memory = []store.MemoryOption{store.Shared()} })
}

// Where the breaker opens during the wait, that is the answer.
func TestRetry_breakerOpens(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		r.expire()
		r.tenant.Script(idptest.Refresh, idptest.Status(503).Always())
		c := r.ask(context.Background(), id, tokenward.TokenRequest{})
		for range 3 {
			r.rest()
			r.clock.Advance(time.Second)
		}
		_, err := c.wait()
		var open *tokenward.BreakerOpenError
		if !errors.As(err, &open) {
			t.Errorf("the caller gets %v, want that the breaker is open", err)
		}
		r.want("requests", r.tenant.Refreshes(), 2)
	}, retrying(tokenward.RetryPolicy{}, 0), withClient(tokenward.WithBreaker(tokenward.BreakerPolicy{Failures: 2})))
}

func TestRetry_configuration(t *testing.T) {
	for _, p := range []tokenward.RetryPolicy{{Attempts: -1}, {First: -1}, {Most: -1}, {Within: -1}} {
		_, err := tokenward.New(newRig(t).cfg, tokenward.WithRetry(p))
		var config *tokenward.ConfigurationError
		if !errors.As(err, &config) {
			t.Errorf("%+v: %v, want a ConfigurationError", p, err)
		}
	}
}
