package httpauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server with sign-in, its tenant, and a browser.
type site struct {
	t       *testing.T
	clock   *clock.Fake
	tenant  *idptest.Tenant
	store   *storetest.Faulty
	server  *httptest.Server
	browser *http.Client

	client   *tokenward.Client
	handlers *httpauth.Handlers
}

func newSite(t *testing.T, opts ...httpauth.Option) *site {
	t.Helper()
	return newSiteWith(t, func(*tokenward.Config) {}, opts...)
}

func newSiteWith(t *testing.T, change func(*tokenward.Config), opts ...httpauth.Option) *site {
	t.Helper()
	s := &site{t: t, clock: clock.NewFake(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	s.tenant = idptest.NewTenant(t, idptest.WithClock(s.clock))
	s.store = storetest.NewFaulty(store.NewMemory(s.clock))
	mux := http.NewServeMux()
	s.server = httptest.NewServer(mux)
	cfg := tokenward.Config{
		Issuer: s.tenant.Issuer(), ClientID: idptest.ClientID, ClientSecret: idptest.ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: s.server.URL + "/auth/callback",
	}
	change(&cfg)
	client, err := tokenward.New(cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithClock(s.clock), tokenward.WithStateStore(s.store), tokenward.WithHTTPClient(s.tenant.Client()))
	if err != nil {
		t.Fatal(err)
	}
	h, err := httpauth.New(client, s.server.URL, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.client, s.handlers = client, h
	if err := h.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	mux.Handle("GET /me", h.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := client.GetUser(r.Context(), tokenward.StoreOptions{})
		fmt.Fprintf(w, "%s %v", user.Sub(), err)
	})))
	mux.Handle("POST /change", h.Protect(h.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.browser = &http.Client{Jar: jar, Transport: transport}
	t.Cleanup(func() {
		s.server.Close()
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// get follows redirects; hop does not.
func (s *site) get(path string, header ...string) (int, string) {
	resp := s.do(s.browser, http.MethodGet, path, nil, header...)
	return resp.StatusCode, resp.Header.Get("body")
}

func (s *site) hop(path string, header ...string) *http.Response {
	still := *s.browser
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s.do(&still, http.MethodGet, path, nil, header...)
}

// do sends a request and reads the answer; its body is then in the header "body".
func (s *site) do(c *http.Client, method, path string, form url.Values, header ...string) *http.Response {
	s.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Header.Set("body", string(b))
	return resp
}

func codeIn(body string) string {
	var p struct{ Error string }
	_ = json.Unmarshal([]byte(body), &p)
	return p.Error
}

func TestRequire_bringsTheUserBackToThePage(t *testing.T) {
	s := newSite(t)
	status, body := s.get("/me?a=b", "Accept", "text/html")
	if want := idptest.Subject + " <nil>"; status != http.StatusOK || body != want {
		t.Errorf("after signing in on the way: %d %q, want 200 %q", status, body, want)
	}
	if n := s.tenant.Requests(idptest.CodeExchange); n != 1 {
		t.Errorf("code exchanges = %d, want 1", n)
	}
	if status, body := s.get("/me"); status != http.StatusOK || body != idptest.Subject+" <nil>" {
		t.Errorf("signed in: %d %q", status, body)
	}
}

func TestRequire_whereItSendsABrowser(t *testing.T) {
	s := newSite(t, httpauth.LoginPath("/auth/login?connection=github"))
	page := http.StripPrefix("/app", s.handlers.Require(http.NotFoundHandler()))
	for _, target := range []string{"/app/page?a=b&c=d", "http://app.example/app/page?a=b&c=d"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		want := "/app/page?a=b&c=d"
		if r.RequestURI != want { // then only what is left of it is known
			want = "/page?a=b&c=d"
		}
		want = "/auth/login?connection=github&return_to=" + url.QueryEscape(want)
		if got := w.Header().Get("Location"); w.Code != http.StatusFound || got != want {
			t.Errorf("%s: %d to %s, want %s", target, w.Code, got, want)
		}
	}
}

func TestRequire_tellsAProgramToSignIn(t *testing.T) {
	s := newSite(t)
	resp := s.hop("/me")
	if resp.StatusCode != http.StatusUnauthorized || codeIn(resp.Header.Get("body")) != "no_session" {
		t.Errorf("got %d %s, want 401 no_session", resp.StatusCode, resp.Header.Get("body"))
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q, want no-store", got)
	}
}

func TestLogin_takesOnlyAllowedParameters(t *testing.T) {
	s := newSite(t, httpauth.AllowParams("login_hint", "redirect_uri", "state", "organization"))
	resp := s.hop("/auth/login?login_hint=ada&scope=admin&audience=x&redirect_uri=https://evil.example&state=mine&response_mode=fragment&request_uri=urn:x&organization=org_1")
	at, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("got %d, %v", resp.StatusCode, err)
	}
	q := at.Query()
	if q.Get("login_hint") != "ada" || q.Get("organization") != "org_1" {
		t.Errorf("allowed parameters are missing in %v", q)
	}
	if strings.Contains(q.Get("scope"), "admin") || q.Has("audience") || q.Get("redirect_uri") != s.server.URL+"/auth/callback" ||
		q.Get("state") == "mine" || q.Has("response_mode") || q.Has("request_uri") {
		t.Errorf("a parameter got through that nobody allowed: %v", q)
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q, want no-store", got)
	}
}

func TestCallback_neverLeavesTheOrigin(t *testing.T) {
	s := newSite(t)
	for _, target := range []string{"//evil.example", "https://evil.example", `/\evil.example`} {
		to := s.hop("/auth/login?return_to=" + url.QueryEscape(target)).Header.Get("Location")
		back, err := s.tenant.Authorize(to)
		if err != nil {
			t.Fatal(err)
		}
		resp := s.hop(strings.TrimPrefix(back, s.server.URL))
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || got != "/" {
			t.Errorf("return_to %q leads to %d %q, want /", target, resp.StatusCode, got)
		}
	}
}

func TestCallback_saysWhoseFaultItWas(t *testing.T) {
	s := newSite(t)
	tests := []struct {
		name   string
		path   string
		status int
		code   string
	}{
		{"no state", "/auth/callback?code=x", 400, "missing_required_argument_error"},
		{"unknown state", "/auth/callback?code=x&state=unknown", 400, "missing_transaction_error"},
		{"unknown state with error", "/auth/callback?error=access_denied&state=unknown", 400, "missing_transaction_error"},
	}
	for _, tt := range tests {
		resp := s.hop(tt.path)
		if got := codeIn(resp.Header.Get("body")); resp.StatusCode != tt.status || got != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, resp.StatusCode, got, tt.status, tt.code)
		}
	}

	state := func(location string) string {
		at, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		return at.Query().Get("state")
	}
	first := state(s.hop("/auth/login").Header.Get("Location"))
	resp := s.hop("/auth/callback?error=access_denied&error_description=no&state=" + first)
	if got := codeIn(resp.Header.Get("body")); resp.StatusCode != 400 || got != "access_denied" {
		t.Errorf("the provider's error: %d %s, want 400 access_denied", resp.StatusCode, got)
	}
	foreign := state(s.hop("/auth/login").Header.Get("Location"))
	resp = s.hop("/auth/callback?code=x&iss=https%3A%2F%2Fevil.example%2F&state=" + foreign)
	if got := codeIn(resp.Header.Get("body")); resp.StatusCode != 400 || got != "issuer_validation_error" {
		t.Errorf("another issuer's callback: %d %s, want 400 issuer_validation_error", resp.StatusCode, got)
	}
	second := state(s.hop("/auth/login").Header.Get("Location"))
	resp = s.hop("/auth/callback?code=made-up&state=" + second)
	if got := codeIn(resp.Header.Get("body")); resp.StatusCode != 502 || got != "token_error" {
		t.Errorf("a code that the provider refuses: %d %s, want 502 token_error", resp.StatusCode, got)
	}
	to := s.hop("/auth/login").Header.Get("Location")
	back, err := s.tenant.Authorize(to, idptest.Claims{"session_expiry": s.clock.Now().Unix()})
	if err != nil {
		t.Fatal(err)
	}
	resp = s.hop(strings.TrimPrefix(back, s.server.URL))
	if got := codeIn(resp.Header.Get("body")); resp.StatusCode != 401 || got != "session_expired" {
		t.Errorf("a ceiling already past: %d %s, want 401 session_expired", resp.StatusCode, got)
	}
}

func TestLogout_endsTheSessionAndStaysOnTheOrigin(t *testing.T) {
	for target, want := range map[string]string{"/bye": "/bye", "//evil.example": "", "https://evil.example": "", "": ""} {
		s := newSite(t)
		s.get("/auth/login?return_to=/me")
		resp := s.hop("/auth/logout?return_to=" + url.QueryEscape(target))
		at, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || resp.StatusCode != http.StatusFound || !strings.HasPrefix(at.String(), s.tenant.Issuer()) {
			t.Fatalf("logout: %d %v %v", resp.StatusCode, at, err)
		}
		got := at.Query().Get("returnTo") + at.Query().Get("post_logout_redirect_uri")
		if want != "" {
			want = s.server.URL + want
		}
		if got != want {
			t.Errorf("return_to %q leads to %q, want %q", target, got, want)
		}
		if n := s.store.Ends(); n != 1 {
			t.Errorf("deletes = %d, want 1", n)
		}
		if status, _ := s.get("/me"); status != http.StatusUnauthorized {
			t.Errorf("after logout: %d, want 401", status)
		}
	}
}

// An origin may be written in several ways.
func TestLogout_knowsItsOrigin(t *testing.T) {
	client, _ := newClient(t, "https://app.example/auth/callback")
	const page = "https://app.example/bye"
	for _, base := range []string{"https://app.example", "HTTPS://App.Example/", "https://app.example:443", "https://app.example:", "https://app.example/under"} {
		h, err := httpauth.New(client, base)
		if err != nil {
			t.Fatal(err)
		}
		for target, want := range map[string]string{
			page: page, "HTTPS://APP.example:443/bye": page, "https://app.example:/bye": page, "/bye": page,
			"https://app.example": "https://app.example", "http://app.example/bye": "", "https://app.example:444/bye": "",
			"https://app.example.evil/bye": "", "https://app.example@evil.example/bye": "", "https://app.example//evil.example": "",
			"https://u@app.example/bye": "", "https:app.example/bye": "", `https://app.example\evil`: "", "//app.example/bye": "",
		} {
			w := httptest.NewRecorder()
			h.Logout(w, httptest.NewRequest(http.MethodGet, "/auth/logout?return_to="+url.QueryEscape(target), nil))
			at, err := url.Parse(w.Header().Get("Location"))
			if err != nil || w.Code != http.StatusFound {
				t.Fatal(w.Code, err)
			}
			if target == "/bye" && strings.HasSuffix(base, "/under") {
				want = base + target
			}
			if got := at.Query().Get("returnTo") + at.Query().Get("post_logout_redirect_uri"); got != want {
				t.Errorf("base %s: return_to %q leads to %q, want %q", base, target, got, want)
			}
		}
	}
}

func TestLogout_isRefusedToOtherSites(t *testing.T) {
	s := newSite(t)
	s.get("/auth/login?return_to=/me")
	if resp := s.hop("/auth/logout", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("GET from another site: %d, want 403", resp.StatusCode)
	}
	for _, origin := range []string{"https://evil.example", "null"} {
		if resp := s.do(s.browser, http.MethodPost, "/auth/logout", url.Values{}, "Origin", origin); resp.StatusCode != http.StatusForbidden {
			t.Errorf("POST logout from origin %s: %d, want 403", origin, resp.StatusCode)
		}
		if resp := s.do(s.browser, http.MethodPost, "/change", url.Values{}, "Origin", origin); resp.StatusCode != http.StatusForbidden {
			t.Errorf("POST change from origin %s: %d, want 403", origin, resp.StatusCode)
		}
	}
	if status, _ := s.get("/me"); status != http.StatusOK {
		t.Errorf("the session ended: %d", status)
	}
	if resp := s.do(s.browser, http.MethodPost, "/change", url.Values{}, "Origin", s.server.URL); resp.StatusCode != http.StatusOK {
		t.Errorf("POST change from this site: %d, want 200", resp.StatusCode)
	}
}

func TestBackchannelLogout_endsTheSession(t *testing.T) {
	s := newSite(t)
	s.get("/auth/login?return_to=/me")
	if resp := s.do(s.browser, http.MethodPost, "/auth/backchannel-logout", url.Values{"logout_token": {"rubbish"}}); resp.StatusCode != 400 ||
		codeIn(resp.Header.Get("body")) != "backchannel_logout_error" {
		t.Errorf("rubbish: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
	s.store.Fail(storetest.OpFind, 1)
	token := url.Values{"logout_token": {s.tenant.LogoutToken(idptest.Subject, "")}}
	if resp := s.do(s.browser, http.MethodPost, "/auth/backchannel-logout", token); resp.StatusCode != 503 {
		t.Errorf("with a store that is down: %d %s, want 503", resp.StatusCode, resp.Header.Get("body"))
	}
	if resp := s.do(s.browser, http.MethodPost, "/auth/backchannel-logout", token); resp.StatusCode != 200 {
		t.Errorf("a good token: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
	if status, _ := s.get("/me"); status != http.StatusUnauthorized {
		t.Errorf("after back-channel logout: %d, want 401", status)
	}
	big := url.Values{"logout_token": {strings.Repeat("a", 1<<20)}}
	if resp := s.do(s.browser, http.MethodPost, "/auth/backchannel-logout", big); resp.StatusCode != 400 {
		t.Errorf("a megabyte: %d, want 400", resp.StatusCode)
	}
}

// Whatever a page's address is, one can sign in from there.
func TestLogin_fromAnyPage(t *testing.T) {
	for page, want := range map[string]string{
		"/search?" + strings.Repeat("a&", 1000):  "/search?" + strings.Repeat("a&", 1000),
		"/search?" + strings.Repeat("<>", 1000):  "/search?" + strings.Repeat("<>", 1000),
		"/search?" + strings.Repeat(`"`, 2000):   "/",
		"/search?" + strings.Repeat("too", 1000): "/",
	} {
		s := newSite(t)
		resp := s.bare("/auth/login?return_to="+url.QueryEscape(page), "")
		back, err := s.tenant.Authorize(resp.Header.Get("Location"))
		if err != nil {
			t.Fatalf("%.20s: %d %s", page, resp.StatusCode, resp.Header.Get("body"))
		}
		transaction := resp.Cookies()[0]
		resp = s.bare(strings.TrimPrefix(back, s.server.URL), transaction.Name+"="+transaction.Value)
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusFound || got != want {
			t.Errorf("%.20s: %d to %.40s", page, resp.StatusCode, got)
		}
	}
}

// A resolver that goes by the request has it in every handler.
func TestHandlers_theResolverSeesTheRequest(t *testing.T) {
	issuers := make(map[string]string)
	s := newSiteWith(t, func(c *tokenward.Config) {
		issuers[strings.TrimPrefix(strings.TrimSuffix(c.RedirectURI, "/auth/callback"), "http://")] = c.Issuer
		c.Issuer, c.DomainResolver = "", func(_ context.Context, o store.Options) (string, error) { return issuers[o.Request.Host], nil }
	})
	if status, body := s.get("/auth/login?return_to=/me"); status != http.StatusOK {
		t.Fatalf("login: %d %s", status, body)
	}
	token := url.Values{"logout_token": {s.tenant.LogoutToken(idptest.Subject, "")}}
	if resp := s.do(s.browser, http.MethodPost, "/auth/backchannel-logout", token); resp.StatusCode != http.StatusOK {
		t.Errorf("back-channel logout: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
	if status, _ := s.get("/me"); status != http.StatusUnauthorized {
		t.Errorf("afterwards: %d, want 401", status)
	}
	if resp := s.hop("/auth/logout"); resp.StatusCode != http.StatusFound {
		t.Errorf("logout: %d %s", resp.StatusCode, resp.Header.Get("body"))
	}
}

func TestHandlers_aStoreThatIsDownIs503(t *testing.T) {
	s := newSite(t)
	s.get("/auth/login?return_to=/me")
	s.store.Down()
	if resp := s.hop("/auth/logout"); resp.StatusCode != 503 || codeIn(resp.Header.Get("body")) != "store_error" {
		t.Errorf("logout: %d %s, want 503 store_error", resp.StatusCode, resp.Header.Get("body"))
	}
	s.store.Heal()
}

func TestNew_refusesABaseThatIsNoOrigin(t *testing.T) {
	client, _ := newClient(t, "")
	for _, base := range []string{"", "app.example", "ftp://app.example", "https://user@app.example", "https://app.example?a=b", "https://app.example?"} {
		if _, err := httpauth.New(client, base); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("New(%q): %v, want a configuration_error", base, err)
		}
	}
	for _, login := range []string{"https://evil.example", "/login#form"} {
		if _, err := httpauth.New(client, "https://app.example", httpauth.LoginPath(login)); tokenward.CodeOf(err) != "configuration_error" {
			t.Errorf("LoginPath(%q): %v, want a configuration_error", login, err)
		}
	}
}
