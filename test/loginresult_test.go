package test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestComplete_appState(t *testing.T) {
	tests := []struct {
		in   any
		want string // empty: none
	}{
		{nil, ""},
		{0, "0"},
		{"", `""`},
		{false, "false"},
		{[]int{}, "[]"},
		{map[string]any{}, "{}"},
		{map[string]any{"to": "/a?b=<c>&d"}, `{"to":"/a?b=<c>&d"}`},
		{json.RawMessage(`{"n":12345678901234567890.5}`), `{"n":12345678901234567890.5}`},
	}
	r := newRig(t)
	for _, tt := range tests {
		res, err := r.complete(r.callback(tokenward.LoginRequest{AppState: tt.in}))
		if err != nil {
			t.Fatal(err)
		}
		if tt.want == "" {
			if res.AppState != nil {
				t.Errorf("app state %v came back as %s", tt.in, res.AppState)
			}
			continue
		}
		var got, want any
		if err := json.Unmarshal(res.AppState, &got); err != nil {
			t.Errorf("app state %v came back as %q: %v", tt.in, res.AppState, err)
			continue
		}
		_ = json.Unmarshal([]byte(tt.want), &want)
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			t.Errorf("app state %v came back as %s, want %s", tt.in, res.AppState, tt.want)
		}
	}
}

func TestComplete_authorizationDetails(t *testing.T) {
	r := newRig(t)
	back := r.callback(tokenward.LoginRequest{})
	r.tenant.Script(idptest.CodeExchange, idptest.Edit(func(b map[string]any) {
		b["authorization_details"] = []any{map[string]any{"type": "payment"}}
	}))
	res, err := r.complete(back)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(res.AuthorizationDetails), `[{"type":"payment"}]`; got != want {
		t.Errorf("authorization_details = %s, want %s", got, want)
	}
	if res, err = r.complete(r.callback(tokenward.LoginRequest{})); err != nil || res.AuthorizationDetails != nil {
		t.Errorf("without: %s, %v", res.AuthorizationDetails, err)
	}
}

// 2.7: what a login leaves in the store.
func TestComplete_storesAFreshState(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.Audience, c.Scopes = apiA, "openid offline_access read:x" }))
	ceiling := t0.Add(5 * time.Hour).Unix()
	r.clock.Advance(1500 * time.Millisecond)
	res, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{
		"session_expiry": ceiling, "sid": "sid-1", "nickname": "ada", "https://app.example/roles": []string{"admin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := r.state(res.SessionID)
	now := t0.Add(1500 * time.Millisecond).Unix()
	if s.Internal.SID != "sid-1" || s.Internal.CreatedAt != now || int64(s.Internal.Ceiling) != ceiling {
		t.Errorf("internal = %+v, want sid-1, %d, %d", s.Internal, now, ceiling)
	}
	user := s.User.Claims()
	if user.Sub() != idptest.Subject || user.Nickname() != "ada" || user.Email() != "ada@example.com" || int64(user.SessionExpiry()) != ceiling {
		t.Errorf("user = %v", user)
	}
	if roles, _ := user["https://app.example/roles"].([]any); len(roles) != 1 || roles[0] != "admin" {
		t.Errorf("an unknown claim became %v", user["https://app.example/roles"])
	}
	if s.IDToken == "" || s.RefreshToken == "" || len(s.ConnectionTokenSets) != 0 || s.Domain != r.tenant.Issuer() {
		t.Errorf("id token %t, refresh token %t, connection tokens %d, domain %q", s.IDToken != "", s.RefreshToken != "", len(s.ConnectionTokenSets), s.Domain)
	}
	if len(s.TokenSets) != 1 {
		t.Fatalf("token sets = %d, want 1", len(s.TokenSets))
	}
	set := s.TokenSets[0]
	if set.Audience != apiA || set.AccessToken == "" || set.Scope != "openid offline_access read:x" || set.RequestedScope != set.Scope || set.ExpiresAt != now+3600 {
		t.Errorf("token set = %+v", set)
	}
	if res.Session.User.Sub() != idptest.Subject || res.Session.RefreshToken != s.RefreshToken {
		t.Errorf("the result shows another session than the store: %v", res.Session)
	}
	if !alphanumeric(32).MatchString(res.SessionID) {
		t.Errorf("session id = %q, want 32 letters and digits", res.SessionID)
	}
}

func TestComplete_whatTheResponseLeavesOut(t *testing.T) {
	t.Run("everything", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"sid": idptest.Absent})
		r.tenant.Script(idptest.CodeExchange, idptest.Edit(func(b map[string]any) {
			delete(b, "scope")
			delete(b, "refresh_token")
			delete(b, "expires_in")
		}))
		res, err := r.complete(back)
		if err != nil {
			t.Fatal(err)
		}
		s := r.state(res.SessionID)
		set := s.TokenSets[0]
		if set.Audience != "default" || set.Scope != "openid profile email offline_access" || set.ExpiresAt != t0.Unix()+3600 {
			t.Errorf("token set = %+v", set)
		}
		if s.RefreshToken != "" || s.Internal.Ceiling != 0 || !alphanumeric(32).MatchString(s.Internal.SID) {
			t.Errorf("refresh token %q, internal %+v", s.RefreshToken, s.Internal)
		}
	})
	t.Run("an expires_in that cannot be used", func(t *testing.T) {
		for _, in := range []any{-1, "soon", []int{60}} {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{})
			r.tenant.Script(idptest.CodeExchange, idptest.ExpiresIn(in))
			res, err := r.complete(back)
			if err != nil {
				t.Fatal(err)
			}
			if set := r.state(res.SessionID).TokenSets[0]; set.ExpiresAt != t0.Unix() {
				t.Errorf("%v: the token expires after %d s, want at once", in, set.ExpiresAt-t0.Unix())
			}
		}
	})
	t.Run("an empty sid", func(t *testing.T) {
		r := newRig(t)
		id := r.login(idptest.Claims{"sid": ""})
		if s := r.state(id); !alphanumeric(32).MatchString(s.Internal.SID) {
			t.Errorf("sid = %q", s.Internal.SID)
		}
	})
}

// A login under the same id replaces everything: user, tokens, connection tokens, ceiling.
func TestComplete_replacesTheSessionWholly(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithUser("auth0|bob", idptest.Claims{"name": "Bob"})))
	mine := tokenward.SessionID("mine")
	r.loginAs(mine, idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix(), "family_name": "Lovelace"})
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: apiB}, mine); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: "google-oauth2"}, mine); err != nil {
		t.Fatal(err)
	}
	before := r.state("mine")

	to := r.start(tokenward.LoginRequest{AuthorizationParams: map[string]string{"login_hint": "auth0|bob"}}, mine)
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.CompleteInteractiveLogin(t.Context(), back, mine)
	if err != nil {
		t.Fatal(err)
	}
	if res.SessionID != "mine" {
		t.Errorf("session id = %q, want the host's own", res.SessionID)
	}
	s := r.state("mine")
	if user := s.User.Claims(); user.Sub() != "auth0|bob" || user["family_name"] != nil || user["session_expiry"] != nil {
		t.Errorf("user = %v", user)
	}
	if s.RefreshToken == before.RefreshToken || len(s.TokenSets) != 1 || len(s.ConnectionTokenSets) != 0 || s.Internal.Ceiling != 0 || s.Internal.SID == before.Internal.SID {
		t.Errorf("something of the session before stayed: %+v", s)
	}
	r.clock.Advance(2 * time.Hour)
	r.settle()
	if u, err := r.client.GetUser(t.Context(), mine); err != nil || u.Sub() != "auth0|bob" {
		t.Errorf("after the earlier ceiling: %v, %v", u, err)
	}
}

// Whose id: with a cookie a new one and the old session goes, with an id exactly that,
// with neither a new one.
func TestComplete_whoseID(t *testing.T) {
	t.Run("neither", func(t *testing.T) {
		r := newRig(t)
		if one, two := r.login(), r.login(); one == two || r.memory.Len() != 2 {
			t.Errorf("ids equal: %v, sessions %d", one == two, r.memory.Len())
		}
	})
	t.Run("the host's, from the context", func(t *testing.T) {
		r := newRig(t)
		ctx := tokenward.ContextWith(t.Context(), tokenward.SessionID("mine"))
		res, err := r.client.CompleteInteractiveLogin(ctx, r.callback(tokenward.LoginRequest{}), tokenward.StoreOptions{})
		if err != nil || res.SessionID != "mine" {
			t.Errorf("%v, %v", res, err)
		}
		if u, err := r.client.GetUser(ctx, tokenward.StoreOptions{}); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
	})
	t.Run("a browser", func(t *testing.T) {
		r := newRig(t)
		b := newBrowser(r)
		one := b.login()
		if b.cookie == nil {
			t.Fatal("no cookie was set")
		}
		if c := b.cookie; c.Name != "_a0_session" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
			t.Errorf("cookie = %+v", c)
		}
		if strings.Contains(b.cookie.Value, one) {
			t.Error("the cookie shows the session id")
		}
		if u, err := r.client.GetUser(t.Context(), b.options()); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		first := *b.cookie
		two := b.login()
		if one == two || first.Value == b.cookie.Value {
			t.Error("the second login kept the session id")
		}
		if n := r.memory.Len(); n != 1 {
			t.Errorf("sessions = %d, want 1: the old one goes", n)
		}
		b.cookie = &first
		if u, err := r.client.GetUser(t.Context(), b.options()); u != nil || err != nil {
			t.Errorf("with the old cookie: %v, %v", u, err)
		}
	})
	t.Run("a browser, over TLS", func(t *testing.T) {
		r := newRig(t)
		b := newBrowser(r)
		b.tls = true
		b.login()
		if b.cookie == nil || !b.cookie.Secure {
			t.Errorf("cookie = %+v, want Secure", b.cookie)
		}
	})
	t.Run("a cookie that is not ours", func(t *testing.T) {
		r := newRig(t)
		b := newBrowser(r)
		b.cookie = &http.Cookie{Name: "_a0_session", Value: "bWFkZS11cA"}
		if u, err := r.client.GetUser(t.Context(), b.options()); u != nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
		b.login()
		if u, err := r.client.GetUser(t.Context(), b.options()); u == nil || err != nil {
			t.Errorf("GetUser after the login = %v, %v", u, err)
		}
	})
	t.Run("a browser whose login fails keeps its session", func(t *testing.T) {
		r := newRig(t)
		b := newBrowser(r)
		b.login()
		r.store.Fail(storetest.OpReplace, 1)
		if _, err := b.tryLogin(); !errors.Is(err, tokenward.ErrStore) {
			t.Fatalf("err = %v", err)
		}
		if u, err := r.client.GetUser(t.Context(), b.options()); u == nil || err != nil {
			t.Errorf("GetUser = %v, %v", u, err)
		}
	})
}
