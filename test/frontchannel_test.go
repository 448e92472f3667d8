package test_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func (r *rig) frontchannel(issuer, sid string) error {
	return r.client.HandleFrontchannelLogout(r.t.Context(), issuer, sid, tokenward.StoreOptions{})
}

// The sessions of that issuer and sid end, once, whether they are in memory or not; the provider is not asked for anything.
func TestFrontchannel_matches(t *testing.T) {
	for _, resident := range []bool{true, false} {
		r := newRig(t)
		for id, sid := range map[string]string{"tab": "sid-1", "window": "sid-1", "laptop": "sid-2"} {
			r.loginAs(tokenward.SessionID(id), idptest.Claims{"sid": sid})
		}
		if !resident {
			r.restart()
		}
		r.tenant.Reset()
		r.tenant.Script(idptest.Any, idptest.ResetConn().Always())
		for _, sid := range []string{"sid-9", idptest.Subject, "sid-1", "sid-1"} {
			if err := r.frontchannel(r.cfg.Issuer, sid); err != nil {
				t.Errorf("%s: %v", sid, err)
			}
		}
		r.want("deletes", r.store.Ends(), 2)
		if r.lives("tab") || r.lives("window") || !r.lives("laptop") {
			t.Errorf("resident %v: tab, window, laptop live %v, %v, %v", resident, r.lives("tab"), r.lives("window"), r.lives("laptop"))
		}
		var gone *store.GoneError
		if _, err := r.memory.Load(t.Context(), key("tab"), store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonBackchannelLogout {
			t.Errorf("what is left of it says %v", err)
		}
		r.want("requests", r.tenant.Requests(idptest.Any), 0)
	}
}

func TestFrontchannel_arguments(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"sid": "sid-1"})
	for _, q := range [][2]string{{"", "sid-1"}, {r.cfg.Issuer, ""}, {r.cfg.Issuer, strings.Repeat("x", 2049)}, {r.cfg.Issuer + strings.Repeat("x", 2049), "sid-1"}} {
		if err := r.frontchannel(q[0], q[1]); !errors.As(err, new(*tokenward.InvalidArgumentError)) {
			t.Errorf("%.50q: %v, want an InvalidArgumentError", q, err)
		}
	}
	wantError[*tokenward.InvalidArgumentError](t, "another issuer", r.frontchannel("https://other.example/", "sid-1"), "invalid_argument")
	r.store.Fail(storetest.OpFind, 1)
	if err := r.frontchannel(r.cfg.Issuer, "sid-1"); !errors.Is(err, tokenward.ErrStore) {
		t.Errorf("a store that fails: %v", err)
	}
	if !r.lives(id) {
		t.Error("the session has ended")
	}
	r.restart(tokenward.WithStateStore(storetest.Without[store.Index](r.store)))
	wantError[*tokenward.ConfigurationError](t, "no index", r.frontchannel(r.cfg.Issuer, "sid-1"), "configuration_error")
}

// A logout that comes while a login of that sid is on its way: the login is refused, for two minutes.
func TestFrontchannel_racesALogin(t *testing.T) {
	for _, tt := range []struct {
		sid     string
		wait    time.Duration
		refused bool
	}{{"sid-1", 0, true}, {"sid-1", 2*time.Minute - 1, true}, {"sid-1", 2 * time.Minute, false}, {"sid-2", 0, false}} {
		r := newRig(t)
		back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"sid": "sid-1"})
		if err := r.frontchannel(r.cfg.Issuer, tt.sid); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(tt.wait)
		_, err := r.complete(back)
		r.wantOvertaken(err, tt.refused)
	}
}

// A session that two processes have in memory ends in both, and once.
func TestFrontchannel_everywhere(t *testing.T) {
	processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
		s, err := r.stored(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := p[1].HandleFrontchannelLogout(t.Context(), r.cfg.Issuer, s.Internal.SID, tokenward.StoreOptions{}); err != nil {
			t.Fatal(err)
		}
		r.rest()
		for i, p := range p {
			if u, err := p.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
				t.Errorf("process %d: %v, %v", i, u, err)
			}
		}
	})
}

// A request for one registration ends no session of another application, though both have the sid.
func TestFrontchannel_registrations(t *testing.T) {
	e := newEstate(t)
	ids := map[string]string{}
	for _, app := range []string{red, blue} {
		o := of(app, tokenward.StoreOptions{})
		_, back := e.begin(app, idptest.Claims{"sid": "shared"})
		login, err := e.client.CompleteInteractiveLogin(t.Context(), back, o)
		if err != nil {
			t.Fatal(err)
		}
		ids[app] = login.SessionID
	}
	if err := e.client.HandleFrontchannelLogout(t.Context(), e.provider(blue).Issuer(), "shared", of(blue, tokenward.StoreOptions{})); err != nil {
		t.Fatal(err)
	}
	if e.user(blue, ids[blue]) != nil || e.user(red, ids[red]) == nil {
		t.Errorf("blue, red: %v, %v", e.user(blue, ids[blue]), e.user(red, ids[red]))
	}
	err := e.client.HandleFrontchannelLogout(t.Context(), e.provider(green).Issuer(), "shared", of(blue, tokenward.StoreOptions{}))
	wantError[*tokenward.InvalidArgumentError](t, "another customer's issuer", err, "invalid_argument")
}
