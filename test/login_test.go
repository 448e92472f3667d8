package test_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const apiA, apiB, apiC = "https://a.example", "https://b.example", "https://c.example"

// start begins a login and returns the URL for the browser.
func (r *rig) start(req tokenward.LoginRequest, o tokenward.StoreOptions) string {
	r.t.Helper()
	to, err := r.client.StartInteractiveLogin(r.t.Context(), req, o)
	if err != nil {
		r.t.Fatalf("start: %v", err)
	}
	return to
}

// begin begins a login and returns the parameters that the browser brings.
func (r *rig) begin(req tokenward.LoginRequest) url.Values {
	r.t.Helper()
	to := r.start(req, tokenward.StoreOptions{})
	u, err := url.Parse(to)
	if err != nil {
		r.t.Fatal(err)
	}
	if u.RawQuery = ""; u.String() != r.tenant.URL("/authorize") {
		r.t.Errorf("the browser is sent to %s", u)
	}
	q, err := url.ParseQuery(to[strings.Index(to, "?")+1:])
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

// callback begins a login and follows it to the provider and back.
func (r *rig) callback(req tokenward.LoginRequest, claims ...idptest.Claims) string {
	r.t.Helper()
	back, err := r.tenant.Authorize(r.start(req, tokenward.StoreOptions{}), claims...)
	if err != nil {
		r.t.Fatalf("authorize: %v", err)
	}
	return back
}

func (r *rig) complete(back string) (*tokenward.LoginResult, error) {
	return r.client.CompleteInteractiveLogin(r.t.Context(), back, tokenward.StoreOptions{})
}

// wantNothingStored fails when anything reached the state store.
func (r *rig) wantNothingStored(what string) {
	r.t.Helper()
	if n, m := r.memory.Len(), r.store.Updates(); n != 0 || m != 0 {
		r.t.Errorf("%s: sessions stored = %d, updates = %d, want none", what, n, m)
	}
}

// wantSpent fails unless the transaction of a callback is gone.
func (r *rig) wantSpent(what, back string) {
	r.t.Helper()
	u, _ := url.Parse(back)
	_, err := r.complete("http://127.0.0.1/callback?code=x&state=" + url.QueryEscape(u.Query().Get("state")))
	wantError[*tokenward.MissingTransactionError](r.t, what+", again", err, "missing_transaction_error")
}

// with returns a callback URL with other parameters; an empty value removes one.
func with(back string, params ...string) string {
	u, err := url.Parse(back)
	if err != nil {
		panic(err)
	}
	q := u.Query()
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
		if params[i+1] == "" {
			q.Del(params[i])
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func TestStart_authorizeParameters(t *testing.T) {
	const usual = "openid profile email offline_access"
	type params = map[string]string
	forMap := func(c *tokenward.Config) {
		c.Audience, c.ScopesFor = apiA, map[string]string{apiA: "openid email profile", apiB: "read:x write:x"}
	}
	tests := []struct {
		name   string
		config func(*tokenward.Config)
		req    tokenward.LoginRequest
		want   params // beside client_id, response_type, PKCE and state
	}{
		{"nothing configured", nil, tokenward.LoginRequest{}, params{"scope": usual}},
		{
			"the audience of the configuration", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{},
			params{"scope": usual, "audience": apiA},
		},
		{
			"the audience of the call wins", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiB}},
			params{"scope": usual, "audience": apiB},
		},
		{
			"an empty audience of the call is none", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{AuthorizationParams: params{"audience": ""}},
			params{"scope": usual, "audience": apiA},
		},
		{
			"no audience at all is omitted", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": ""}},
			params{"scope": usual},
		},
		{
			"scopes of one's own get no offline_access", func(c *tokenward.Config) { c.Scopes = "openid read:x" },
			tokenward.LoginRequest{},
			params{"scope": "openid read:x"},
		},
		{
			"openid is put first where it lacks", func(c *tokenward.Config) { c.Scopes = " read:x   email read:x" },
			tokenward.LoginRequest{},
			params{"scope": "openid read:x email"},
		},
		{
			"openid stays where it is", func(c *tokenward.Config) { c.Scopes = "read:x openid" },
			tokenward.LoginRequest{},
			params{"scope": "read:x openid"},
		},
		{
			"openidx is not openid", func(c *tokenward.Config) { c.Scopes = "openidx" },
			tokenward.LoginRequest{},
			params{"scope": "openid openidx"},
		},
		{
			"scopes of the call are merged", func(c *tokenward.Config) { c.Scopes = "openid email" },
			tokenward.LoginRequest{AuthorizationParams: params{"scope": "read:x  email"}},
			params{"scope": "openid email read:x"},
		},
		{
			"scopes of the call alone", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"scope": "read:x"}},
			params{"scope": "openid read:x"},
		},
		{
			"scopes that are only white space are none", func(c *tokenward.Config) { c.Scopes = "  " },
			tokenward.LoginRequest{AuthorizationParams: params{"scope": " \t"}},
			params{"scope": usual},
		},
		{"a map of scopes, the audience configured", forMap, tokenward.LoginRequest{}, params{"audience": apiA, "scope": "openid email profile"}},
		{
			"a map of scopes, another audience", forMap,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiB}},
			params{"audience": apiB, "scope": "openid read:x write:x"},
		},
		{
			"a map of scopes without the audience", forMap,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiC}},
			params{"audience": apiC, "scope": usual},
		},
		{
			"a map of scopes without the audience, scopes of the call", forMap,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiC, "scope": "z z y"}},
			params{"audience": apiC, "scope": "openid z y"},
		},
		{
			"an empty map of scopes", func(c *tokenward.Config) { c.ScopesFor = map[string]string{} },
			tokenward.LoginRequest{},
			params{"scope": usual},
		},
		{
			"other parameters pass, those of the call over the configured",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"prompt": "login", "ui_locales": "de", "connection": "a b&c"}
			},
			tokenward.LoginRequest{AuthorizationParams: params{"prompt": "consent", "login_hint": "ada@example.com"}},
			params{"scope": usual, "prompt": "consent", "ui_locales": "de", "connection": "a b&c", "login_hint": "ada@example.com"},
		},
		{
			"audience and scope among the configured parameters",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"audience": apiA, "scope": "openid read:x"} },
			tokenward.LoginRequest{},
			params{"audience": apiA, "scope": "openid read:x"},
		},
		{
			"protected parameters are dropped",
			func(c *tokenward.Config) { c.AuthorizationParams = protected("configured") },
			tokenward.LoginRequest{AuthorizationParams: protected("call")},
			params{"scope": usual},
		},
		{
			"secrets don't travel through a browser",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"client_secret": "x"} },
			tokenward.LoginRequest{AuthorizationParams: params{"client_assertion": "x", "client_assertion_type": "y"}},
			params{"scope": usual},
		},
		{
			"redirect_uri of the call",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"redirect_uri": "http://127.0.0.1/configured"}
			},
			tokenward.LoginRequest{AuthorizationParams: params{"redirect_uri": "http://127.0.0.1/call?a=b"}},
			params{"scope": usual, "redirect_uri": "http://127.0.0.1/call?a=b"},
		},
		{
			"redirect_uri of the configured parameters",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"redirect_uri": "http://127.0.0.1/configured"}
			},
			tokenward.LoginRequest{},
			params{"scope": usual, "redirect_uri": "http://127.0.0.1/configured"},
		},
		{
			"an organization", nil,
			tokenward.LoginRequest{Organization: "org_1", Invitation: "inv"},
			params{"scope": usual, "organization": "org_1", "invitation": "inv"},
		},
		{
			"the organization of the configuration", func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{},
			params{"scope": usual, "organization": "org_0"},
		},
		{
			"the organization of the call", func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{Organization: "org_1"},
			params{"scope": usual, "organization": "org_1"},
		},
		{
			"organization and invitation win over parameters",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"organization": "org_2"} },
			tokenward.LoginRequest{Organization: "org_1", Invitation: "inv", AuthorizationParams: params{"organization": "org_3", "invitation": "no"}},
			params{"scope": usual, "organization": "org_1", "invitation": "inv"},
		},
		{
			"the configured organization wins over parameters",
			func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{AuthorizationParams: params{"organization": "org_3"}},
			params{"scope": usual, "organization": "org_0"},
		},
		{
			"an organization among the parameters", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"organization": "org_3", "invitation": "inv"}},
			params{"scope": usual, "organization": "org_3", "invitation": "inv"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withConfig(func(c *tokenward.Config) {
				if tt.config != nil {
					tt.config(c)
				}
			}))
			got := r.begin(tt.req)
			if !alphanumeric(32).MatchString(got.Get("state")) {
				t.Errorf("state = %q, want 32 letters and digits", got.Get("state"))
			}
			if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(got.Get("code_challenge")) {
				t.Errorf("code_challenge = %q", got.Get("code_challenge"))
			}
			want := url.Values{
				"response_type": {"code"}, "client_id": {"demo"}, "code_challenge_method": {"S256"}, "redirect_uri": {"http://127.0.0.1/callback"},
				"state": got["state"], "code_challenge": got["code_challenge"],
			}
			for k, v := range tt.want {
				want.Set(k, v)
			}
			wantForm(t, "authorize", got, want)
		})
	}
}

func protected(v string) map[string]string {
	m := map[string]string{}
	for _, k := range []string{"client_id", "response_type", "code_challenge", "code_challenge_method", "state", "nonce"} {
		m[k] = v
	}
	return m
}

func alphanumeric(n int) *regexp.Regexp {
	return regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9]{%d}$`, n))
}

// wantForm fails unless the parameters are exactly these.
func wantForm(t testing.TB, what string, got, want url.Values) {
	t.Helper()
	names := slices.Sorted(maps.Keys(got))
	for k := range want {
		if !got.Has(k) {
			names = append(names, k)
		}
	}
	for _, k := range names {
		if !slices.Equal(got[k], want[k]) {
			t.Errorf("%s: %s = %q, want %q", what, k, got[k], want[k])
		}
	}
}

func TestStart_isNewEachTime(t *testing.T) {
	r := newRig(t)
	one, two := r.begin(tokenward.LoginRequest{}), r.begin(tokenward.LoginRequest{})
	for _, p := range []string{"state", "code_challenge"} {
		if one.Get(p) == two.Get(p) {
			t.Errorf("%s is %q twice", p, one.Get(p))
		}
	}
}

func TestStart_refusals(t *testing.T) {
	noRedirect := func(c *tokenward.Config) { c.RedirectURI = "" }
	t.Run("no redirect URI", func(t *testing.T) {
		r := newRig(t, withConfig(noRedirect))
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		e := asError[*tokenward.MissingRequiredArgumentError](t, "start", err, "missing_required_argument_error")
		if e != nil && e.Argument != "redirect_uri" {
			t.Errorf("argument = %q", e.Argument)
		}
	})
	blank := map[string]tokenward.LoginRequest{
		"typed":     {Organization: " \t"},
		"parameter": {AuthorizationParams: map[string]string{"organization": "  "}},
	}
	for name, req := range blank {
		t.Run("blank organization, "+name, func(t *testing.T) {
			r := newRig(t)
			_, err := r.client.StartInteractiveLogin(t.Context(), req, tokenward.StoreOptions{})
			e := asError[*tokenward.InvalidArgumentError](t, "start", err, "invalid_argument")
			if e != nil && e.Argument != "organization" {
				t.Errorf("argument = %q", e.Argument)
			}
		})
	}
	t.Run("blank organization, configured", func(t *testing.T) {
		r := newRig(t, withConfig(func(c *tokenward.Config) { c.Organization = " " }))
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		wantError[*tokenward.InvalidArgumentError](t, "start", err, "invalid_argument")
	})
	t.Run("discovery comes first", func(t *testing.T) {
		r := newRig(t, withConfig(noRedirect))
		r.tenant.Script(idptest.Discovery, idptest.Status(500))
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		wantError[*tokenward.APIError](t, "start", err, "metadata_error")
	})
	t.Run("no authorization endpoint", func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "authorization_endpoint") }))
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
		wantError[*tokenward.APIError](t, "start", err, "configuration_error")
	})
	t.Run("app state that JSON cannot say", func(t *testing.T) {
		r := newRig(t)
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{AppState: make(chan int)}, tokenward.StoreOptions{})
		e := asError[*tokenward.InvalidArgumentError](t, "start", err, "invalid_argument")
		if e != nil && e.Argument != "app_state" {
			t.Errorf("argument = %q", e.Argument)
		}
	})
}

// withTransactions gives the rig a client whose transaction store a test can watch.
func (r *rig) withTransactions() *storetest.FaultyTransactions {
	tx := storetest.NewFaultyTransactions(store.NewTransactions(r.clock))
	r.client = r.newClient(tokenward.WithTransactionStore(tx))
	return tx
}

// The transaction is written before the URL is known; a URL without one would lead nowhere.
func TestStart_writesTheTransactionFirst(t *testing.T) {
	r := newRig(t)
	tx := r.withTransactions()
	tx.Fail(storetest.OpPut, 1)
	to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
	if to != "" || !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
		t.Errorf("with a failing store: URL %q, err %v, want none and the store's error", to, err)
	}
	r.begin(tokenward.LoginRequest{})
	if n := tx.Count(storetest.OpPut); n != 2 {
		t.Errorf("puts = %d, want 2", n)
	}
}

// What a transaction holds is sealed, and stands under its state.
func TestStart_sealsTheTransaction(t *testing.T) {
	r := newRig(t)
	kept := &recordingTransactions{TransactionStore: store.NewTransactions(r.clock)}
	r.client = r.newClient(tokenward.WithTransactionStore(kept))
	back := r.callback(tokenward.LoginRequest{AppState: "canary"})
	u, _ := url.Parse(back)
	if want := "_a0_tx:" + u.Query().Get("state"); kept.key != want {
		t.Errorf("key = %q, want %q", kept.key, want)
	}
	if kept.ttl != time.Hour {
		t.Errorf("ttl = %v, want 1h", kept.ttl)
	}
	if _, err := r.complete(back); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"canary", "code_verifier", r.tenant.LastForm(idptest.CodeExchange).Get("code_verifier")} {
		if strings.Contains(string(kept.data), s) {
			t.Errorf("the stored transaction shows %q", s)
		}
	}
}

func TestComplete_orderOfChecks(t *testing.T) {
	t.Run("1: no state", func(t *testing.T) {
		r := newRig(t)
		tx := r.withTransactions()
		back := r.callback(tokenward.LoginRequest{})
		for _, u := range []string{with(back, "state", ""), with(back, "state", "", "error", "access_denied"), strings.Replace(back, "?", "#", 1)} {
			_, err := r.complete(u)
			e := asError[*tokenward.MissingRequiredArgumentError](t, u, err, "missing_required_argument_error")
			if e != nil && e.Argument != "state" {
				t.Errorf("argument = %q", e.Argument)
			}
		}
		if n := tx.Count(storetest.OpGet) + tx.Count(storetest.OpTake); n != 0 {
			t.Errorf("the transaction store was asked %d times, want 0", n)
		}
		if _, err := r.complete(back); err != nil {
			t.Errorf("the login afterwards: %v", err)
		}
	})
	t.Run("2: unknown state, before an error is looked at", func(t *testing.T) {
		r := newRig(t)
		for _, u := range []string{"http://127.0.0.1/callback?state=made-up&code=c", "http://127.0.0.1/callback?state=made-up&error=access_denied", "http://127.0.0.1/callback?state=made-up"} {
			_, err := r.complete(u)
			wantError[*tokenward.MissingTransactionError](t, u, err, "missing_transaction_error")
		}
		if n := r.tenant.Requests(idptest.Any); n != 0 {
			t.Errorf("requests = %d, want 0", n)
		}
	})
	t.Run("3: the provider's error", func(t *testing.T) {
		r := newRig(t)
		back := with(r.callback(tokenward.LoginRequest{}), "error", "access_denied", "error_description", "No thanks.")
		_, err := r.complete(back)
		e := asError[*tokenward.APIError](t, "callback", err, "access_denied")
		if e != nil && e.Description != "No thanks." {
			t.Errorf("description = %q", e.Description)
		}
		r.wantSpent("callback", back)
		if n := r.tenant.Requests(idptest.CodeExchange); n != 0 {
			t.Errorf("code exchanges = %d, want 0", n)
		}
	})
	t.Run("4: no code", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		for range 2 {
			_, err := r.complete(with(back, "code", ""))
			e := asError[*tokenward.MissingRequiredArgumentError](t, "callback", err, "missing_required_argument_error")
			if e != nil && e.Argument != "code" {
				t.Errorf("argument = %q", e.Argument)
			}
		}
		if _, err := r.complete(back); err != nil {
			t.Errorf("the transaction did not stay: %v", err)
		}
	})
	t.Run("9: the store fails", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		r.store.Fail(storetest.OpReplace, 1)
		res, err := r.complete(back)
		if res != nil || !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
			t.Errorf("result %v, err %v, want the store's error", res, err)
		}
		r.wantNothingStored("callback")
		r.wantSpent("callback", back)
	})
	t.Run("10: success", func(t *testing.T) {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{})
		if _, err := r.complete(back); err != nil {
			t.Fatal(err)
		}
		r.wantSpent("callback", back)
		if n := r.tenant.Requests(idptest.CodeExchange); n != 1 {
			t.Errorf("code exchanges = %d, want 1", n)
		}
	})
	t.Run("a URL that is none", func(t *testing.T) {
		r := newRig(t)
		_, err := r.complete("http://127.0.0.1/\x7f?state=canary")
		wantError[*tokenward.InvalidArgumentError](t, "callback", err, "invalid_argument")
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%v quotes the URL", err)
		}
	})
}

// 5: whatever the token endpoint does, the code is spent and nothing stored.
func TestComplete_tokenEndpointFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  idptest.Fault
		status int
		cause  string // an OAuth error code in what the error says
	}{
		{"refused", idptest.OAuthError("invalid_grant", "Expired."), 403, "invalid_grant"},
		{"the client is refused", idptest.OAuthError("invalid_client", "Who?"), 401, "invalid_client"},
		{"500", idptest.Status(500), 500, ""},
		{"503 with JSON that is no object", idptest.Respond(503, "application/json", `"busy"`), 503, ""},
		{"reset", idptest.ResetConn(), 0, ""},
		{"cut", idptest.Cut(), 200, ""},
		{"truncated", idptest.Truncated(), 200, ""},
		{"a web page", idptest.Garbage(), 200, ""},
		{"no object", idptest.Respond(200, "application/json", "[]"), 200, ""},
		{"no access token", idptest.Respond(200, "application/json", `{"id_token":"x"}`), 200, ""},
		{"an access token that is a number", idptest.Respond(200, "application/json", `{"access_token":5}`), 200, ""},
		{"more than 1 MiB", idptest.HugeBody(1<<20 + 4096), 200, ""},
		{"a redirect", idptest.Redirect(http.StatusTemporaryRedirect, ""), 307, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{})
			r.tenant.Script(idptest.CodeExchange, tt.fault)
			_, err := r.complete(back)
			e := asError[*tokenward.APIError](t, "callback", err, "token_error")
			if e != nil && e.Status != tt.status && tt.name != "cut" {
				t.Errorf("status = %d, want %d", e.Status, tt.status)
			}
			if err != nil && !strings.Contains(err.Error(), tt.cause) {
				t.Errorf("%v does not say %s", err, tt.cause)
			}
			var cause *tokenward.APIError
			if e != nil && tt.cause != "" && (!errors.As(e.Err, &cause) || string(cause.Code) != tt.cause) {
				t.Errorf("cause = %v, want the OAuth error %s", e.Err, tt.cause)
			}
			r.wantNothingStored("callback")
			r.wantSpent("callback", back)
			if n := r.tenant.Requests(idptest.CodeExchange); n != 1 {
				t.Errorf("code exchanges = %d, want 1", n)
			}
			if s := r.tenant.Spilled(); len(s) > 0 {
				t.Errorf("a redirect took along %v", s)
			}
		})
	}
}

// 2.6: every check of the ID token, before anything is kept.
func TestComplete_IDTokenChecks(t *testing.T) {
	set := func(claim string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Claims[claim] = v }
	}
	drop := func(claim string) func(*idptest.Draft) {
		return func(d *idptest.Draft) { delete(d.Claims, claim) }
	}
	header := func(name string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Header[name] = v }
	}
	now := t0.Unix()
	const organization, issuer = "organization_token_validation_error", "issuer_validation_error"
	tests := []struct {
		name string
		org  string
		edit func(*idptest.Draft)
		want tokenward.Code // empty: the login succeeds
	}{
		{"as it is", "", func(*idptest.Draft) {}, ""},
		{"unknown kid", "", header("kid", "nobody"), "jwks_key_not_found"},
		{"alg none", "", header("alg", "none"), "invalid_token"},
		{"alg HS256", "", header("alg", "HS256"), "invalid_token"},
		{"alg that is not configured", "", header("alg", "RS512"), "invalid_token"},
		{"altered signature", "", func(d *idptest.Draft) { d.BrokenSignature = true }, "invalid_signature"},
		{"signed by another key", "", func(d *idptest.Draft) { d.WrongKey = true }, "invalid_signature"},
		{"no JWT", "", func(d *idptest.Draft) { d.Raw = "not a token" }, "invalid_token"},
		{"left out", "", func(d *idptest.Draft) { d.Omit = true }, "invalid_response"},
		{"left out, an organization was asked for", "org_1", func(d *idptest.Draft) { d.Omit = true }, organization},

		{"for another client", "", set("aud", "other"), "invalid_audience"},
		{"for other clients", "", set("aud", []string{"other", "another"}), "invalid_audience"},
		{"no aud", "", drop("aud"), "invalid_token"},
		{"aud in a list", "", set("aud", []string{"demo"}), ""},
		{"several aud, no azp", "", set("aud", []string{"demo", "other"}), "invalid_token"},
		{"several aud, another azp", "", func(d *idptest.Draft) {
			d.Claims["aud"], d.Claims["azp"] = []string{"demo", "other"}, "other"
		}, "invalid_token"},
		{"several aud, azp is this client", "", func(d *idptest.Draft) {
			d.Claims["aud"], d.Claims["azp"] = []string{"demo", "other"}, "demo"
		}, ""},

		{"no exp", "", drop("exp"), "token_expired"},
		{"exp past", "", set("exp", now-31), "token_expired"},
		{"exp past, within the leeway", "", set("exp", now-29), ""},
		{"iat in the future", "", set("iat", now+31), "invalid_token"},
		{"iat in the future, within the leeway", "", set("iat", now+30), ""},
		{"no iat", "", drop("iat"), ""},
		{"nbf in the future", "", set("nbf", now+31), "invalid_token"},
		{"nbf in the future, within the leeway", "", set("nbf", now+30), ""},

		{"another issuer", "", set("iss", "https://other.example/"), issuer},
		{"no issuer", "", drop("iss"), issuer},
		{"the issuer without its slash", "", func(d *idptest.Draft) {
			d.Claims["iss"] = strings.TrimRight(d.Claims["iss"].(string), "/")
		}, ""},
		{"the issuer's scheme in capitals", "", func(d *idptest.Draft) {
			d.Claims["iss"] = strings.Replace(d.Claims["iss"].(string), "http:", "HTTP:", 1)
		}, ""},

		{"the organization", "org_1", func(*idptest.Draft) {}, ""},
		{"another organization", "org_1", set("org_id", "org_2"), organization},
		{"the organization in capitals", "org_1", set("org_id", "ORG_1"), organization},
		{"no organization", "org_1", drop("org_id"), organization},
		{"an organization that is a number", "org_1", set("org_id", 1), organization},
		{"the organization under its name only", "org_1", func(d *idptest.Draft) {
			delete(d.Claims, "org_id")
			d.Claims["org_name"] = "org_1"
		}, organization},
		{"an organization's name", "Acme", set("org_name", "acme"), ""},
		{"an organization's name in capitals", "acme", set("org_name", "ACME"), ""},
		{"an organization's name, composed and decomposed", "caf\u00e9", set("org_name", "CAFE\u0301"), ""},
		{"another organization's name", "acme", set("org_name", "acme2"), organization},
		{"no organization's name", "acme", drop("org_name"), organization},
		{"an organization nobody asked for", "", set("org_id", "org_9"), ""},

		{"no sub", "", drop("sub"), "invalid_token"},
		{"an empty sub", "", set("sub", ""), "invalid_token"},
		{"a sub that is a number", "", set("sub", 5), "invalid_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withTenant(idptest.WithIDToken(tt.edit)))
			back := r.callback(tokenward.LoginRequest{Organization: tt.org})
			_, err := r.complete(back)
			switch tt.want {
			case "":
				if err != nil {
					t.Fatalf("err = %v", err)
				}
				return
			case organization:
				wantError[*tokenward.OrganizationTokenValidationError](t, "callback", err, tt.want)
			case issuer:
				wantError[*tokenward.IssuerValidationError](t, "callback", err, tt.want)
			default:
				wantError[*tokenward.APIError](t, "callback", err, tt.want)
			}
			r.wantNothingStored("callback")
			r.wantSpent("callback", back)
		})
	}
}

// An organization that only stands among the parameters is sent and not checked.
func TestComplete_checksNoOrganizationOfParameters(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithIDToken(func(d *idptest.Draft) { delete(d.Claims, "org_id") })))
	_, err := r.complete(r.callback(tokenward.LoginRequest{AuthorizationParams: map[string]string{"organization": "org_1"}}))
	if err != nil {
		t.Error(err)
	}
}

// The organization that the configuration names is checked like a typed one.
func TestComplete_checksTheConfiguredOrganization(t *testing.T) {
	r := newRig(t, withConfig(func(c *tokenward.Config) { c.Organization = "org_1" }),
		withTenant(idptest.WithIDToken(func(d *idptest.Draft) { d.Claims["org_id"] = "org_2" })))
	_, err := r.complete(r.callback(tokenward.LoginRequest{}))
	wantError[*tokenward.OrganizationTokenValidationError](t, "callback", err, "organization_token_validation_error")
}

// A new signing key is fetched once when a token names it, and no login fails.
func TestComplete_fetchesANewKey(t *testing.T) {
	r := newRig(t)
	r.login()
	r.tenant.RotateKeys()
	r.clock.Advance(time.Minute)
	r.login()
	r.login()
	if n := r.tenant.Requests(idptest.JWKS); n != 2 {
		t.Errorf("JWKS requests = %d, want 2", n)
	}
	if n := r.tenant.Requests(idptest.Discovery); n != 1 {
		t.Errorf("discovery requests = %d, want 1", n)
	}
}

func TestComplete_keysThatCannotBeHad(t *testing.T) {
	t.Run("no jwks_uri", func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "jwks_uri") }))
		_, err := r.complete(r.callback(tokenward.LoginRequest{}))
		wantError[*tokenward.APIError](t, "callback", err, "missing_jwks_uri")
		r.wantNothingStored("callback")
	})
	t.Run("fetch fails", func(t *testing.T) {
		r := newRig(t)
		r.tenant.Script(idptest.JWKS, idptest.Status(500).Always())
		_, err := r.complete(r.callback(tokenward.LoginRequest{}))
		wantError[*tokenward.APIError](t, "callback", err, "jwks_fetch_error")
		r.wantNothingStored("callback")
	})
}

// A userinfo object in the token response is no ID token.
func TestComplete_takesNoUserinfo(t *testing.T) {
	r := newRig(t)
	r.tenant.Script(idptest.CodeExchange, idptest.Edit(func(b map[string]any) {
		delete(b, "id_token")
		b["userinfo"] = map[string]any{"sub": "mallory"}
	}))
	_, err := r.complete(r.callback(tokenward.LoginRequest{}))
	wantError[*tokenward.APIError](t, "callback", err, "invalid_response")
	r.wantNothingStored("callback")
}

// 8: a ceiling that is past refuses the login; what is stored before stays.
func TestComplete_ceilingPast(t *testing.T) {
	r := newRig(t)
	id := r.loginAs(tokenward.SessionID("mine"))
	before := r.store.Replaces()
	back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"session_expiry": t0.Unix() - 5})
	_, err := r.client.CompleteInteractiveLogin(t.Context(), back, tokenward.SessionID(id))
	e := asError[*tokenward.SessionExpiredError](t, "callback", err, "session_expired")
	if !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("%v is not ErrSessionExpired", err)
	}
	if e != nil && regexp.MustCompile(`[0-9]`).MatchString(e.Error()) {
		t.Errorf("%q tells a time", e)
	}
	r.wantSpent("callback", back)
	if n := r.store.Replaces(); n != before {
		t.Errorf("replaces = %d, want %d", n, before)
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("the session before: %v, %v", u, err)
	}
}

// The upstream rule looks at iat alone; here the later of iat and now counts.
func TestComplete_ceilingAgainstTheLaterOfIssueAndNow(t *testing.T) {
	now := t0.Unix()
	tests := []struct {
		name    string
		iat     any
		ceiling int64
		refused bool
	}{
		{"30 s ahead", now, now + 30, true},
		{"31 s ahead", now, now + 31, false},
		{"issued long ago, ceiling between then and now", now - 300, now - 100, true},
		{"issued long ago, 31 s ahead", now - 300, now + 31, false},
		{"issued in the future, 30 s after that", now + 20, now + 50, true},
		{"issued in the future, 31 s after that", now + 20, now + 51, false},
		{"no iat, 30 s ahead", idptest.Absent, now + 30, true},
		{"no iat, 31 s ahead", idptest.Absent, now + 31, false},
		{"iat of zero counts for nothing", 0, now + 31, false},
		{"1", now, 1, true},
	}
	for _, tt := range tests {
		r := newRig(t)
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"session_expiry": tt.ceiling, "iat": tt.iat})
		if refused := errors.Is(err, tokenward.ErrSessionExpired); refused != tt.refused || !refused && err != nil {
			t.Errorf("%s: err = %v, want refused: %v", tt.name, err, tt.refused)
		}
	}
}

// A transaction is single use: of any number of callbacks at once one succeeds.
func TestComplete_callbacksAtOnce(t *testing.T) {
	for _, n := range []int{2, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{})
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() { _, errs[i] = r.complete(back) })
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
					continue
				}
				wantError[*tokenward.MissingTransactionError](t, "callback", err, "missing_transaction_error")
			}
			if won != 1 {
				t.Errorf("successes = %d, want 1", won)
			}
			if got := r.tenant.Requests(idptest.CodeExchange); got != 1 {
				t.Errorf("code exchanges = %d, want 1", got)
			}
			if got := r.memory.Len(); got != 1 {
				t.Errorf("sessions = %d, want 1", got)
			}
		})
	}
}

func TestComplete_oneHour(t *testing.T) {
	r := newRig(t)
	young, old := r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{}), r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{})
	r.clock.Advance(time.Hour - time.Second)
	back, err := r.tenant.Authorize(young)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.complete(back); err != nil {
		t.Errorf("a login of 59:59: %v", err)
	}
	if back, err = r.tenant.Authorize(old); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(2 * time.Second)
	_, err = r.complete(back)
	wantError[*tokenward.MissingTransactionError](t, "a login of 60:01", err, "missing_transaction_error")
}

// A store that drops nothing by itself does not make logins live longer.
func TestComplete_oneHourWithAStoreThatForgetsNothing(t *testing.T) {
	r := newRig(t)
	r.client = r.newClient(tokenward.WithTransactionStore(&recordingTransactions{TransactionStore: store.NewTransactions(r.clock), forever: true}))
	to := r.start(tokenward.LoginRequest{}, tokenward.StoreOptions{})
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Hour + time.Second)
	_, err = r.complete(back)
	wantError[*tokenward.MissingTransactionError](t, "a login of 60:01", err, "missing_transaction_error")
}

// Two tabs: each login has a transaction of its own.
func TestComplete_twoLoginsAtOnce(t *testing.T) {
	r := newRig(t)
	one, two := r.callback(tokenward.LoginRequest{AppState: 1}), r.callback(tokenward.LoginRequest{AppState: 2})
	for i, back := range []string{two, one} {
		res, err := r.complete(back)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(2 - i); string(res.AppState) != want {
			t.Errorf("app state = %s, want %s", res.AppState, want)
		}
	}
}

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

// state reads what is stored of a session.
func (r *rig) state(id string) *session.State {
	r.t.Helper()
	key := session.KeyOf("_a0_session", id)
	rec, err := r.memory.Load(r.t.Context(), key, store.Options{})
	if err != nil {
		r.t.Fatalf("load: %v", err)
	}
	s, err := r.codec().Decode(key, rec)
	if err != nil {
		r.t.Fatalf("decode: %v", err)
	}
	return s
}

func (r *rig) codec() *store.Codec {
	r.t.Helper()
	sealer, err := store.NewSealer("_a0_session", randomness{}, secret)
	if err != nil {
		r.t.Fatal(err)
	}
	return &store.Codec{Sealer: sealer, Domain: r.tenant.Issuer()}
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
	if s.User.Sub() != idptest.Subject || s.User.Nickname() != "ada" || s.User.Email() != "ada@example.com" || int64(s.User.SessionExpiry()) != ceiling {
		t.Errorf("user = %v", s.User)
	}
	if roles, _ := s.User["https://app.example/roles"].([]any); len(roles) != 1 || roles[0] != "admin" {
		t.Errorf("an unknown claim became %v", s.User["https://app.example/roles"])
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
	if s.User.Sub() != "auth0|bob" || s.User["family_name"] != nil || s.User["session_expiry"] != nil {
		t.Errorf("user = %v", s.User)
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

// 2.3: with PAR the parameters go to the provider first, and the browser brings only a
// reference to them.
func TestStart_pushed(t *testing.T) {
	on := tokenward.WithPushedAuthorization(true)
	yes, no := true, false
	tests := []struct {
		name   string
		option tokenward.Option
		req    tokenward.LoginRequest
		pushed bool
	}{
		{"by the option", on, tokenward.LoginRequest{}, true},
		{"by the call", tokenward.WithPushedAuthorization(false), tokenward.LoginRequest{Pushed: &yes}, true},
		{"not, says the call", on, tokenward.LoginRequest{Pushed: &no}, false},
		{"not by default", tokenward.WithLeeway(0), tokenward.LoginRequest{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withClient(tt.option))
			q := r.begin(tt.req)
			if n := r.tenant.Requests(idptest.PAR); (n == 1) != tt.pushed {
				t.Fatalf("pushed requests = %d", n)
			}
			if !tt.pushed {
				return
			}
			wantForm(t, "authorize", q, url.Values{"client_id": {"demo"}, "response_type": {"code"}, "request_uri": {q.Get("request_uri")}})
			form := r.tenant.LastForm(idptest.PAR)
			wantForm(t, "pushed", form, url.Values{
				"response_type": {"code"}, "client_id": {"demo"}, "code_challenge_method": {"S256"}, "redirect_uri": {"http://127.0.0.1/callback"},
				"scope": {"openid profile email offline_access"}, "state": form["state"], "code_challenge": form["code_challenge"],
			})
			if a := r.tenant.LastAuth(idptest.PAR); a != idptest.AuthBasic {
				t.Errorf("authenticated by %s", a)
			}
			if _, err := r.complete(r.callback(tt.req)); err != nil {
				t.Error(err)
			}
		})
	}
	failures := []struct {
		name  string
		kind  idptest.Kind
		fault idptest.Fault
		code  tokenward.Code
	}{
		{"refused", idptest.PAR, idptest.OAuthError("invalid_request", "No."), "invalid_request"},
		{"500", idptest.PAR, idptest.Status(500), "par_error"},
		{"no request_uri", idptest.PAR, idptest.Respond(201, "application/json", "{}"), "par_error"},
		{"204", idptest.PAR, idptest.Respond(204, "", ""), "par_error"},
		{"no endpoint", idptest.Discovery, idptest.Edit(func(b map[string]any) { delete(b, "pushed_authorization_request_endpoint") }), "configuration_error"},
		{"200 is success", idptest.PAR, idptest.Respond(200, "application/json", `{"request_uri":"urn:a b&c"}`), ""},
	}
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withClient(on))
			tx := storetest.NewFaultyTransactions(store.NewTransactions(r.clock))
			r.client = r.newClient(on, tokenward.WithTransactionStore(tx))
			r.tenant.Script(tt.kind, tt.fault)
			to, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{}, tokenward.StoreOptions{})
			if tt.code == "" {
				if u, _ := url.Parse(to); err != nil || u.Query().Get("request_uri") != "urn:a b&c" {
					t.Errorf("to %q, err %v", to, err)
				}
				return
			}
			wantError[*tokenward.APIError](t, "start", err, tt.code)
			if n := tx.Count(storetest.OpPut); n != 0 {
				t.Errorf("transactions written = %d, want 0", n)
			}
		})
	}
}

// The challenge in the URL is that of the verifier that the code exchange shows.
func TestComplete_PKCE(t *testing.T) {
	r := newRig(t)
	q := r.begin(tokenward.LoginRequest{})
	to := r.tenant.URL("/authorize") + "?" + q.Encode()
	back, err := r.tenant.Authorize(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.complete(back); err != nil {
		t.Fatal(err)
	}
	verifier := r.tenant.LastForm(idptest.CodeExchange).Get("code_verifier")
	if !alphanumeric(64).MatchString(verifier) || idp.Challenge(verifier) != q.Get("code_challenge") {
		t.Errorf("verifier %q does not fit the challenge %q", verifier, q.Get("code_challenge"))
	}
}
