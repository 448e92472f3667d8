package zitadel

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the example server logs there
	goleak.VerifyTestMain(m)
}

const allScopes = "openid profile email offline_access"

// site is an application on the library, its provider and a user's browser.
type site struct {
	*browser

	t        *testing.T
	provider *Provider
	wire     *wire
	url      string
	client   *tokenward.Client
}

// newSite starts all of them. change, which may be nil, has the last word on the
// configuration.
func newSite(t *testing.T, s Settings, change func(*tokenward.Config), opts ...tokenward.Option) *site {
	t.Helper()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	w := new(wire)
	s.App, s.Around = app.URL, w.around
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("the provider: %v", err)
		}
	})
	cfg := tokenward.Config{
		Issuer: p.Issuer, ClientID: ClientID, ClientSecret: ClientSecret,
		Secrets: []string{"a secret of at least thirty-two bytes"}, RedirectURI: app.URL + "/auth/callback",
	}
	if change != nil {
		change(&cfg)
	}
	client, err := tokenward.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	auth, err := httpauth.New(client, app.URL, httpauth.AllowParams("prompt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "home") })
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, r *http.Request) {
		user, err := client.GetUser(r.Context(), tokenward.HTTP(w, r))
		answer(w, r, user, err)
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		token, err := client.GetAccessToken(r.Context(), tokenward.TokenRequest{Audience: q.Get("audience"), Scope: q.Get("scope")}, tokenward.HTTP(w, r))
		answer(w, r, bearer{token.AccessToken, token.Audience, token.ActualAudience, token.Scope}, err)
	})
	mux.HandleFunc("GET /refresh-token", func(w http.ResponseWriter, r *http.Request) {
		s, err := client.GetSession(r.Context(), tokenward.HTTP(w, r))
		if s == nil {
			s = new(tokenward.Session)
		}
		answer(w, r, s.RefreshToken, err)
	})
	return &site{browser: newBrowser(t), t: t, provider: p, wire: w, url: app.URL, client: client}
}

// bearer is a token as the site's own API shows it.
type bearer struct{ Token, Audience, ActualAudience, Scope string }

func answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		httpauth.WriteError(w, r, err)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		httpauth.WriteError(w, r, err)
		return
	}
	fmt.Fprintf(w, "%s", text)
}

// signIn signs in and expects to end at home.
func (s *site) signIn() {
	s.t.Helper()
	if at := s.browser.signIn(s.url+"/auth/login", Password); at.url != s.url+"/" || at.text != "home" {
		s.t.Fatalf("after the login: %d at %s: %s", at.status, at.url, at.text)
	}
}

// token asks the site for an access token and expects one.
func (s *site) token(query string) (b bearer) {
	s.t.Helper()
	s.read("/token"+query, &b)
	return b
}

// refreshToken is the one that the session has.
func (s *site) refreshToken() (token string) {
	s.t.Helper()
	s.read("/refresh-token", &token)
	return token
}

func (s *site) read(path string, into any) {
	s.t.Helper()
	at := s.get(s.url + path)
	if at.status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, at.status, at.text)
	}
	if err := json.Unmarshal([]byte(at.text), into); err != nil {
		s.t.Fatalf("%s: %v in %s", path, err, at.text)
	}
}

// endpoint is one of the provider's.
func (s *site) endpoint(path string) string {
	return strings.TrimSuffix(s.provider.Issuer, "/") + path
}

// wantGood asks the provider whose token that is.
func (s *site) wantGood(token string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.endpoint("/userinfo"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if at := s.do(req); at.status != http.StatusOK || !strings.Contains(at.text, `"sub":"id1"`) {
		s.t.Errorf("the provider on the access token: %d %s", at.status, at.text)
	}
}

// want compares counts.
func (s *site) want(what string, got, want int) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s = %d, want %d", what, got, want)
	}
}

// wantNoneTwice expects that each refresh succeeded and spent a token of its own.
func (s *site) wantNoneTwice() {
	s.t.Helper()
	spent := map[string]bool{}
	for i, r := range s.wire.refreshes() {
		token := r.form.Get("refresh_token")
		if r.status != http.StatusOK || spent[token] {
			s.t.Errorf("refresh %d: status %d, refresh token spent before: %t", i, r.status, spent[token])
		}
		spent[token] = true
	}
}

// browser keeps cookies, follows redirects and fills in the login form.
type browser struct {
	t *testing.T
	http.Client
}

// page is where a browser ended up.
type page struct {
	url      string
	status   int
	text     string
	location string // of a redirect that was not followed
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, Client: http.Client{Jar: jar, Transport: transport}}
}

func (b *browser) get(url string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) post(to string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// do may be called from any goroutine.
func (b *browser) do(req *http.Request) page {
	resp, err := b.Do(req)
	if err != nil {
		b.t.Error(err)
		return page{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	return page{url: resp.Request.URL.String(), status: resp.StatusCode, text: string(text), location: resp.Header.Get("Location")}
}

var (
	action = regexp.MustCompile(`<form method="POST" action="([^"]*)"`)
	hidden = regexp.MustCompile(`<input type="hidden" name="id" value="([^"]*)"`)
)

// signIn goes where a login starts, fills in the form it finds, and says where that led.
func (b *browser) signIn(start, password string) page {
	b.t.Helper()
	form := b.get(start)
	to, id := action.FindStringSubmatch(form.text), hidden.FindStringSubmatch(form.text)
	if to == nil || id == nil {
		b.t.Fatalf("no login form: %d at %s: %s", form.status, form.url, form.text)
	}
	at, err := url.Parse(form.url)
	if err != nil {
		b.t.Fatal(err)
	}
	at, err = at.Parse(html.UnescapeString(to[1]))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.post(at.String(), url.Values{
		"id": {html.UnescapeString(id[1])}, "username": {Username}, "password": {password},
	})
}
