package tokenwardtest_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/httpauth"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/tokenwardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSignIn_inOneLine(t *testing.T) {
	s := tokenwardtest.SignIn(t)
	token, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "https://orders.example.com"}, s.Session())
	if err != nil || token.AccessToken == "" {
		t.Fatalf("a token: %+v, %v", token, err)
	}
	if s.User.Sub() != idptest.Subject || s.Tenant.Refreshes() != 1 {
		t.Errorf("%s is signed in, after %d refreshes", s.User.Sub(), s.Tenant.Refreshes())
	}
}

func TestSignIn_twoUsersAtOneClient(t *testing.T) {
	ada := tokenwardtest.SignIn(t)
	grace := tokenwardtest.SignIn(t, tokenwardtest.At(ada.Client, ada.Tenant), tokenwardtest.As("auth0|grace", idptest.Claims{"name": "Grace Hopper"}))
	for s, want := range map[*tokenwardtest.SignedIn]string{ada: "Ada Lovelace", grace: "Grace Hopper"} {
		if user, err := s.Client.GetUser(t.Context(), s.Session()); err != nil || user["name"] != want {
			t.Errorf("signed in: %v, %v, want %s", user, err, want)
		}
	}
}

// The application behind httpauth gets the cookies that its own client has set.
func TestSignIn_throughTheMiddleware(t *testing.T) {
	for name, opts := range map[string][]tokenward.Option{
		"stateful":  nil,
		"stateless": {tokenward.WithStatelessSessions()},
		"at a path": {tokenward.WithCookies(tokenward.Cookies{Path: "/auth", SameSite: http.SameSiteNoneMode})},
	} {
		s := tokenwardtest.SignIn(t, tokenwardtest.Client(opts...))
		web, err := httpauth.New(s.Client, "https://app.example.com")
		if err != nil {
			t.Fatal(err)
		}
		app := web.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, _ := s.Client.GetUser(r.Context(), tokenward.StoreOptions{})
			_, _ = io.WriteString(w, user.Sub())
		}))
		w := httptest.NewRecorder()
		app.ServeHTTP(w, s.Request(http.MethodGet, "/", nil))
		if w.Code != http.StatusOK || w.Body.String() != idptest.Subject {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// Time is the test's: the session ends at the ceiling though no call asks.
func TestSignIn_ceiling(t *testing.T) {
	s := tokenwardtest.SignIn(t, tokenwardtest.Ceiling(time.Hour))
	s.Clock.Advance(time.Hour - 31*time.Second)
	if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); err != nil {
		t.Errorf("before the ceiling: %v", err)
	}
	s.Clock.Advance(time.Second)
	if err := s.Client.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session())
	if !errors.Is(err, tokenward.ErrSessionExpired) || s.Client.Stats().Ceilings != 1 {
		t.Errorf("after the ceiling: %v, %d ceilings", err, s.Client.Stats().Ceilings)
	}
}

func TestSignIn_inABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tokenwardtest.SignIn(t, tokenwardtest.Config(func(c *tokenward.Config) { c.RedirectURI = "https://other.example/cb" }))
		if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: "a"}, s.Session()); err != nil {
			t.Error(err)
		}
	})
}

// One clock moves the client, the tenant and a store of the test's own.
func TestSignIn_onAClockOfTheTest(t *testing.T) {
	clk := clock.NewFake(time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC))
	sessions := store.NewMemory(clk)
	s := tokenwardtest.SignIn(t, tokenwardtest.Clock(clk), tokenwardtest.Client(tokenward.WithStateStore(sessions)))
	if s.Clock != clk {
		t.Error("SignedIn.Clock is another clock than the test gave")
	}
	token, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session())
	if want := clk.Now().Add(idptest.TokenLife); err != nil || !token.ExpiresAt.Equal(want) {
		t.Errorf("the token expires at %v, %v, want %v", token.ExpiresAt, err, want)
	}
	s.Clock.Advance(2 * idptest.TokenLife)
	if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); err != nil || s.Tenant.Refreshes() != 1 {
		t.Errorf("after two hours: %v, %d refreshes, want 1", err, s.Tenant.Refreshes())
	}
}

// Clock says of a client that the test has already by which clock it goes.
func TestSignIn_atAClientWithAClock(t *testing.T) {
	ada := tokenwardtest.SignIn(t)
	s := tokenwardtest.SignIn(t, tokenwardtest.At(ada.Client, ada.Tenant), tokenwardtest.Clock(ada.Clock), tokenwardtest.Ceiling(time.Hour))
	s.Clock.Advance(time.Hour)
	if err := s.Client.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); !errors.Is(err, tokenward.ErrSessionExpired) {
		t.Errorf("after the ceiling: %v", err)
	}
}

// A ceiling at a client whose clock is not known ends the test, with words.
func TestSignIn_ceilingWithoutAClock(t *testing.T) {
	ada := tokenwardtest.SignIn(t)
	stopped := &fatal{TB: t}
	func() {
		defer func() { _ = recover() }() // of Fatalf
		tokenwardtest.SignIn(stopped, tokenwardtest.At(ada.Client, ada.Tenant), tokenwardtest.Ceiling(time.Hour))
	}()
	if !strings.Contains(stopped.said, "Clock") {
		t.Errorf("said %q, want that Clock is needed", stopped.said)
	}
}

// fatal notes why a test would end.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic("ended")
}

// A provider with oddities of its own: a copy of a profile, with fields changed.
func TestSignIn_atAProviderWithOddities(t *testing.T) {
	p, known := idptest.ProfileNamed("keycloak")
	if !known {
		t.Fatal("there is no such profile")
	}
	p.Tokens.Opaque, p.Tokens.ExpiresIn = true, idptest.ExpiresAbsent
	p.Authorize.PKCE = idptest.PKCEIgnored
	s := tokenwardtest.SignIn(t, tokenwardtest.Tenant(idptest.WithProfile(p)),
		tokenwardtest.Client(tokenward.WithProvider(tokenward.ProviderConfig{TokenLifetime: 10 * time.Minute})))
	for range 3 {
		if _, err := s.Client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, s.Session()); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(6 * time.Minute)
	}
	if n := s.Tenant.Refreshes(); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}
