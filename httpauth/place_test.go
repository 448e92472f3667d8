package httpauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newClient returns a client with that redirect URI, whose provider is in this process.
func newClient(t testing.TB, redirectURI string, change ...func(*tokenward.Config)) (*tokenward.Client, *idptest.Tenant) {
	t.Helper()
	return newClientAt(t, clock.NewFake(epoch), redirectURI, change...)
}

func newClientAt(t testing.TB, clk *clock.Fake, redirectURI string, change ...func(*tokenward.Config)) (*tokenward.Client, *idptest.Tenant) {
	t.Helper()
	return newClientWith(t, clk, redirectURI, change)
}

func newClientWith(t testing.TB, clk *clock.Fake, redirectURI string, change []func(*tokenward.Config), opts ...tokenward.Option) (*tokenward.Client, *idptest.Tenant) {
	t.Helper()
	tenant := idptest.NewTenant(t, idptest.InProcess(), idptest.WithClock(clk), idptest.WithClient(idptest.ClientID, idptest.ClientSecret, redirectURI))
	cfg := tokenward.Config{
		Issuer: tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: redirectURI,
	}
	for _, f := range change {
		f(&cfg)
	}
	opts = append([]tokenward.Option{tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(clk), tokenward.WithHTTPClient(tenant.Client())}, opts...)
	client, err := tokenward.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return client, tenant
}

func newHandlers(t testing.TB, client *tokenward.Client, base string, opts ...httpauth.Option) *httpauth.Handlers {
	t.Helper()
	h, err := httpauth.New(client, base, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// visitor is a browser without a network: it sends requests to a handler and keeps the cookies.
type visitor struct {
	handler http.Handler
	base    string // scheme and host
	cookies map[string]string
}

func newVisitor(h http.Handler, base string) *visitor {
	return &visitor{handler: h, base: base, cookies: make(map[string]string)}
}

// get sends a GET with the Accept of a browser that asks for a page.
func (v *visitor) get(path string, header ...string) *httptest.ResponseRecorder {
	return v.send(http.MethodGet, path, nil, append([]string{"Accept", "text/html"}, header...)...)
}

func (v *visitor) send(method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, v.base+path, strings.NewReader(form.Encode()))
	r.RequestURI = path // as a server would have it
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	return w
}

// served answers every request with 200.
var served = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func TestNew_refusesWhatCannotBe(t *testing.T) {
	client, _ := newClient(t, "https://app.example/auth/callback")
	for _, base := range []string{
		"http://app.example", "https://app.example:8443", "https://www.app.example", "https://app.example/a//b", "https://app.example/a/../b", "https://äpp.example",
	} {
		if _, err := httpauth.New(client, base); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("New(%q): %v, want a configuration_error", base, err)
		}
	}
	for _, base := range []string{"https://app.example", "HTTPS://App.Example:443/", "https://app.example/under/"} {
		if _, err := httpauth.New(client, base); err != nil {
			t.Errorf("New(%q): %v", base, err)
		}
	}
	if _, err := httpauth.New(nil, "https://app.example"); tokenward.CodeOf(err) != "configuration_error" {
		t.Errorf("New without a client: %v, want a configuration_error", err)
	}
	named, _ := newClient(t, "https://app.example/auth/callback", func(c *tokenward.Config) {
		c.AuthorizationParams, c.RedirectURI = map[string]string{"redirect_uri": c.RedirectURI}, "https://unused.example/"
	})
	if _, err := httpauth.New(named, "https://app.example"); err != nil {
		t.Errorf("a redirect URI among the authorization parameters: %v", err)
	}
	none, _ := newClient(t, "")
	if _, err := httpauth.New(none, "https://app.example"); err != nil {
		t.Errorf("a redirect URI for each login: %v", err)
	}
}

// The prefix of Register is where Require sends browsers, unless LoginPath names another place.
func TestRegister_saysWhereTheLoginIs(t *testing.T) {
	tests := []struct {
		name, redirectURI, base, prefix string
		opts                            []httpauth.Option
		want                            string
	}{
		{"the usual", "https://app.example/auth/callback", "https://app.example", "/auth", nil, "/auth/login"},
		{"another", "https://app.example/oidc/callback", "https://app.example", "/oidc", nil, "/oidc/login"},
		{"of two segments", "https://app.example/a/b/callback", "https://app.example", "/a/b", nil, "/a/b/login"},
		{"outside ASCII", "https://app.example/%C3%BC/callback", "https://app.example", "/ü", nil, "/%C3%BC/login"},
		{"below a base path", "https://app.example/under/oidc/callback", "https://app.example/under", "/oidc", nil, "/under/oidc/login"},
		{"behind StripPrefix", "https://app.example/app/oidc/callback", "https://app.example", "/oidc", nil, "/app/oidc/login"},
		{"a login page of its own", "https://app.example/oidc/callback", "https://app.example", "/oidc", []httpauth.Option{httpauth.LoginPath("/welcome")}, "/welcome"},
		{"a redirect URI for each login", "", "https://app.example/under", "/oidc", nil, "/under/oidc/login"},
	}
	for _, tt := range tests {
		client, _ := newClient(t, tt.redirectURI)
		h := newHandlers(t, client, tt.base, tt.opts...)
		mux := http.NewServeMux()
		if err := h.Register(mux, tt.prefix); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		mux.Handle("/", h.Require(served))
		to := newVisitor(mux, "https://app.example").get("/page").Header().Get("Location")
		if at, _, _ := strings.Cut(to, "?"); at != tt.want {
			t.Errorf("%s: Require sends to %q, want %q", tt.name, to, tt.want)
		}
	}
}

// A user signs in under another prefix than the usual one, at a page that is behind Require.
func TestRegister_underAnotherPrefix(t *testing.T) {
	client, tenant := newClient(t, "https://app.example/oidc/callback")
	h, mux := newHandlers(t, client, "https://app.example"), http.NewServeMux()
	if err := h.Register(mux, "/oidc"); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", h.Require(served))
	v := newVisitor(mux, "https://app.example")
	begun := v.get(v.get("/page?a=b").Header().Get("Location"))
	back, err := tenant.Authorize(begun.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	done := v.get(strings.TrimPrefix(back, v.base))
	if to := done.Header().Get("Location"); to != "/page?a=b" {
		t.Errorf("the login leads to %q, want /page?a=b", to)
	}
	if w := v.get("/page?a=b"); w.Code != http.StatusOK {
		t.Errorf("signed in: %d %s", w.Code, w.Body)
	}
}

func TestRegister_refusesWrongPrefixes(t *testing.T) {
	client, _ := newClient(t, "https://app.example/auth/callback")
	for _, prefix := range []string{
		"", "/", "auth", "/auth/", "//auth", "/auth//x", "/{id}/auth", "/auth/{x...}", "/a b", "/auth ", " /auth", "/auth?x", "/auth#x", "/%61uth", "/./auth", "/x/../auth",
		"GET /auth", "app.example/auth", "https://app.example/auth", "/auth\n", `/au\th`, "/oidc", "/th", "/auth/callback",
	} {
		h := newHandlers(t, client, "https://app.example")
		mux := http.NewServeMux()
		if err := h.Register(mux, prefix); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("Register(%q): %v, want a configuration_error", prefix, err)
		}
		// Should the error be overlooked, Require says so instead of redirecting for ever.
		mux.Handle("/", h.Require(served))
		if w := newVisitor(mux, "https://app.example").get("/page"); w.Code != http.StatusInternalServerError || w.Header().Get("Location") != "" {
			t.Errorf("Register(%q), then Require: %d to %q, want 500", prefix, w.Code, w.Header().Get("Location"))
		}
	}
	h := newHandlers(t, client, "https://app.example/under")
	if err := h.Register(http.NewServeMux(), "/auth"); tokenward.CodeOf(err) != "configuration_error" {
		t.Errorf("a redirect URI that is not below the base URL: %v, want a configuration_error", err)
	}
	none, _ := newClient(t, "")
	h = newHandlers(t, none, "https://app.example")
	for prefix, want := range map[string]tokenward.Code{"/auth": "", "/oidc": "configuration_error"} {
		if prefix == "/oidc" {
			if err := h.Register(http.NewServeMux(), "/auth"); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Register(http.NewServeMux(), prefix); tokenward.CodeOf(err) != want {
			t.Errorf("Register(%q): %v, want %q", prefix, err, want)
		}
	}
}

// A proxy takes /under off; or a server of which this is one part does. Browsers see it in both.
func TestBaseURL_withAPath(t *testing.T) {
	const base = "https://app.example/under"
	for _, strips := range []string{"the proxy", "the server"} {
		client, tenant := newClient(t, base+"/auth/callback")
		h, mux := newHandlers(t, client, base), http.NewServeMux()
		if err := h.Register(mux, "/auth"); err != nil {
			t.Fatal(err)
		}
		mux.Handle("GET /me", h.Require(served))
		outside := map[string]string{"the proxy": "", "the server": "/under"}[strips]
		site := newVisitor(http.StripPrefix(outside, mux), "https://app.example")
		visit := func(seen string) *httptest.ResponseRecorder { // seen is the path that browsers see
			return site.get(outside + strings.TrimPrefix(seen, "/under"))
		}
		login := visit("/under/me?a=b").Header().Get("Location")
		if want := "/under/auth/login?return_to=" + url.QueryEscape("/under/me?a=b"); login != want {
			t.Errorf("%s: Require sends to %q, want %q", strips, login, want)
		}
		for path, want := range map[string]string{
			login: "/under/me?a=b", "/under/auth/login": "/under/", "/under/auth/login?return_to=/me": "/under/me", "/under/auth/login?return_to=/under": "/under",
			"/under/auth/login?return_to=/under?x": "/under?x", "/under/auth/login?return_to=/underground": "/under/underground", "/under/auth/login?return_to=//evil.example": "/under/",
		} {
			back, err := tenant.Authorize(visit(path).Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if to := visit(strings.TrimPrefix(back, "https://app.example")).Header().Get("Location"); to != want {
				t.Errorf("%s: %s leads to %q, want %q", strips, path, to, want)
			}
		}
		for target, want := range map[string]string{"/bye": base + "/bye", "/under/bye": base + "/bye", base + "/bye": base + "/bye"} {
			at, err := url.Parse(visit("/under/auth/logout?return_to=" + target).Header().Get("Location"))
			if err != nil || at.Query().Get("post_logout_redirect_uri") != want {
				t.Errorf("%s: a logout with return_to %q leads to %v, want %q", strips, target, at, want)
			}
		}
	}
}

func TestAfterLogin_isWhereALoginLeads(t *testing.T) {
	for base, want := range map[string]string{"https://app.example": "/welcome?a=%C3%BC", "https://app.example/under": "/under/welcome?a=%C3%BC"} {
		client, tenant := newClient(t, base+"/auth/callback")
		h, mux := newHandlers(t, client, base, httpauth.AfterLogin("/welcome?a=ü")), http.NewServeMux()
		if err := h.Register(mux, "/auth"); err != nil {
			t.Fatal(err)
		}
		v := newVisitor(mux, "https://app.example")
		for query, want := range map[string]string{"": want, "?return_to=https://evil.example": want, "?return_to=/me": strings.TrimSuffix(want, "/welcome?a=%C3%BC") + "/me"} {
			back, err := tenant.Authorize(v.get("/auth/login" + query).Header().Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			if to := v.get(strings.TrimPrefix(back, base)).Header().Get("Location"); to != want {
				t.Errorf("base %s: a login with %q leads to %q, want %q", base, query, to, want)
			}
		}
	}
	client, _ := newClient(t, "")
	for _, path := range []string{"", "welcome", "//evil.example", "https://evil.example"} {
		if _, err := httpauth.New(client, "https://app.example", httpauth.AfterLogin(path)); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("AfterLogin(%q): %v, want a configuration_error", path, err)
		}
	}
}

// A header is ASCII (RFC 9110 section 5.5), and so is an address in one.
func TestLocation_isASCII(t *testing.T) {
	const page, want = "/bücher?q=日本#ü", "/b%C3%BCcher?q=%E6%97%A5%E6%9C%AC#%C3%BC"
	client, tenant := newClient(t, "https://app.example/auth/callback")
	h, mux := newHandlers(t, client, "https://app.example"), http.NewServeMux()
	if err := h.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	v := newVisitor(mux, "https://app.example")
	back, err := tenant.Authorize(v.get("/auth/login?return_to=" + url.QueryEscape(page)).Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if to := v.get(strings.TrimPrefix(back, v.base)).Header().Get("Location"); to != want {
		t.Errorf("the login leads to %q, want %q", to, want)
	}
	for _, target := range []string{page, v.base + page} {
		at, err := url.Parse(v.get("/auth/logout?return_to=" + url.QueryEscape(target)).Header().Get("Location"))
		if got := at.Query().Get("post_logout_redirect_uri"); err != nil || got != v.base+want {
			t.Errorf("the logout leads to %q, %v, want %q", got, err, v.base+want)
		}
	}
	h = newHandlers(t, client, "https://app.example", httpauth.LoginPath("/anmeldung-ü"))
	to := newVisitor(h.Require(served), v.base).get("/b%C3%BCcher").Header().Get("Location")
	if want := "/anmeldung-%C3%BC?return_to=%2Fb%25C3%25BCcher"; to != want {
		t.Errorf("Require sends to %q, want %q", to, want)
	}
}
