package test_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func (r *rig) backchannel(token string) error {
	return r.client.HandleBackchannelLogout(r.t.Context(), token, tokenward.StoreOptions{})
}

// lives reports whether a session does.
func (r *rig) lives(id string) bool {
	r.t.Helper()
	u, err := r.client.GetUser(r.t.Context(), tokenward.SessionID(id))
	if err != nil {
		r.t.Fatalf("GetUser: %v", err)
	}
	return u != nil
}

// 7.2: every check of a logout token.
func TestBackchannel_checks(t *testing.T) {
	set := func(claim string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Claims[claim] = v }
	}
	drop := func(claim string) func(*idptest.Draft) {
		return func(d *idptest.Draft) { delete(d.Claims, claim) }
	}
	header := func(name string, v any) func(*idptest.Draft) {
		return func(d *idptest.Draft) { d.Header[name] = v }
	}
	event := func(v any) any { return map[string]any{logoutEvent: v} }
	now := t0.Unix()
	tests := []struct {
		name string
		edit func(*idptest.Draft)
		ok   bool
	}{
		{"as it is", func(*idptest.Draft) {}, true},
		{"no JWT", func(d *idptest.Draft) { d.Raw = "logout-token" }, false},
		{"unknown kid", header("kid", "nobody"), false},
		{"alg none", header("alg", "none"), false},
		{"alg HS256", header("alg", "HS256"), false},
		{"alg that is not configured", header("alg", "RS384"), false},
		{"altered signature", func(d *idptest.Draft) { d.BrokenSignature = true }, false},
		{"signed by another key", func(d *idptest.Draft) { d.WrongKey = true }, false},
		{"an access token by its type", header("typ", "at+jwt"), false},
		{"a JWT by its type", header("typ", "JWT"), true},
		{"for another client", set("aud", "other"), false},
		{"for several", set("aud", []string{"other", "demo"}), true}, // a logout token has no azp
		{"aud in a list", set("aud", []string{"demo"}), true},
		{"no aud", drop("aud"), false},
		{"another issuer", set("iss", "https://other.example/"), false},
		{"no issuer", drop("iss"), false},
		{"no iat", drop("iat"), false},
		{"iat in the future", set("iat", now+31), false},
		{"iat in the future, within the leeway", set("iat", now+30), true},
		{"iat that is no number", set("iat", "now"), false},
		{"nbf in the future", set("nbf", now+31), false},
		{"exp past", set("exp", now-31), false},
		{"exp past, within the leeway", set("exp", now-29), true},
		{"no exp", drop("exp"), true},
		{"no events", drop("events"), false},
		{"another event", set("events", map[string]any{"http://example.com/event": map[string]any{}}), false},
		{"an event that is null", set("events", event(nil)), false},
		{"an event that is a text", set("events", event("x")), false},
		{"an event that is a list", set("events", event([]any{})), false},
		{"events that are a list", set("events", []string{logoutEvent}), false},
		{"an event with contents", set("events", event(map[string]any{"a": 1})), true},
		{"a nonce", set("nonce", "n"), false},
		{"an empty sid", set("sid", ""), false},
		{"a sid that is a number", set("sid", 7), false},
		{"an empty sub", set("sub", ""), false},
		{"a sub that is a number", set("sub", 7), false},
		{"neither sid nor sub", func(d *idptest.Draft) { delete(d.Claims, "sid"); delete(d.Claims, "sub") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			id := r.login(idptest.Claims{"sid": "sid-1"})
			err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "sid-1", tt.edit))
			if tt.ok {
				if err != nil || r.lives(id) {
					t.Errorf("err = %v, lives %v", err, r.lives(id))
				}
				return
			}
			wantError[*tokenward.BackchannelLogoutError](t, "logout", err, "backchannel_logout_error")
			if !r.lives(id) {
				t.Error("the session ended all the same")
			}
			r.want("deletes", r.store.Ends(), 0)
			if err != nil && len(r.tenant.SecretsIn(err.Error())) > 0 {
				t.Errorf("%v quotes the token", err)
			}
		})
	}
}

func TestBackchannel_noToken(t *testing.T) {
	r := newRig(t)
	for _, token := range []string{"", "  ", "\n"} {
		wantError[*tokenward.BackchannelLogoutError](t, "logout", r.backchannel(token), "backchannel_logout_error")
	}
	r.want("requests", r.tenant.Requests(idptest.Any), 0)
}

// Another issuer is both kinds of error, and noticed before a key is fetched.
func TestBackchannel_anotherIssuer(t *testing.T) {
	r := newRig(t)
	err := r.backchannel(r.tenant.LogoutToken("ada", "", func(d *idptest.Draft) { d.Claims["iss"] = "https://other.example/" }))
	wantError[*tokenward.BackchannelLogoutError](t, "logout", err, "backchannel_logout_error")
	var wrong *tokenward.IssuerValidationError
	if !errors.As(err, &wrong) {
		t.Errorf("%v is no IssuerValidationError", err)
	}
	r.want("requests", r.tenant.Requests(idptest.Any), 0)
}

// An ID token is no logout token.
func TestBackchannel_anIDToken(t *testing.T) {
	r := newRig(t)
	id := r.login()
	s, err := r.client.GetSession(t.Context(), tokenward.SessionID(id))
	if err != nil {
		t.Fatal(err)
	}
	wantError[*tokenward.BackchannelLogoutError](t, "logout", r.backchannel(s.IDToken), "backchannel_logout_error")
}

// Whom a token ends: the sessions of its sid, and of its sub where it has both; of its sub
// alone, all of that user's.
func TestBackchannel_matches(t *testing.T) {
	const ada, bob = idptest.Subject, "auth0|bob"
	tests := []struct {
		name     string
		sub, sid string
		ends     []string // of phone and laptop (both ada's, sid-1 and sid-2), and bob's (sid-3)
	}{
		{"sid", "", "sid-1", []string{"phone"}},
		{"sub", ada, "", []string{"laptop", "phone"}},
		{"both", ada, "sid-2", []string{"laptop"}},
		{"a sid of somebody else", ada, "sid-3", nil},
		{"an unknown sid", "", "sid-9", nil},
		{"an unknown sub", "nobody", "", nil},
		{"a sub as a sid", "", ada, nil},
		{"another user", bob, "", []string{"bob"}},
	}
	for _, tt := range tests {
		for _, resident := range []bool{true, false} {
			r := newRig(t, withTenant(idptest.WithUser(bob, idptest.Claims{})))
			r.loginAs(tokenward.SessionID("phone"), idptest.Claims{"sid": "sid-1"})
			r.loginAs(tokenward.SessionID("laptop"), idptest.Claims{"sid": "sid-2"})
			r.tenant.Set(idptest.WithDefaultUser(bob))
			r.loginAs(tokenward.SessionID("bob"), idptest.Claims{"sid": "sid-3"})
			if !resident {
				r.restart()
			}
			token := r.tenant.LogoutToken(tt.sub, tt.sid, func(d *idptest.Draft) { d.Claims["aud"] = "demo" })
			for range 2 { // once more does no harm
				if err := r.backchannel(token); err != nil {
					t.Errorf("%s, resident %v: %v", tt.name, resident, err)
				}
			}
			r.want(tt.name+": deletes", r.store.Ends(), len(tt.ends))
			for _, id := range []string{"phone", "laptop", "bob"} {
				ended := false
				for _, e := range tt.ends {
					ended = ended || e == id
				}
				if r.lives(id) == ended {
					t.Errorf("%s, resident %v: %s lives %v", tt.name, resident, id, !ended)
				}
			}
			for _, id := range tt.ends {
				var gone *store.GoneError
				if _, err := r.memory.Load(t.Context(), key(id), store.Options{}); !errors.As(err, &gone) || gone.Reason != session.ReasonBackchannelLogout {
					t.Errorf("%s: what is left of %s says %v", tt.name, id, err)
				}
			}
		}
	}
}

// More sessions than are ended at once.
func TestBackchannel_manySessions(t *testing.T) {
	r := newRig(t)
	for range 50 {
		r.login()
	}
	if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "")); err != nil {
		t.Fatal(err)
	}
	r.want("deletes", r.store.Ends(), 50)
	r.want("sessions", r.memory.Len(), 0)
}

// Sessions that secrets of before sealed are found as well.
func TestBackchannel_afterASecretChanged(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"sid": "sid-1"})
	r.cfg.Secrets = []string{"the younger secret of at least thirty-two bytes", secret}
	r.restart()
	if err := r.backchannel(r.tenant.LogoutToken("", "sid-1")); err != nil {
		t.Fatal(err)
	}
	if r.lives(id) {
		t.Error("it lives on")
	}
}

func TestBackchannel_storeWithoutIndex(t *testing.T) {
	r := newRig(t)
	r.restart(tokenward.WithStateStore(storetest.Without[store.Index](r.store)))
	id := r.login(idptest.Claims{"sid": "sid-1"})
	err := r.backchannel(r.tenant.LogoutToken("", "sid-1"))
	wantError[*tokenward.ConfigurationError](t, "logout", err, "configuration_error")
	if !r.lives(id) {
		t.Error("the session ended all the same")
	}
}

// wrongIndex finds every session, whatever it is asked for.
type wrongIndex struct {
	store.StateStore
	refs []store.Ref
}

func (s *wrongIndex) Unwrap() store.StateStore { return s.StateStore }

func (s *wrongIndex) Find(context.Context, []store.IndexValue, store.Options) ([]store.Ref, error) {
	return s.refs, nil
}

func (s *wrongIndex) Due(ctx context.Context, from, until session.Ceiling, after store.Ref, n int, o store.Options) ([]store.Ref, error) {
	ix, _ := store.As[store.Index](s.StateStore)
	return ix.Due(ctx, from, until, after, n, o)
}

func (s *wrongIndex) ClaimDue(ctx context.Context, until session.Ceiling, n int, d time.Duration, o store.Options) ([]store.Ref, error) {
	ix, _ := store.As[store.Index](s.StateStore)
	return ix.ClaimDue(ctx, until, n, d, o)
}

// What an index says is a hint: only sessions that the token names end.
func TestBackchannel_wrongIndex(t *testing.T) {
	r := newRig(t)
	wrong := &wrongIndex{StateStore: r.store}
	r.restart(tokenward.WithStateStore(wrong))
	mine, other := r.login(idptest.Claims{"sid": "sid-1"}), r.login(idptest.Claims{"sid": "sid-2"})
	wrong.refs = []store.Ref{{Key: key(mine)}, {Key: key(other)}, {Key: key("nobody")}}
	if err := r.backchannel(r.tenant.LogoutToken("", "sid-1")); err != nil {
		t.Fatal(err)
	}
	if r.lives(mine) || !r.lives(other) {
		t.Errorf("the one lives %v, the other %v", r.lives(mine), r.lives(other))
	}
}

// Where the store does not answer the provider is told, so that it sends the token again.
func TestBackchannel_storeFails(t *testing.T) {
	for _, op := range []storetest.Op{storetest.OpFind, storetest.OpEnd} {
		r := newRig(t)
		id := r.login(idptest.Claims{"sid": "sid-1"})
		token := r.tenant.LogoutToken("", "sid-1")
		r.store.Fail(op, 1)
		if err := r.backchannel(token); !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
			t.Errorf("%s fails: %v", op, err)
		}
		if op == storetest.OpEnd && r.lives(id) {
			t.Errorf("%s fails: the session lives on here", op)
		}
		r.settle()
		r.clock.Advance(time.Second)
		r.settle()
		if err := r.backchannel(token); err != nil {
			t.Errorf("once more: %v", err)
		}
		if r.lives(id) || r.memory.Len() != 0 {
			t.Errorf("%s fails: it lives in the end", op)
		}
	}
}

// A logout token that arrives while its session's login is under way: the login is refused.
func TestBackchannel_racesALogin(t *testing.T) {
	tests := []struct {
		name     string
		sub, sid string
		refused  bool
	}{
		{"its sid", "", "sid-1", true},
		{"its user", idptest.Subject, "", true},
		{"its sid and user", idptest.Subject, "sid-1", true},
		{"another sid", "", "sid-2", false},
		{"another user", "somebody", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name+", during the code exchange", func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"sid": "sid-1"})
			hold := r.tenant.Hold(idptest.CodeExchange, idptest.AfterGrant)
			done := make(chan error, 1)
			go func() {
				_, err := r.complete(back)
				done <- err
			}()
			if err := hold.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if err := r.backchannel(r.tenant.LogoutToken(tt.sub, tt.sid, func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
				t.Fatal(err)
			}
			hold.Release()
			r.wantOvertaken(<-done, tt.refused)
		})
		t.Run(tt.name+", during the write", func(t *testing.T) {
			r := newRig(t)
			back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"sid": "sid-1"})
			gate := r.store.Hold(storetest.OpReplace)
			done := make(chan error, 1)
			go func() {
				_, err := r.complete(back)
				done <- err
			}()
			gate.Arrived(t, 1)
			if err := r.backchannel(r.tenant.LogoutToken(tt.sub, tt.sid, func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
				t.Fatal(err)
			}
			gate.Release()
			err := <-done
			r.settle()
			r.wantOvertaken(err, tt.refused)
		})
	}
}

func (r *rig) wantOvertaken(err error, refused bool) {
	r.t.Helper()
	if !refused {
		if err != nil {
			r.t.Errorf("the login: %v", err)
		}
		return
	}
	wantError[*tokenward.SessionExpiredError](r.t, "the login", err, "session_expired")
	r.want("sessions", r.memory.Len(), 0)
}

// A logout of a user is remembered for two minutes, and only against ID tokens that are
// not younger than it; one of a session against that session.
func TestBackchannel_isRememberedForTwoMinutes(t *testing.T) {
	login := func(r *rig, sid string) error {
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"sid": sid})
		return err
	}
	t.Run("a user", func(t *testing.T) {
		r := newRig(t)
		if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
			t.Fatal(err)
		}
		r.wantOvertaken(login(r, "sid-1"), true)
		r.clock.Advance(time.Second)
		r.wantOvertaken(login(r, "sid-2"), false)
	})
	t.Run("a user, and then an older token comes", func(t *testing.T) {
		r := newRig(t)
		for _, age := range []time.Duration{0, time.Minute} {
			token := r.tenant.LogoutToken(idptest.Subject, "", func(d *idptest.Draft) {
				d.Claims["aud"], d.Claims["iat"] = "demo", t0.Add(-age).Unix()
			})
			if err := r.backchannel(token); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"sid": "sid-1", "iat": t0.Unix() - 5})
		r.wantOvertaken(err, true)
	})
	t.Run("a session", func(t *testing.T) {
		r := newRig(t)
		if err := r.backchannel(r.tenant.LogoutToken("", "sid-1", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(2*time.Minute - time.Second)
		r.wantOvertaken(login(r, "sid-1"), true)
		r.wantOvertaken(login(r, "sid-2"), false)
		r.clock.Advance(2 * time.Second)
		r.wantOvertaken(login(r, "sid-1"), false)
	})
}

// It ends like a logout: a refresh under way does not bring the session back.
func TestBackchannel_endsWhatALogoutEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		id := r.login(idptest.Claims{"sid": "sid-1"})
		hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
		c := r.ask(t.Context(), id, tokenward.TokenRequest{Audience: apiB})
		r.rest()
		if err := r.backchannel(r.tenant.LogoutToken("", "sid-1")); err != nil {
			t.Fatal(err)
		}
		_, err := c.wait()
		r.wantCode("GetAccessToken", err, "missing_session")
		hold.Release()
		r.rest()
		r.want("sessions", r.memory.Len(), 0)
		r.want("updates", r.store.Updates(), 0)
		r.wantCode("afterwards", r.tokenErr(id, tokenward.TokenRequest{}), "missing_refresh_token")
	})
}

func TestBackchannel_endsWhatACeilingLeft(t *testing.T) {
	for name, token := range map[string][2]string{"by sid": {"", "sid-1"}, "by sub": {idptest.Subject, ""}} {
		r := newRig(t, withTenant(idptest.WithConnectionTokenLife(10*time.Hour)))
		id := r.login(until(time.Hour), idptest.Claims{"sid": "sid-1"})
		q := tokenward.ConnectionRequest{Connection: google}
		first := r.connection(id, q)
		r.advance(time.Hour)
		if again := r.connection(id, q); again != first {
			t.Fatal("nothing was left")
		}
		if err := r.backchannel(r.tenant.LogoutToken("", "sid-2", func(d *idptest.Draft) { d.Claims["aud"] = "demo" })); err != nil {
			t.Fatal(err)
		}
		if again := r.connection(id, q); again != first {
			t.Errorf("%s: another session's logout took it", name)
		}
		if err := r.backchannel(r.tenant.LogoutToken(token[0], token[1])); err != nil {
			t.Fatal(err)
		}
		r.wantConnectionCode(name, r.connectionErr(id, q), "missing_refresh_token")
	}
}

// A logout token that comes just before the ceiling ends the remainder too, which the ceiling leaves while it is handled.
func TestBackchannel_atTheCeiling(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithConnectionTokenLife(10*time.Hour)), withLimits(tokenward.Limits{PassivateAfter: 2 * time.Hour})) // in memory
	id := r.login(until(time.Hour), idptest.Claims{"sid": "sid-1"})
	q := tokenward.ConnectionRequest{Connection: google}
	r.connection(id, q)
	r.clock.Advance(time.Hour - session.CeilingLeeway - time.Second)
	token := r.tenant.LogoutToken("", "sid-1")
	gate := r.store.Hold(storetest.OpLoad) // the session was found, and is looked at
	done := make(chan error, 1)
	go func() { done <- r.backchannel(token) }()
	gate.Arrived(t, 1)
	r.clock.Advance(2 * time.Second)
	r.settle()
	gate.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.wantConnectionCode("after the logout token", r.connectionErr(id, q), "missing_refresh_token")
}
