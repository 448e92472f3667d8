package zitadel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
)

// tokenLife is longer than the provider's access tokens last, and short enough for
// several of it to fit into the hour that its ID tokens do.
const tokenLife = 6 * time.Minute

func TestRefresh_rotates(t *testing.T) {
	s := newSite(t, Settings{}, nil, tokenward.WithRefreshBuffer(time.Hour))
	s.signIn()
	first := s.refreshToken()
	for i := range 10 {
		before := s.refreshToken()
		s.wantGood(s.token("").Token)
		all := s.wire.refreshes()
		if len(all) != i+1 || all[i].form.Get("refresh_token") != before {
			t.Fatalf("refresh %d: %d requests, the last with the session's refresh token: %t",
				i, len(all), len(all) > 0 && all[len(all)-1].form.Get("refresh_token") == before)
		}
		if s.refreshToken() == before {
			t.Fatalf("refresh %d: the refresh token is the old one", i)
		}
	}
	s.wantNoneTwice()
	s.wantDead(first, "") // so whoever spends one twice would notice
}

func TestRefresh_aHundredCallersShareOne(t *testing.T) {
	c := clock.NewFake(clock.System().Now())
	s := newSite(t, Settings{}, nil, tokenward.WithClock(c))
	s.signIn()
	for round := range 5 {
		c.Advance(tokenLife)
		got := s.crowd(100, func(int) string { return "" })
		s.want("refreshes", len(s.wire.refreshes()), round+1)
		for _, b := range got[1:] {
			if b != got[0] {
				t.Fatalf("round %d: tokens %+v and %+v, want one for all", round, got[0], b)
			}
		}
		s.wantGood(got[0].Token)
	}
	s.wantNoneTwice()
}

// These callers share no cache: each that comes after a refresh wants the next one.
func TestRefresh_aHundredCallersWithoutACacheKeepTheSession(t *testing.T) {
	s := newSite(t, Settings{}, nil, tokenward.WithRefreshBuffer(time.Hour))
	s.signIn()
	s.crowd(100, func(int) string { return "" })
	s.wantNoneTwice()
	s.wantGood(s.token("").Token)
}

func TestRefresh_audiencesQueue(t *testing.T) {
	c := clock.NewFake(clock.System().Now())
	s := newSite(t, Settings{}, nil, tokenward.WithClock(c))
	s.signIn()
	for round := range 3 {
		c.Advance(tokenLife)
		s.crowd(100, func(i int) string { return fmt.Sprintf("?audience=https://api-%d.example", i%5) })
		s.want("refreshes", len(s.wire.refreshes()), 5*(round+1))
	}
	s.wantNoneTwice()
	s.wantUser()
}

func TestRefresh_withoutOfflineAccess(t *testing.T) {
	c := clock.NewFake(clock.System().Now())
	s := newSite(t, Settings{}, func(c *tokenward.Config) { c.Scopes = "openid" }, tokenward.WithClock(c))
	s.signIn()
	s.wantGood(s.token("").Token)
	c.Advance(tokenLife)
	s.wantRefused("/token", http.StatusUnauthorized, "missing_refresh_token", "")
	s.want("refreshes", len(s.wire.refreshes()), 0)
}

func TestRefresh_ofATokenThatTheProviderRevoked(t *testing.T) {
	s := newSite(t, Settings{}, nil, tokenward.WithRefreshBuffer(time.Hour))
	s.signIn()
	at := s.post(s.endpoint("/revoke"), url.Values{
		"token": {s.refreshToken()}, "token_type_hint": {"refresh_token"}, "client_id": {ClientID}, "client_secret": {ClientSecret},
	})
	if at.status != http.StatusOK {
		t.Fatalf("revoke: %d %s", at.status, at.text)
	}
	s.wantRefused("/token", http.StatusUnauthorized, "refresh_token_error", "invalid_grant")
	s.wantRefused("/token", http.StatusUnauthorized, "missing_refresh_token", "")
	s.want("refreshes", len(s.wire.refreshes()), 1)
	s.read("/user", new(tokenward.User)) // who is signed in still
}

func TestRefresh_withMoreScopesThanGranted(t *testing.T) {
	s := newSite(t, Settings{}, nil)
	s.signIn()
	s.wantRefused("/token?scope=openid+phone", http.StatusBadGateway, "refresh_token_error", "invalid_scope")
	s.wantGood(s.token("").Token)
	s.want("refreshes", len(s.wire.refreshes()), 1)
}

// The provider heeds no audience, which is seen where access tokens are JWTs.
func TestRefresh_tellsWhichAudienceItGot(t *testing.T) {
	s := newSite(t, Settings{AccessToken: JWT}, nil)
	s.signIn()
	for range 2 {
		if b := s.token("?audience=https://api.example"); b.Audience != "https://api.example" || b.ActualAudience != ClientID {
			t.Errorf("token for %q, actually for %q, want https://api.example and %s", b.Audience, b.ActualAudience, ClientID)
		}
	}
	s.want("refreshes", len(s.wire.refreshes()), 1)
	s.wantUser()
}

func TestRefresh_strictAboutTheAudience(t *testing.T) {
	s := newSite(t, Settings{AccessToken: JWT}, nil, tokenward.WithProvider(tokenward.ProviderConfig{StrictAudience: true}))
	s.signIn()
	for range 3 { // the refresh token is kept each time
		s.wantRefused("/token?audience=https://api.example", http.StatusForbidden, "incorrect_audience", "")
	}
	s.want("refreshes", len(s.wire.refreshes()), 3)
	s.wantNoneTwice()
	s.wantUser()
}

// crowd has n callers ask for tokens at once.
func (s *site) crowd(n int, query func(i int) string) []bearer {
	s.t.Helper()
	got := make([]bearer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			at := s.get(s.url + "/token" + query(i))
			if err := json.Unmarshal([]byte(at.text), &got[i]); err != nil || at.status != http.StatusOK {
				s.t.Errorf("caller %d: %d %s (%v)", i, at.status, strings.TrimSpace(at.text), err)
			}
		})
	}
	all.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return got
}

// wantRefused expects an error of the site's, and the provider's behind it.
func (s *site) wantRefused(path string, status int, code, cause string) {
	s.t.Helper()
	var body struct {
		Error string
		Cause struct{ Error string }
	}
	at := s.get(s.url + path)
	if err := json.Unmarshal([]byte(at.text), &body); err != nil || at.status != status || body.Error != code || body.Cause.Error != cause {
		s.t.Errorf("%s: %d %s (%v), want %d, %s because of %q", path, at.status, strings.TrimSpace(at.text), err, status, code, cause)
	}
}
