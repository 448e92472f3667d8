package test_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A call that names no session is a mistake of the host's: its middleware was forgotten. It is told so, and above all no logout
// answers as if it had ended one.
func TestArguments_aCallNamesItsSession(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	for name, o := range map[string]tokenward.StoreOptions{
		"nothing":             {},
		"values only":         tokenward.StoreOptions{}.With(map[string]any{"a": 1}),
		"an empty id":         tokenward.SessionID(""),
		"an empty id, values": tokenward.SessionID("").With(map[string]any{"a": 1}),
		"no request":          tokenward.HTTP(httptest.NewRecorder(), nil),
	} {
		ctx := t.Context()
		if strings.HasPrefix(name, "an empty id") { // which is not the context's
			ctx = tokenward.ContextWith(ctx, b.options())
		}
		for call, err := range map[string]error{
			"GetUser":                     second(r.client.GetUser(ctx, o)),
			"GetSession":                  second(r.client.GetSession(ctx, o)),
			"GetAccessToken":              second(r.client.GetAccessToken(ctx, tokenward.TokenRequest{}, o)),
			"the same with a scope":       second(r.client.GetAccessToken(ctx, tokenward.TokenRequest{Scope: "read"}, o)),
			"GetAccessTokenForConnection": second(r.client.GetAccessTokenForConnection(ctx, tokenward.ConnectionRequest{Connection: google}, o)),
			"Logout":                      second(r.client.Logout(ctx, tokenward.LogoutRequest{}, o)),
			"SessionOf":                   second(r.client.SessionOf(ctx, o)),
			"Handle":                      second(r.client.Session("").GetUser(ctx)),
			"Handle's token":              second(r.client.Session("").GetAccessToken(ctx, tokenward.TokenRequest{})),
		} {
			if e := asError[*tokenward.InvalidArgumentError](t, name+", "+call, err, "invalid_argument"); e != nil && e.Argument != "session" {
				t.Errorf("%s, %s: argument %q", name, call, e.Argument)
			}
		}
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("the session: %v, %v", u, err)
	}
	// A browser without a session has none, which is no mistake.
	none := tokenward.HTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if u, err := r.client.GetUser(t.Context(), none); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	_, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, none)
	r.wantCode("GetAccessToken", err, "missing_refresh_token")
	if to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, none); to == "" || err != nil {
		t.Errorf("Logout = %q, %v", to, err)
	}
	closeClient(t, r.client)
	_, err = r.client.GetUser(context.Background(), tokenward.StoreOptions{})
	if tokenward.CodeOf(err) != "closed" {
		t.Errorf("closed: %v", err)
	}
}

// What users can make a session keep is bounded; what the host configured is as long as it is.
func TestArguments_areBounded(t *testing.T) {
	fits, long := strings.Repeat("a", 2048), strings.Repeat("a", 2049)
	check := func(doing, argument string, err error) {
		t.Helper()
		if argument == "" {
			if errors.As(err, new(*tokenward.InvalidArgumentError)) {
				t.Errorf("%s: %v", doing, err)
			}
			return
		}
		e := asError[*tokenward.InvalidArgumentError](t, doing, err, "invalid_argument")
		if e != nil && (e.Argument != argument || strings.Contains(err.Error(), "aaaa")) {
			t.Errorf("%s: %.200v", doing, err)
		}
	}
	r := newRig(t)
	id := r.login()
	o := tokenward.SessionID(id)
	h := r.client.Session(id)
	token := func(r *rig, q tokenward.TokenRequest) error {
		return second(r.client.GetAccessToken(t.Context(), q, o))
	}
	connection := func(r *rig, q tokenward.ConnectionRequest) error {
		return second(r.client.GetAccessTokenForConnection(t.Context(), q, o))
	}
	login := func(r *rig, name, value string) error {
		return second(r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{AuthorizationParams: map[string]string{name: value}}, tokenward.StoreOptions{}))
	}
	r.tenant.Reset()
	check("audience", "audience", token(r, tokenward.TokenRequest{Audience: long}))
	check("scope", "scope", token(r, tokenward.TokenRequest{Scope: long}))
	check("scope, of a handle", "scope", second(h.GetAccessToken(t.Context(), tokenward.TokenRequest{Scope: long})))
	check("connection", "connection", connection(r, tokenward.ConnectionRequest{Connection: long}))
	check("login hint", "login_hint", connection(r, tokenward.ConnectionRequest{Connection: google, LoginHint: long}))
	for _, name := range []string{"audience", "scope", "connection", "login_hint"} {
		check("a login's "+name, name, login(r, name, long))
		check("a login's "+name, "", login(r, name, fits))
	}
	if n := r.tenant.Requests(idptest.Spend); n != 0 {
		t.Errorf("%d requests, want no refresh", n)
	}
	check("scope that fits", "", token(r, tokenward.TokenRequest{Scope: fits}))
	check("audience that fits", "", token(r, tokenward.TokenRequest{Audience: fits}))

	wide := newRig(t, withLimits(tokenward.Limits{ArgumentBytes: 2049}))
	check("with a higher limit", "", token(wide, tokenward.TokenRequest{Scope: long}))
	check("beyond it", "scope", token(wide, tokenward.TokenRequest{Scope: long + "a"}))

	configured := newRig(t, withConfig(func(c *tokenward.Config) {
		c.Audience, c.ScopesFor = long, map[string]string{long + "b": "openid " + long}
	}))
	check("the configured audience", "", token(configured, tokenward.TokenRequest{Audience: long}))
	check("a configured audience", "", token(configured, tokenward.TokenRequest{Audience: long + "b"}))
	check("another", "audience", token(configured, tokenward.TokenRequest{Audience: long + "c"}))

	cfg := wellConfigured()
	_, err := tokenward.New(cfg, tokenward.WithLimits(tokenward.Limits{ArgumentBytes: -1}))
	wantError[*tokenward.ConfigurationError](t, "a negative limit", err, "configuration_error")
}

// What a session keeps is JSON, which says nothing but UTF-8 (RFC 8259 section 8.1): other bytes would come back as another argument, so
// that a token of one login hint answered another.
func TestArguments_areUTF8(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.tenant.Reset()
	const odd, replaced = "ada\xff", "ada\ufffd"
	token := func(q tokenward.TokenRequest) error {
		return second(r.client.GetAccessToken(t.Context(), q, tokenward.SessionID(id)))
	}
	connection := func(q tokenward.ConnectionRequest) error {
		return second(r.client.GetAccessTokenForConnection(t.Context(), q, tokenward.SessionID(id)))
	}
	for argument, err := range map[string]error{
		"audience":   token(tokenward.TokenRequest{Audience: odd}),
		"scope":      token(tokenward.TokenRequest{Scope: odd}),
		"connection": connection(tokenward.ConnectionRequest{Connection: odd}),
		"login_hint": connection(tokenward.ConnectionRequest{Connection: google, LoginHint: odd}),
	} {
		e := asError[*tokenward.InvalidArgumentError](t, argument, err, "invalid_argument")
		if e != nil && (e.Argument != argument || strings.Contains(err.Error(), "ada")) {
			t.Errorf("%s: %v", argument, err)
		}
		login := tokenward.LoginRequest{AuthorizationParams: map[string]string{argument: odd}}
		wantError[*tokenward.InvalidArgumentError](t, "a login's "+argument, second(r.client.StartInteractiveLogin(t.Context(), login, tokenward.StoreOptions{})), "invalid_argument")
	}
	for argument, login := range map[string]tokenward.LoginRequest{
		"organization": {Organization: odd}, "invitation": {Invitation: odd},
		"redirect_uri": {AuthorizationParams: map[string]string{"redirect_uri": "http://127.0.0.1/" + odd}},
		"parameter":    {AuthorizationParams: map[string]string{odd: "1"}},
	} {
		e := asError[*tokenward.InvalidArgumentError](t, argument, second(r.client.StartInteractiveLogin(t.Context(), login, tokenward.StoreOptions{})), "invalid_argument")
		if e != nil && e.Argument != argument {
			t.Errorf("a login's %s: %v", argument, e)
		}
	}
	r.want("requests", r.tenant.Requests(idptest.Spend), 0)
	first := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: replaced})
	r.restart()
	if again := r.connection(id, tokenward.ConnectionRequest{Connection: google, LoginHint: replaced}); again != first {
		t.Error("UTF-8 came back as something else")
	}
}
