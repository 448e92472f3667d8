package test_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
)

// sessionCookies returns how many cookies the browser has for its session, and their bytes in a request.
func (b *browser) sessionCookies() (n, bytes int) {
	for name, c := range b.others {
		if strings.HasPrefix(name, "_a0_session.") {
			n++
			bytes += len("; =") + len(name) + len(c.Value)
		}
	}
	return n, bytes
}

func (b *browser) request(q tokenward.TokenRequest) (tokenward.Token, error) {
	tok, err := b.r.client.GetAccessToken(b.r.t.Context(), q, b.options())
	b.took()
	return tok, err
}

// A session that is asked for one scope after the other stays within what its cookies hold.
func TestStatelessSize_staysWithinItsCookies(t *testing.T) {
	for _, chunks := range []int{0, 2, 3} {
		r := stateless(t, tokenward.WithCookies(tokenward.Cookies{Chunks: chunks}))
		b := newBrowser(r)
		b.login()
		limit := chunks
		if limit == 0 {
			limit = 5
		}
		for i := range 80 {
			q := tokenward.TokenRequest{Scope: fmt.Sprintf("x:%d", i)}
			if i%3 == 2 {
				_, err := r.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google, LoginHint: fmt.Sprint(i)}, b.options())
				if b.took(); err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
			} else if _, err := b.request(q); err != nil {
				t.Fatalf("scope %d: %v", i, err)
			}
			if n, bytes := b.sessionCookies(); n > limit || bytes > limit*3100 {
				t.Fatalf("after %d: %d cookies, %d bytes", i, n, bytes)
			}
			r.clock.Advance(time.Second)
		}
		// The newest is kept, the first one left.
		r.tenant.Reset()
		newest, first := tokenward.TokenRequest{Scope: "x:79"}, tokenward.TokenRequest{Scope: "x:0"}
		b.anotherProcess(tokenward.WithCookies(tokenward.Cookies{Chunks: chunks}))
		if _, err := b.request(newest); err != nil || r.tenant.Refreshes() != 0 {
			t.Errorf("the newest: %v, %d refreshes", err, r.tenant.Refreshes())
		}
		if _, err := b.request(first); err != nil || r.tenant.Refreshes() != 1 {
			t.Errorf("the first: %v, %d refreshes", err, r.tenant.Refreshes())
		}
		b.login()
		if u := b.user(); u == nil {
			t.Error("the user cannot sign in again")
		}
		r.logOut(b.options())
		b.took()
		if n, _ := b.sessionCookies(); n != 0 {
			t.Errorf("after the logout %d cookies", n)
		}
	}
}

// A token that does not fit alone is an error that says so. The session goes on, with the refresh token that came.
func TestStatelessSize_aTokenThatDoesNotFit(t *testing.T) {
	large := strings.Repeat("x", 20_000)
	r := newRig(t, withClient(tokenward.WithStatelessSessions()), withTenant(
		idptest.WithAccessToken(func(d *idptest.Draft) {
			if d.Claims["aud"] == apiB {
				d.Claims["large"] = large
			}
		}),
		idptest.WithConnectionToken(func(d *idptest.Draft) { d.Raw += large }),
	))
	b := newBrowser(r)
	b.login()
	for range 2 {
		_, err := b.request(tokenward.TokenRequest{Audience: apiB})
		r.wantCode("a large token", err, "session_too_large")
	}
	_, err := r.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google}, b.options())
	b.took()
	r.wantConnectionCode("a large token of a connection", err, "session_too_large")
	b.anotherProcess()
	r.clock.Advance(2 * time.Hour)
	if _, err := b.request(tokenward.TokenRequest{}); err != nil {
		t.Errorf("another token: %v", err)
	}
	if n := r.tenant.Reuses(); n != 0 {
		t.Errorf("%d refresh tokens were spent twice", n)
	}
}

// A login that is too large goes without its access token, and then its ID token. Only a user who is too large is refused.
func TestStatelessSize_logins(t *testing.T) {
	for name, tt := range map[string]struct {
		access, claims int
		refused        bool
		idToken        bool
	}{
		"as usual":             {0, 0, false, true},
		"a large access token": {20_000, 0, false, true},
		"a large ID token":     {0, 6_000, false, false}, // its claims are there as well
		"both":                 {20_000, 6_000, false, false},
		"too large a user":     {0, 20_000, true, false},
	} {
		r := newRig(t, withClient(tokenward.WithStatelessSessions()), withTenant(
			idptest.WithAccessToken(func(d *idptest.Draft) { d.Claims["large"] = strings.Repeat("x", tt.access) }),
		))
		b := newBrowser(r)
		r.tenant.NextLogin(idptest.Claims{"groups": strings.Repeat("g", tt.claims)})
		res, err := b.tryLogin()
		if tt.refused {
			wantError[*tokenward.ConfigurationError](t, name, err, "configuration_error")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b.anotherProcess()
		if u := b.user(); u == nil {
			t.Errorf("%s: the browser has no session", name)
		}
		if got := res.Session.IDToken != ""; got != tt.idToken {
			t.Errorf("%s: ID token %t", name, got)
		}
	}
}

// What an earlier release or a higher limit has left in a browser, and what opens no more, a logout takes away.
func TestStatelessSize_logoutRemovesAllChunks(t *testing.T) {
	r := stateless(t)
	req, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	for i := range 24 {
		req.AddCookie(&http.Cookie{Name: fmt.Sprintf("_a0_session.%d", i), Value: strings.Repeat("x", 3000)})
	}
	r.logOut(tokenward.HTTP(w, req))
	if n := len(w.Header()["Set-Cookie"]); n != 24 {
		t.Errorf("%d cookies are removed, want 24", n)
	}
}

// Two clients with one secret do not accept each other's sessions: neither of another application nor of another issuer.
func TestStateless_isBoundToIssuerAndClient(t *testing.T) {
	r := stateless(t)
	b := newBrowser(r)
	b.login()
	mine := r.client
	for name, change := range map[string]func(c *tokenward.Config){
		"another client": func(c *tokenward.Config) { c.ClientID = "other" },
		"another issuer": func(c *tokenward.Config) { c.Issuer = "https://other.example/" },
		"a resolver": func(c *tokenward.Config) {
			issuer := c.Issuer
			c.Issuer, c.DomainResolver = "", func(context.Context, store.Options) (string, error) { return issuer, nil }
		},
	} {
		before := r.cfg
		change(&r.cfg)
		b.anotherProcess()
		if u := b.user(); u != nil || len(b.set()) != 0 {
			t.Errorf("%s: %v, Set-Cookie %q", name, u, b.set())
		}
		r.cfg = before
	}
	if r.client = mine; b.user() == nil {
		t.Error("the client itself does not")
	}
	if b.anotherProcess(); b.user() == nil {
		t.Error("another process of the client does not")
	}
}
