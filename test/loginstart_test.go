package test_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestStart_authorizeParameters(t *testing.T) {
	const standard = "openid profile email offline_access"
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
		{"nothing configured", nil, tokenward.LoginRequest{}, params{"scope": standard}},
		{
			"the audience of the configuration", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{},
			params{"scope": standard, "audience": apiA},
		},
		{
			"the audience of the call wins", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiB}},
			params{"scope": standard, "audience": apiB},
		},
		{
			"an empty audience of the call is none", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{AuthorizationParams: params{"audience": ""}},
			params{"scope": standard, "audience": apiA},
		},
		{
			"no audience at all is omitted", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": ""}},
			params{"scope": standard},
		},
		{
			"default stands for no audience", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": "default"}},
			params{"scope": standard},
		},
		{
			"a configured audience that is called default", func(c *tokenward.Config) { c.Audience = "default" },
			tokenward.LoginRequest{},
			params{"scope": standard, "audience": "default"},
		},
		{
			"default beside another configured audience", func(c *tokenward.Config) { c.Audience = apiA },
			tokenward.LoginRequest{AuthorizationParams: params{"audience": "default"}},
			params{"scope": standard, "audience": "default"},
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
			params{"scope": standard},
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
			params{"audience": apiC, "scope": standard},
		},
		{
			"a map of scopes without the audience, scopes of the call", forMap,
			tokenward.LoginRequest{AuthorizationParams: params{"audience": apiC, "scope": "z z y"}},
			params{"audience": apiC, "scope": "openid z y"},
		},
		{
			"an empty map of scopes", func(c *tokenward.Config) { c.ScopesFor = map[string]string{} },
			tokenward.LoginRequest{},
			params{"scope": standard},
		},
		{
			"other parameters pass, those of the call over the configured",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"prompt": "login", "ui_locales": "de", "connection": "a b&c"}
			},
			tokenward.LoginRequest{AuthorizationParams: params{"prompt": "consent", "login_hint": "ada@example.com"}},
			params{"scope": standard, "prompt": "consent", "ui_locales": "de", "connection": "a b&c", "login_hint": "ada@example.com"},
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
			params{"scope": standard},
		},
		{
			"secrets don't travel through a browser",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"client_secret": "x"} },
			tokenward.LoginRequest{AuthorizationParams: params{"client_assertion": "x", "client_assertion_type": "y"}},
			params{"scope": standard},
		},
		{
			"redirect_uri of the call",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"redirect_uri": "http://127.0.0.1/configured"}
			},
			tokenward.LoginRequest{AuthorizationParams: params{"redirect_uri": "http://127.0.0.1/call?a=b"}},
			params{"scope": standard, "redirect_uri": "http://127.0.0.1/call?a=b"},
		},
		{
			"redirect_uri of the configured parameters",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"redirect_uri": "http://127.0.0.1/configured"}
			},
			tokenward.LoginRequest{},
			params{"scope": standard, "redirect_uri": "http://127.0.0.1/configured"},
		},
		{
			"an empty redirect_uri of the call is none",
			func(c *tokenward.Config) {
				c.AuthorizationParams = params{"redirect_uri": "http://127.0.0.1/configured"}
			},
			tokenward.LoginRequest{AuthorizationParams: params{"redirect_uri": ""}},
			params{"scope": standard, "redirect_uri": "http://127.0.0.1/configured"},
		},
		{
			"an empty parameter is not sent",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"prompt": "login", "ui_locales": ""} },
			tokenward.LoginRequest{AuthorizationParams: params{"prompt": "", "organization": "", "invitation": ""}},
			params{"scope": standard},
		},
		{
			"an organization", nil,
			tokenward.LoginRequest{Organization: "org_1", Invitation: "inv"},
			params{"scope": standard, "organization": "org_1", "invitation": "inv"},
		},
		{
			"the organization of the configuration", func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{},
			params{"scope": standard, "organization": "org_0"},
		},
		{
			"the organization of the call", func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{Organization: "org_1"},
			params{"scope": standard, "organization": "org_1"},
		},
		{
			"organization and invitation win over parameters",
			func(c *tokenward.Config) { c.AuthorizationParams = params{"organization": "org_2"} },
			tokenward.LoginRequest{Organization: "org_1", Invitation: "inv", AuthorizationParams: params{"organization": "org_3", "invitation": "no"}},
			params{"scope": standard, "organization": "org_1", "invitation": "inv"},
		},
		{
			"the configured organization wins over parameters",
			func(c *tokenward.Config) { c.Organization = "org_0" },
			tokenward.LoginRequest{AuthorizationParams: params{"organization": "org_3"}},
			params{"scope": standard, "organization": "org_0"},
		},
		{
			"an organization among the parameters", nil,
			tokenward.LoginRequest{AuthorizationParams: params{"organization": "org_3", "invitation": "inv"}},
			params{"scope": standard, "organization": "org_3", "invitation": "inv"},
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

// 2.3: with PAR the parameters go to the provider first, and the browser brings only a
// reference to them.
func TestStart_pushed(t *testing.T) {
	on := withProvider(tokenward.ProviderConfig{PushedAuthorization: true})
	yes, no := true, false
	tests := []struct {
		name   string
		option tokenward.Option
		req    tokenward.LoginRequest
		pushed bool
	}{
		{"by the option", on, tokenward.LoginRequest{}, true},
		{"by the call", withProvider(tokenward.ProviderConfig{}), tokenward.LoginRequest{Pushed: &yes}, true},
		{"not, says the call", on, tokenward.LoginRequest{Pushed: &no}, false},
		{"not by default", withProvider(tokenward.ProviderConfig{}), tokenward.LoginRequest{}, false},
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
		{"500", idptest.PAR, idptest.Status(500), tokenward.CodePARError},
		{"no request_uri", idptest.PAR, idptest.Respond(201, "application/json", "{}"), tokenward.CodePARError},
		{"204", idptest.PAR, idptest.Respond(204, "", ""), tokenward.CodePARError},
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
