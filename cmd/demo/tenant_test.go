package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// newOwnSite is a site whose application brings the fake tenant along, on the system's clock.
func newOwnSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.clock = clock.NewFake(time.Now())
	s.store = storetest.NewFaulty(store.NewMemory(s.clock))
	s.open()
	s.tenant = s.app.tenant
	return s
}

func TestTenant_controls(t *testing.T) {
	s := newOwnSite(t)
	s.want(s.do("POST", "/api/tenant?ceiling=2m&token_life=10s"), 200, "")
	s.login()
	user := s.want(s.get("/api/user"), 200, "").body
	if end, _ := user["session_expiry"].(float64); end == 0 {
		t.Errorf("session_expiry = %v, want two minutes from now", user["session_expiry"])
	}
	burst := func(refreshes int) {
		t.Helper()
		before := s.tenant.Refreshes()
		s.want(s.do("POST", "/api/burst?n=100"), 200, "")
		if got := s.tenant.Refreshes() - before; got != refreshes {
			t.Errorf("refreshes of a burst = %d, want %d", got, refreshes)
		}
	}
	burst(0) // the login's own token
	s.clock.Advance(11 * time.Second)
	burst(1)
	burst(0)
	s.clock.Advance(2 * time.Minute)
	s.want(s.get("/api/user"), 401, "no_session")

	s.want(s.do("POST", "/api/tenant"), 200, "") // no ceiling; the life stays
	s.login()
	if user := s.want(s.get("/api/user"), 200, "").body; user["session_expiry"] != nil {
		t.Errorf("session_expiry = %v, want none", user["session_expiry"])
	}
}

func TestTenant_refusals(t *testing.T) {
	s := newSite(t)
	s.want(s.do("POST", "/api/tenant?token_life=10s"), 404, "not_found") // the provider is not its own
	s = newOwnSite(t)
	for _, query := range []string{"ceiling=soon", "ceiling=0s", "ceiling=-1m", "token_life=10", "token_life=25h", "ceiling=2m&token_life=1ms"} {
		s.want(s.do("POST", "/api/tenant?"+query), 400, "invalid_argument")
	}
	for _, origin := range []string{"null", "https://evil.example"} {
		s.want(s.do("POST", "/api/tenant?ceiling=2m", "Origin", origin), 403, "cross_origin")
	}
	s.login()
	if user := s.want(s.get("/api/user"), 200, "").body; user["session_expiry"] != nil {
		t.Error("a refused request has set a ceiling")
	}
}

// The page has the controls only where they have an effect.
func TestPage_controlsAreOfTheOwnTenant(t *testing.T) {
	for name, tt := range map[string]struct {
		site *site
		want bool
	}{"own tenant": {newOwnSite(t), true}, "another provider": {newSite(t), false}} {
		page := tt.site.want(tt.site.get("/"), 200, "").text
		for _, control := range []string{`<select name="ceiling">`, `<select name="token_life">`} {
			if got := strings.Contains(page, control); got != tt.want {
				t.Errorf("%s: the page has %s = %t, want %t", name, control, got, tt.want)
			}
		}
	}
}
