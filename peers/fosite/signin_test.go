package fosite

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// site is an application that signs its users in at the provider, and a browser in front of it.
type site struct {
	t       *testing.T
	p       *provider
	client  *tokenward.Client
	url     string
	browser *http.Client
}

// newSite configures the application with issuer, client id and secret alone.
func newSite(t *testing.T, opts ...tokenward.Option) *site {
	t.Helper()
	s := &site{t: t, p: startProvider(t)}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.p.register(s.url + "/auth/callback")
	var err error
	// With this buffer each call refreshes: the provider's tokens last 5 minutes.
	s.client, err = tokenward.New(tokenward.Config{
		Issuer: s.p.server.URL, ClientID: clientID, ClientSecret: clientSecret,
		Secrets: []string{"a secret of the application, 32 bytes"}, RedirectURI: s.url + "/auth/callback",
	}, append([]tokenward.Option{tokenward.WithRefreshBuffer(time.Hour)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.client.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	web, err := httpauth.New(s.client, s.url)
	if err != nil {
		t.Fatal(err)
	}
	if err := web.Register(mux, "/auth"); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/token", web.Attach(http.HandlerFunc(s.serveToken)))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "home") })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.browser = &http.Client{Jar: jar}
	return s
}

// serveToken answers with the name of the user and a hash of a token.
func (s *site) serveToken(w http.ResponseWriter, r *http.Request) {
	user, err := s.client.GetUser(r.Context(), tokenward.StoreOptions{})
	if err != nil || user == nil {
		httpauth.WriteError(w, r, errors.Join(err, tokenward.ErrMissingSession))
		return
	}
	token, err := s.client.GetAccessToken(r.Context(), tokenward.TokenRequest{}, tokenward.StoreOptions{})
	if err != nil {
		httpauth.WriteError(w, r, err)
		return
	}
	_, _ = io.WriteString(w, user.Name()+" "+token.AccessToken)
}

func (s *site) get(path string) (status int, text string) {
	s.t.Helper()
	resp, err := s.browser.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (s *site) signIn() {
	s.t.Helper()
	if status, text := s.get("/auth/login"); status != http.StatusOK || text != "home" {
		s.t.Fatalf("after the login: %d %s", status, text)
	}
}

func TestSignInToSignOut(t *testing.T) {
	s := newSite(t, tokenward.WithRevocation())
	s.signIn()
	seen := make(map[string]bool)
	for range 3 {
		status, text := s.get("/token")
		if status != http.StatusOK || !strings.HasPrefix(text, "Ada Lovelace ") || seen[text] {
			t.Fatalf("token: %d %q, want a new one of Ada Lovelace", status, text)
		}
		seen[text] = true
	}
	spent := make(map[string]bool)
	for _, form := range s.p.grants("refresh_token") {
		if token := form.Get("refresh_token"); spent[token] {
			t.Error("a refresh token was spent twice")
		} else {
			spent[token] = true
		}
	}
	if len(spent) != 3 {
		t.Errorf("refreshes = %d, want 3", len(spent))
	}
	// The provider has no end_session_endpoint: the logout leads back at once.
	if status, text := s.get("/auth/logout?return_to=/"); status != http.StatusOK || text != "home" {
		t.Errorf("after the logout: %d %s", status, text)
	}
	if status, text := s.get("/token"); status != http.StatusUnauthorized {
		t.Errorf("token after the logout: %d %s, want 401", status, text)
	}
}

// A refresh token that was spent already ends the family, and the user is told to sign in again.
func TestReuse_endsTheSession(t *testing.T) {
	s := newSite(t)
	s.signIn()
	s.get("/token")
	stolen := s.p.grants("refresh_token")[0].Get("refresh_token")
	if err := s.p.spend(stolen); err == nil {
		t.Fatal("the provider took a refresh token twice")
	}
	for range 2 {
		if status, text := s.get("/token"); status != http.StatusUnauthorized {
			t.Errorf("after the reuse: %d %s, want 401", status, text)
		}
	}
	if n := len(s.p.grants("refresh_token")); n != 3 { // the refresh, the thief's, the one that was refused
		t.Errorf("refreshes = %d, want 3", n)
	}
}
