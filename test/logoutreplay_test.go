package test_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// madeAt lets a logout token have been made at a time, good until another.
func madeAt(made, until time.Time, more ...func(*idptest.Draft)) func(*idptest.Draft) {
	return func(d *idptest.Draft) {
		d.Claims["aud"], d.Claims["iat"], d.Claims["exp"] = "demo", made.Unix(), until.Unix()
		for _, f := range more {
			f(d)
		}
	}
}

func withoutJTI(d *idptest.Draft) { delete(d.Claims, "jti") }

// A token that names a user and no session ends the sessions that began by its iat, or within
// 30 seconds after, whether they are in memory or asleep.
func TestBackchannel_aUsersOlderToken(t *testing.T) {
	for _, resident := range []bool{true, false} {
		r := newRig(t)
		begun := map[time.Duration]string{} // how long after t0
		for _, after := range []time.Duration{0, time.Minute, 89 * time.Second, 90 * time.Second, 91 * time.Second, time.Hour} {
			r.clock.Advance(t0.Add(after).Sub(r.clock.Now()))
			begun[after] = r.login()
		}
		if !resident {
			r.restart()
		}
		token := r.tenant.LogoutToken(idptest.Subject, "", madeAt(t0.Add(time.Minute), t0.Add(2*time.Hour)))
		for range 2 {
			if err := r.backchannel(token); err != nil {
				t.Fatal(err)
			}
		}
		for after, id := range begun {
			if r.lives(id) != (after > 90*time.Second) {
				t.Errorf("resident %v: of a token made after 1m0s, the session that began after %v: lives %v", resident, after, r.lives(id))
			}
		}
		r.want("deletes", r.store.Ends(), 4)
	}
}

// A token that is sent again, to this process, another or a later one, ends nothing newer.
func TestBackchannel_aUsersTokenIsReplayed(t *testing.T) {
	for name, edit := range map[string]func(*idptest.Draft){"with jti": func(*idptest.Draft) {}, "without jti": withoutJTI} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			old := r.login()
			token := r.tenant.LogoutToken(idptest.Subject, "", madeAt(t0, t0.Add(24*time.Hour), edit))
			if err := r.backchannel(token); err != nil || r.lives(old) {
				t.Fatalf("err = %v, lives %v", err, r.lives(old))
			}
			r.clock.Advance(31 * time.Second)
			id := r.login()
			again := func(where string) {
				t.Helper()
				if err := r.backchannel(token); err != nil {
					t.Errorf("%s: %v", where, err)
				}
				if !r.lives(id) {
					t.Errorf("%s: the newer session ended", where)
				}
			}
			again("at once")
			r.clock.Advance(2 * time.Hour)
			again("when it was forgotten")
			r.restart()
			again("after a restart")
			r.client = r.newClient(tokenward.WithStateStore(r.store))
			again("in another process")
			_, err := r.tryLogin(tokenward.StoreOptions{})
			r.wantOvertaken(err, false)
		})
	}
}

// A token that names a session ends it whenever it began, and a token that was handled is not handled
// again within the hour.
func TestBackchannel_aSessionsTokenIsReplayed(t *testing.T) {
	for name, edit := range map[string]func(*idptest.Draft){"with jti": func(*idptest.Draft) {}, "without jti": withoutJTI} {
		for _, sub := range []string{"", idptest.Subject} {
			t.Run(name+sub, func(t *testing.T) {
				r := newRig(t)
				r.login(idptest.Claims{"sid": "sid-1"})
				token := r.tenant.LogoutToken(sub, "sid-1", madeAt(t0.Add(-time.Hour), t0.Add(24*time.Hour), edit))
				if err := r.backchannel(token); err != nil {
					t.Fatal(err)
				}
				r.want("deletes", r.store.Ends(), 1)
				r.clock.Advance(3 * time.Minute)
				id := r.login(idptest.Claims{"sid": "sid-1"})
				r.clock.Advance(time.Hour - 3*time.Minute - time.Second)
				if err := r.backchannel(token); err != nil || !r.lives(id) {
					t.Errorf("within the hour: err = %v, lives %v", err, r.lives(id))
				}
				r.clock.Advance(2 * time.Second)
				if err := r.backchannel(token); err != nil || r.lives(id) {
					t.Errorf("after the hour: err = %v, lives %v", err, r.lives(id))
				}
			})
		}
	}
}

// Two tokens without jti are two.
func TestBackchannel_tokensWithoutJTI(t *testing.T) {
	r := newRig(t)
	ids := []string{r.login(idptest.Claims{"sid": "sid-1"}), r.login(idptest.Claims{"sid": "sid-2"})}
	for i, sid := range []string{"sid-1", "sid-2"} {
		if err := r.backchannel(r.tenant.LogoutToken("", sid, withoutJTI)); err != nil || r.lives(ids[i]) {
			t.Errorf("%s: err = %v, lives %v", sid, err, r.lives(ids[i]))
		}
	}
}

// When a login was is what its ID token said then: no refresh makes a session younger.
func TestBackchannel_aRefreshMakesNoSessionYounger(t *testing.T) {
	for _, resident := range []bool{true, false} {
		r := newRig(t, withClient(tokenward.WithUserUpdates()))
		id := r.login()
		r.clock.Advance(idptest.TokenLife)
		r.tenant.SetUser(idptest.Subject, idptest.Claims{"name": "Ada King"})
		r.token(id, tokenward.TokenRequest{})
		if s := r.state(id); s.User.Claims().Name() != "Ada King" || s.LoggedInAt() != t0.Unix() {
			t.Errorf("the user is called %q, and signed in at %d, want the new name and %d", s.User.Claims().Name(), s.LoggedInAt(), t0.Unix())
		}
		if !resident {
			r.restart()
		}
		token := r.tenant.LogoutToken(idptest.Subject, "", madeAt(t0.Add(time.Minute), r.clock.Now().Add(time.Minute)))
		if err := r.backchannel(token); err != nil || r.lives(id) {
			t.Errorf("resident %v: err = %v, lives %v", resident, err, r.lives(id))
		}
	}
}

// Without an iat in the ID token it is when the session was made that counts.
func TestBackchannel_sessionsWithoutIAT(t *testing.T) {
	r := newRig(t)
	old := r.login(idptest.Claims{"iat": idptest.Absent})
	r.clock.Advance(time.Minute)
	id := r.login(idptest.Claims{"iat": idptest.Absent})
	if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "", madeAt(t0, t0.Add(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	if r.lives(old) || !r.lives(id) {
		t.Errorf("the older lives %v, the newer %v", r.lives(old), r.lives(id))
	}
}

// What a ceiling left of a newer session is left too.
func TestBackchannel_aUsersOlderTokenAndWhatACeilingLeft(t *testing.T) {
	r := newRig(t, withTenant(idptest.WithConnectionTokenLife(10*time.Hour)))
	r.clock.Advance(time.Minute)
	id := r.login(until(time.Hour))
	q := tokenward.ConnectionRequest{Connection: google}
	first := r.connection(id, q)
	r.advance(time.Hour)
	for _, tt := range []struct {
		made  time.Time
		stays bool
	}{{t0, true}, {t0.Add(30 * time.Second), false}} {
		if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "", madeAt(tt.made, t0.Add(5*time.Hour)))); err != nil {
			t.Fatal(err)
		}
		if tt.stays {
			if again := r.connection(id, q); again != first {
				t.Errorf("an older token took it")
			}
			continue
		}
		r.wantConnectionCode("the right token", r.connectionErr(id, q), "missing_refresh_token")
	}
}

// A logout is remembered for two minutes against logins that are under way: by user, those whose
// ID token is not younger.
func TestBackchannel_howLongAUsersLogoutIsRemembered(t *testing.T) {
	r := newRig(t)
	if err := r.backchannel(r.tenant.LogoutToken(idptest.Subject, "", madeAt(t0, t0.Add(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	login := func(iat time.Time) error {
		_, err := r.tryLogin(tokenward.StoreOptions{}, idptest.Claims{"iat": iat.Unix()})
		return err
	}
	r.clock.Advance(2*time.Minute - time.Second)
	r.wantOvertaken(login(t0), true)
	r.wantOvertaken(login(t0.Add(time.Second)), false)
	r.clock.Advance(time.Second)
	r.wantOvertaken(login(t0), false)
}

// A logout token without exp (Hydra) is good for ten minutes.
func TestBackchannel_noExp(t *testing.T) {
	r := newRig(t)
	for age, ok := range map[time.Duration]bool{
		0: true, 10 * time.Minute: true, 10*time.Minute + time.Second: false, 24 * time.Hour: false,
	} {
		id := r.login(idptest.Claims{"sid": "sid-" + age.String()})
		err := r.backchannel(r.tenant.LogoutToken("", "sid-"+age.String(), madeAt(t0.Add(-age), t0, func(d *idptest.Draft) {
			delete(d.Claims, "exp")
		})))
		if !ok {
			wantError[*tokenward.BackchannelLogoutError](t, age.String(), err, "backchannel_logout_error")
		} else if err != nil {
			t.Errorf("%v: %v", age, err)
		}
		if r.lives(id) == ok {
			t.Errorf("%v: the session lives %v", age, r.lives(id))
		}
	}
}
