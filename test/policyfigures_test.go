package test_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// pacedProvider answers token requests by itself, and leaves everything else to the tenant. It counts by seconds of clock.
type pacedProvider struct {
	clock  *clock.Fake
	tenant http.RoundTripper
	answer func(second int64, nth int) (status int, after string) // of the nth request in that second

	all *bool // and metadata and everything else, while it is true

	mu     sync.Mutex
	counts map[int64]int   // requests of all kinds, by second since t0
	sent   []time.Duration // when they came, since t0
}

func (p *pacedProvider) RoundTrip(req *http.Request) (*http.Response, error) {
	since := p.clock.Now().Sub(t0)
	if !strings.HasSuffix(req.URL.Path, "/token") && (p.all == nil || !*p.all) {
		return p.tenant.RoundTrip(req)
	}
	p.mu.Lock()
	second := int64(since / time.Second)
	p.counts[second]++
	p.sent = append(p.sent, since)
	status, after := p.answer(second, p.counts[second])
	p.mu.Unlock()
	header := http.Header{"Content-Type": {"application/json"}}
	text := `{"error":"temporarily_unavailable"}`
	if after != "" {
		header.Set("Retry-After", after)
	}
	if status == http.StatusOK {
		text = fmt.Sprintf(`{"access_token":"at-%d","token_type":"Bearer","expires_in":86400}`, second)
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
	}, nil
}

// manySessions is a rig whose store has n sessions with an expired token, and whose token endpoint is p's.
func manySessions(t *testing.T, n int, p *pacedProvider, opts ...tokenward.Option) (r *rig, ids []string) {
	t.Helper()
	r = newRig(t, withTenant(idptest.InProcess(), idptest.WithOpaqueTokens()))
	first := r.login()
	state, err := r.stored(first)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(idptest.TokenLife)
	for i := range n {
		id := fmt.Sprintf("session-%d", i)
		own := *state
		rec, err := r.codec().Encode(key(id), &own, session.NewVersion(randomness{}), session.Incarnation{byte(i), byte(i >> 8), 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.memory.Replace(t.Context(), key(id), rec, store.Options{}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	p.clock, p.tenant, p.counts = r.clock, r.tenant.Transport(), make(map[int64]int)
	r.client = r.newClient(append([]tokenward.Option{tokenward.WithHTTPClient(&http.Client{Transport: p})}, opts...)...)
	return r, ids
}

// callersOf ask for a token of each session until there is one, and again at each call of ask where the last try failed.
type callersOf struct {
	r    *rig
	ids  []string
	busy []atomic.Bool
	done []atomic.Bool
}

func (c *callersOf) ask() {
	for i := range c.ids {
		if c.done[i].Load() || c.busy[i].Swap(true) {
			continue
		}
		go func() {
			defer c.busy[i].Store(false)
			_, err := c.r.client.GetAccessToken(context.Background(), tokenward.TokenRequest{}, tokenward.SessionID(c.ids[i]))
			c.done[i].Store(err == nil)
		}()
	}
	c.r.rest()
}

func (c *callersOf) left() (n int) {
	for i := range c.done {
		if !c.done[i].Load() {
			n++
		}
	}
	return n
}

// Ten thousand sessions have expired, and the provider answers a hundred requests a second, else 429 with Retry-After: 1. After
// the first second at most 120 requests a second are sent, and all sessions are refreshed within 110 s: where a request that was
// refused is sent again, and where its caller asks again.
func TestFigures_tenThousandSessionsAtAHundredASecond(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for name, opts := range map[string][]tokenward.Option{
		"sent again":        {tokenward.WithRetry(tokenward.RetryPolicy{Attempts: 10, Within: 2 * time.Minute})},
		"callers ask again": {tokenward.WithRetry(tokenward.RetryPolicy{Attempts: 1})},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *rig) {
				p := &pacedProvider{answer: func(_ int64, nth int) (int, string) {
					if nth <= 100 {
						return http.StatusOK, ""
					}
					return http.StatusTooManyRequests, "1"
				}}
				const n = 10_000
				r, ids := manySessions(t, n, p, opts...)
				c := &callersOf{r, ids, make([]atomic.Bool, n), make([]atomic.Bool, n)}
				began := r.clock.Now()
				c.ask()
				for r.clock.Now().Before(began.Add(110 * time.Second)) {
					for range 100 {
						r.clock.Advance(10 * time.Millisecond)
						r.rest()
					}
					c.ask()
				}
				if n := c.left(); n > 0 {
					t.Errorf("%d sessions are not refreshed within 110 s", n)
				}
				first, most := int64(began.Sub(t0)/time.Second), 0
				for second, n := range p.counts {
					if second > first {
						most = max(most, n)
					}
				}
				if most > 120 {
					t.Errorf("up to %d requests in a second, want 120 at most", most)
				}
				sent := len(p.sent)
				r.token(ids[0], tokenward.TokenRequest{}) // from the cache
				r.want("requests for what is cached", len(p.sent)-sent, 0)
				t.Logf("%d in the first second, up to %d in each later one, %d requests for %d sessions", p.counts[first], most, len(p.sent), n)
			})
		})
	}
}

// A provider answers 503 for an hour, with retries and a breaker: after the first minute at most one request in ten seconds is
// sent by all sessions, cached tokens are served, and within ten seconds of the provider's return there are tokens again.
func TestFigures_anHourOf503(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	inBubble(t, func(t *testing.T, _ *rig) {
		down := true
		p := &pacedProvider{answer: func(int64, int) (int, string) {
			if down {
				return http.StatusServiceUnavailable, ""
			}
			return http.StatusOK, ""
		}, all: &down}
		down = false
		const n = 10_000
		r, ids := manySessions(t, n+1, p, tokenward.WithRetry(tokenward.RetryPolicy{}), tokenward.WithBreaker(tokenward.BreakerPolicy{}))
		cached := ids[n]
		r.token(cached, tokenward.TokenRequest{})
		down = true
		c := &callersOf{r, ids[:n], make([]atomic.Bool, n), make([]atomic.Bool, n)}
		began := r.clock.Now()
		c.ask()
		for r.clock.Now().Before(began.Add(time.Hour)) {
			r.clock.Advance(time.Second)
			r.rest()
			if r.clock.Now().Sub(began)%(10*time.Minute) == 10*time.Second {
				c.ask() // all of them
			} else {
				few := &callersOf{r, c.ids[:10], c.busy[:10], c.done[:10]}
				few.ask()
			}
			r.token(cached, tokenward.TokenRequest{})
		}
		first := began.Add(time.Minute).Sub(t0)
		last, count := time.Duration(0), 0
		for _, at := range p.sent {
			if at >= first {
				if last != 0 && at-last < 10*time.Second {
					t.Errorf("a request %v after the one before", at-last)
				}
				last = at
				count++
			}
		}
		if count > 355 || count < 300 {
			t.Errorf("%d requests in 59 minutes, want one in some ten seconds", count)
		}
		down = false
		for range 10 {
			r.clock.Advance(time.Second)
			r.rest()
			c.ask()
		}
		if n := c.left(); n > 0 {
			t.Errorf("%d sessions have no token ten seconds after the provider is back", n)
		}
		t.Logf("%d requests in all, %d of them after the first minute", len(p.sent)-n, count)
	})
}
