package test_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// The tests of this file follow the guide that users of the Auth0 SDKs know, sentence by
// sentence.

// "retrieve the current logged-in user", "the current session data", "an access token for
// the current logged-in user", each with the store's options.
func TestGuide_threeReads(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	o := b.options()
	u, err := r.client.GetUser(t.Context(), o)
	if err != nil || u.Sub() != idptest.Subject {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	s, err := r.client.GetSession(t.Context(), o)
	if err != nil || s.User.Sub() != idptest.Subject || len(s.TokenSets) != 1 {
		t.Errorf("GetSession = %v, %v", s, err)
	}
	tok, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o)
	if err != nil || tok.AccessToken != s.TokenSets[0].AccessToken {
		t.Errorf("GetAccessToken = %v, %v", tok, err)
	}
}

// "most methods accept an argument that is passed to the configured Transaction and State
// Store".
func TestGuide_storeOptionsReachBothStores(t *testing.T) {
	r := newRig(t)
	tx := storetest.NewFaultyTransactions(store.NewTransactions(r.clock))
	r.restart(tokenward.WithTransactionStore(tx))
	mine := tokenward.SessionID("mine").With(map[string]any{"request": "r"})
	r.loginAs(mine)
	for op, got := range map[storetest.Op]store.Options{
		storetest.OpPut: tx.LastOptions(storetest.OpPut), storetest.OpTake: tx.LastOptions(storetest.OpTake),
		storetest.OpReplace: r.store.LastOptions(storetest.OpReplace),
	} {
		if got.Values["request"] != "r" {
			t.Errorf("%s was given %+v", op, got)
		}
	}
}

// "cache the token internally, and return it from the cache when not expired. When no token
// is found, or it is expired, [ask] for a new token and update the cache".
func TestGuide_tokensAreCached(t *testing.T) {
	r := newRig(t)
	id := r.login()
	first := r.token(id, tokenward.TokenRequest{})
	r.clock.Advance(idptest.TokenLife - time.Second)
	if r.token(id, tokenward.TokenRequest{}) != first || r.tenant.Refreshes() != 0 {
		t.Error("a token that had not expired was not served from the cache")
	}
	r.clock.Advance(time.Second)
	second := r.token(id, tokenward.TokenRequest{})
	if second.AccessToken == first.AccessToken || r.tenant.Refreshes() != 1 {
		t.Error("an expired token was not renewed")
	}
	if r.token(id, tokenward.TokenRequest{}) != second || r.tenant.Refreshes() != 1 {
		t.Error("the cache was not updated")
	}
}

// "By default, [it] is configured to request the offline_access scope. If you override the
// scopes, ensure to always include offline_access".
func TestGuide_offlineAccessByDefault(t *testing.T) {
	r := newRig(t)
	if scope := r.begin(tokenward.LoginRequest{}).Get("scope"); !slices.Contains(strings.Fields(scope), "offline_access") {
		t.Errorf("scope = %q", scope)
	}
	own := newRig(t, withConfig(func(c *tokenward.Config) { c.Scopes = "openid profile" }))
	if scope := own.begin(tokenward.LoginRequest{}).Get("scope"); scope != "openid profile" {
		t.Errorf("scope = %q, want what the application wrote", scope)
	}
	id := own.login()
	own.clock.Advance(idptest.TokenLife)
	own.wantCode("without offline_access", own.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
}

// "reads this value at login, stores it with the session, and enforces it on every
// subsequent read"; "as if no session exists"; "an AccessTokenError with code
// session_expired"; "deletes the stored session before returning, so the next request
// starts clean".
func TestGuide_ceilingIsEnforcedOnReads(t *testing.T) {
	for name, late := range map[string]bool{"with the timer": false, "by the read alone": true} {
		r := newRig(t)
		if late {
			r.restart(tokenward.WithClock(lateClock{r.clock}))
		}
		mine := tokenward.SessionID("mine")
		r.loginAs(mine, until(time.Hour))
		r.clock.Advance(time.Hour)
		_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, mine)
		wantError[*tokenward.AccessTokenError](t, name, err, "session_expired")
		r.want(name+": sessions on return", r.memory.Len(), 0)
		if u, err := r.client.GetUser(t.Context(), mine); u != nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v", name, u, err)
		}
		if s, err := r.client.GetSession(t.Context(), mine); s != nil || err != nil {
			t.Errorf("%s: GetSession = %v, %v", name, s, err)
		}
		r.loginAs(mine)
		if !r.lives("mine") {
			t.Errorf("%s: the next login did not start clean", name)
		}
	}
}

// "A common mistake is emitting milliseconds": no ceiling; "fails open on any malformed
// value ... and login proceeds normally".
func TestGuide_malformedCeilingsFailOpen(t *testing.T) {
	for name, claim := range map[string]any{
		"milliseconds": t0.Add(time.Hour).UnixMilli(), "text": "soon", "zero": 0, "negative": -1, "boolean": true, "the bound": 10_000_000_000,
	} {
		r := newRig(t)
		id := r.login(idptest.Claims{"session_expiry": claim})
		r.clock.Advance(3 * time.Hour)
		r.settle()
		if !r.lives(id) {
			t.Errorf("%s: the session ended", name)
		}
	}
}

// "get_access_token_for_connection() is not gated by the session ceiling ... they remain
// retrievable from cache even after the session ceiling has passed".
func TestGuide_connectionTokensOutliveTheCeiling(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithConnectionTokenLife(3*time.Hour)))
	id := r.login(until(time.Hour))
	first := r.connection(id, tokenward.ConnectionRequest{Connection: google})
	r.advance(2 * time.Hour)
	if r.connection(id, tokenward.ConnectionRequest{Connection: google}) != first {
		t.Error("another token")
	}
	if r.lives(id) {
		t.Error("and the session lives")
	}
}

// "If the upstream IdP asserts a ceiling that is already in the past at login time,
// [completing the login fails] rather than persisting an already-expired session".
func TestGuide_ceilingPastAtLogin(t *testing.T) {
	r := newRig(t)
	_, err := r.tryLogin(tokenward.StoreOptions{}, until(-time.Second))
	wantError[*tokenward.SessionExpiredError](t, "login", err, "session_expired")
	r.wantNothingStored("login")
}

// "The session_expiry value is also surfaced through the user claims, so you can read it
// without triggering enforcement".
func TestGuide_ceilingAmongTheClaims(t *testing.T) {
	r := newRig(t)
	id := r.login(until(time.Hour))
	u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id))
	if err != nil || int64(u.SessionExpiry()) != t0.Add(time.Hour).Unix() {
		t.Errorf("session_expiry = %d, %v", u.SessionExpiry(), err)
	}
	var none tokenward.User
	if none.SessionExpiry() != 0 {
		t.Error("nobody has a ceiling")
	}
}

// "a small negative leeway (30 seconds) ... The refresh-token grant preserves the original
// ceiling".
func TestGuide_leewayAndRefresh(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithTokenLife(10*time.Minute), idptest.WithIDToken(func(d *idptest.Draft) {
		if d.Kind == idptest.Refresh {
			d.Claims["session_expiry"] = t0.Add(100 * time.Hour).Unix()
		}
	})))
	id := r.login(until(time.Hour))
	for range 5 {
		r.clock.Advance(10 * time.Minute)
		r.token(id, tokenward.TokenRequest{})
	}
	r.want("refreshes", r.tenant.Refreshes(), 5)
	r.clock.Advance(10*time.Minute - 31*time.Second)
	if !r.lives(id) {
		t.Error("31 s before the ceiling it was over")
	}
	r.clock.Advance(time.Second)
	if r.lives(id) {
		t.Error("30 s before the ceiling it lived")
	}
}

// "using a single refresh token to obtain access tokens for multiple audiences"; "the
// configured scopes for that audience. When scopes are also passed in the method call,
// they are merged".
func TestGuide_manyAudiences(t *testing.T) {
	const analytics = "https://analytics.example.com"
	r := newRig(t, withConfig(func(c *tokenward.Config) {
		c.Audience, c.ScopesFor = "https://api.example.com", map[string]string{
			"https://api.example.com": "openid email profile offline_access", analytics: "read:analytics write:analytics",
		}
	}))
	id := r.login()
	for _, tt := range []struct {
		req  tokenward.TokenRequest
		want url.Values // nil: from the cache
	}{
		{tokenward.TokenRequest{}, nil},
		{tokenward.TokenRequest{Audience: analytics}, url.Values{"audience": {analytics}, "scope": {"read:analytics write:analytics"}}},
		{
			tokenward.TokenRequest{Audience: "https://api.example.com", Scope: "write:admin"},
			url.Values{"audience": {"https://api.example.com"}, "scope": {"openid email profile offline_access write:admin"}},
		},
		{tokenward.TokenRequest{Audience: analytics}, nil},
	} {
		r.tenant.Reset()
		r.token(id, tt.req)
		if n := r.tenant.Refreshes(); (n == 0) != (tt.want == nil) {
			t.Errorf("%+v: refreshes = %d", tt.req, n)
		}
		form := r.tenant.LastForm(idptest.Refresh)
		for name, want := range tt.want {
			if !slices.Equal(form[name], want) {
				t.Errorf("%+v: %s = %q, want %q", tt.req, name, form[name], want)
			}
		}
	}
	// "Each audience + scope combination results in a token to store in the session".
	r.want("token sets", len(r.state(id).TokenSets), 3)
	r.want("families of refresh tokens", len(r.tenant.Families()), 1)
}

// "Tokens requested for audiences outside your configured policies will be ignored by Auth0,
// which will return a token for the default audience instead!".
func TestGuide_audienceOutsideThePolicy(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithPolicy(map[string]string{apiA: "read"})), withConfig(func(c *tokenward.Config) { c.Audience = apiA }))
	id := r.login()
	if tok := r.token(id, tokenward.TokenRequest{Audience: apiB}); tok.ActualAudience != apiA {
		t.Errorf("the token does not say that it is for %s: %+v", apiA, tok)
	}
}

// "which connection account to use ... when multiple accounts for the connection exist for
// the same user"; cached while not expired; "needs access to a Refresh Token".
func TestGuide_connections(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithConnection(google, "private", "work")))
	id := r.login()
	private := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "private"})
	work := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "work"})
	if private.AccessToken == work.AccessToken {
		t.Error("two accounts share a token")
	}
	if r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "work"}) != work {
		t.Error("it was not cached")
	}
	r.wantExchanges("two accounts", 2)
	r.clock.Advance(idptest.ConnectionTokenLife)
	if again := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: "work"}); again.AccessToken == work.AccessToken {
		t.Error("an expired one was served")
	}
	bare := newRig(t, withConfig(func(c *tokenward.Config) { c.Scopes = "openid" }))
	err := bare.connectionErr(bare.login(), tokenward.ConnectionRequest{Connection: google})
	bare.wantConnectionCode("without a refresh token", err, "missing_refresh_token")
	if !errors.Is(err, tokenward.ErrMissingRefreshToken) {
		t.Errorf("%v is not ErrMissingRefreshToken", err)
	}
}
