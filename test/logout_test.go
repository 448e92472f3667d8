package test_test

import (
	"errors"
	"net/url"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func (r *rig) logOut(o tokenward.StoreOptions) {
	r.t.Helper()
	if _, err := r.client.Logout(r.t.Context(), tokenward.LogoutRequest{}, o); err != nil {
		r.t.Fatalf("logout: %v", err)
	}
}

func TestLogout_URL(t *testing.T) {
	tests := []struct {
		name    string
		options []tokenward.Option
		req     tokenward.LogoutRequest
		fault   idptest.Fault // of discovery
		path    string
		want    url.Values
	}{
		{"Auth0's", nil, tokenward.LogoutRequest{}, idptest.OK(), "/v2/logout", url.Values{"client_id": {"demo"}}},
		{
			"and back", nil,
			tokenward.LogoutRequest{ReturnTo: "https://app.example/a?b=c d&e=é#f"},
			idptest.OK(), "/v2/logout",
			url.Values{"client_id": {"demo"}, "returnTo": {"https://app.example/a?b=c d&e=é#f"}},
		},
		{
			"federated", nil,
			tokenward.LogoutRequest{Params: map[string]string{"federated": ""}},
			idptest.OK(), "/v2/logout",
			url.Values{"client_id": {"demo"}, "federated": {""}},
		},
		{
			"the client cannot be renamed", nil,
			tokenward.LogoutRequest{Params: map[string]string{"client_id": "other"}},
			idptest.OK(), "/v2/logout",
			url.Values{"client_id": {"demo"}},
		},
		{
			"end session",
			[]tokenward.Option{withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always})},
			tokenward.LogoutRequest{ReturnTo: "https://app.example/"},
			idptest.OK(),
			"/oidc/logout",
			url.Values{"client_id": {"demo"}, "post_logout_redirect_uri": {"https://app.example/"}},
		},
		{
			"end session, with what the provider wants beside",
			[]tokenward.Option{withProvider(tokenward.ProviderConfig{EndSession: tokenward.Always})},
			tokenward.LogoutRequest{ReturnTo: "https://app.example/", Params: map[string]string{"logout_uri": "https://app.example/bye", "state": "st"}},
			idptest.OK(),
			"/oidc/logout",
			url.Values{
				"client_id": {"demo"}, "post_logout_redirect_uri": {"https://app.example/"},
				"logout_uri": {"https://app.example/bye"}, "state": {"st"},
			},
		},
	}
	for _, tt := range tests {
		r := newRig(t, withClient(tt.options...))
		r.tenant.Script(idptest.Discovery, tt.fault)
		to, err := r.client.Logout(t.Context(), tt.req, tokenward.SessionID("nobody"))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		wantForm(t, tt.name, u.Query(), tt.want)
		u.RawQuery = ""
		if want := r.tenant.URL(tt.path); u.String() != want {
			t.Errorf("%s: %s, want %s", tt.name, u, want)
		}
		if n := r.tenant.Requests(idptest.Any); len(tt.options) == 0 && n != 0 {
			t.Errorf("%s: requests = %d, want 0", tt.name, n)
		}
	}
	t.Run("of a domain", func(t *testing.T) {
		c, err := tokenward.New(wellConfigured(), tokenward.WithLogger(zap.NewNop()))
		if err != nil {
			t.Fatal(err)
		}
		defer closeClient(t, c)
		got, err := c.Logout(t.Context(), tokenward.LogoutRequest{ReturnTo: "https://app.example"}, tokenward.SessionID("nobody"))
		if want := "https://tenant.eu.auth0.com/v2/logout?client_id=demo&returnTo=https%3A%2F%2Fapp.example"; got != want || err != nil {
			t.Errorf("URL = %s, %v, want %s", got, err, want)
		}
	})
	t.Run("of an issuer, by default", func(t *testing.T) {
		r := newRig(t)
		c, err := tokenward.New(r.cfg, tokenward.WithLogger(zap.NewNop()), tokenward.WithHTTPClient(r.tenant.Client()), tokenward.WithClock(r.clock))
		if err != nil {
			t.Fatal(err)
		}
		defer closeClient(t, c)
		got, err := c.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID("nobody"))
		if want := r.tenant.URL("/oidc/logout") + "?client_id=demo"; got != want || err != nil {
			t.Errorf("URL = %s, %v, want %s", got, err, want)
		}
	})
}

func TestLogout_deletesTheSession(t *testing.T) {
	r := newRig(t)
	id, other := r.login(until(5*time.Hour)), r.login()
	r.connection(id, tokenward.ConnectionRequest{Connection: google})
	h := r.client.Session(id)
	r.tenant.Reset()
	r.logOut(tokenward.SessionID(id))

	r.want("deletes", r.store.Ends(key(id)), 1)
	var gone *store.GoneError
	if _, err := r.memory.Load(t.Context(), key(id), store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("what is left says %v", err)
	}
	if u, err := h.GetUser(t.Context()); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if s, err := h.GetSession(t.Context()); s != nil || err != nil {
		t.Errorf("GetSession = %v, %v", s, err)
	}
	r.wantCode("GetAccessToken", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	r.wantConnectionCode("connection", r.connectionErr(id, tokenward.ConnectionRequest{Connection: google}), "missing_refresh_token")
	r.want("requests", r.tenant.Requests(idptest.Any), 0)
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(other)); u == nil || err != nil {
		t.Errorf("another session: %v, %v", u, err)
	}
	r.logOut(tokenward.SessionID(id)) // once more does no harm
}

func TestLogout_ofASessionOutOfMemory(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.restart()
	r.logOut(tokenward.SessionID(id))
	r.want("deletes", r.store.Ends(key(id)), 1)
	r.want("loads", r.store.Loads(key(id)), 0)
	r.want("sessions", r.memory.Len(), 0)
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
}

func TestLogout_ofNobody(t *testing.T) {
	r := newRig(t)
	for name, o := range map[string]tokenward.StoreOptions{
		"an id of nobody": tokenward.SessionID("made-up"), "a new browser": newBrowser(r).options(),
	} {
		to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, o)
		if to == "" || err != nil {
			t.Errorf("%s: %q, %v, want a URL", name, to, err)
		}
	}
}

func TestLogout_takesTheCookieAway(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	old := *b.cookie
	r.logOut(b.options())
	b.took()
	if b.cookie != nil {
		t.Errorf("cookie = %+v, want none", b.cookie)
	}
	b.cookie = &old
	if u, err := r.client.GetUser(t.Context(), b.options()); u != nil || err != nil {
		t.Errorf("with the old cookie: %v, %v", u, err)
	}
}

// A store that fails: no URL, the error, the session withdrawn at once, and the deletion
// tried again.
func TestLogout_storeFails(t *testing.T) {
	r := newRig(t)
	id := r.login()
	h := r.client.Session(id)
	r.store.Fail(storetest.OpEnd, 2)
	to, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(id))
	if to != "" || !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
		t.Errorf("%q, %v, want no URL and the store's error", to, err)
	}
	r.want("sessions", r.memory.Len(), 1)
	if u, err := h.GetUser(t.Context()); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	r.wantCode("GetAccessToken", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	r.settle()
	for range 2 {
		r.clock.Advance(time.Second)
		r.settle()
	}
	r.want("deletes", r.store.Ends(key(id)), 3)
	r.want("sessions", r.memory.Len(), 0)
}

// A refresh under way does not bring the session back.
func TestLogout_duringARefresh(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login()
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		one := r.ask(t.Context(), id, tokenward.TokenRequest{Audience: apiB})
		queued := r.ask(t.Context(), id, tokenward.TokenRequest{Audience: apiC})
		r.rest()
		r.logOut(tokenward.SessionID(id))
		for _, c := range []*caller{one, queued} {
			_, err := c.wait()
			r.wantCode("GetAccessToken", err, "missing_session")
		}
		hold.Release()
		r.rest()
		r.want("requests", r.tenant.Refreshes(), 1)
		r.want("updates", r.store.Updates(), 0)
		r.want("sessions", r.memory.Len(), 0)
	})
}

// The options of the call reach the deletion as they are.
func TestLogout_passesOptionsOn(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	b.login()
	o := b.options().With(map[string]any{"tenant": 7})
	r.logOut(o)
	got := r.store.LastOptions(storetest.OpEnd)
	if got.Values["tenant"] != 7 || got.Request == nil || got.Response != b.answer || got.Background {
		t.Errorf("options = %+v", got)
	}
}
