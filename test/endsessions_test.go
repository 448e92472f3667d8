package test_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

func (r *rig) end(q tokenward.EndRequest) int {
	r.t.Helper()
	n, err := r.client.EndSessions(r.t.Context(), q, tokenward.StoreOptions{})
	if err != nil {
		r.t.Fatalf("EndSessions: %v", err)
	}
	return n
}

// What a request names ends, once, whether it is in memory or asleep; nothing else does.
func TestEndSessions(t *testing.T) {
	const ada, bob = idptest.Subject, "auth0|bob"
	tests := []struct {
		name  string
		by    time.Duration // after t0; the sessions begin at 0 (phone), 1m (laptop) and 1h (tablet), bob's at 0
		q     tokenward.EndRequest
		other bool // another issuer
		ends  []string
	}{
		{name: "a user, now", by: 2 * time.Hour, q: tokenward.EndRequest{Subject: ada}, ends: []string{"phone", "laptop", "tablet"}},
		{name: "a user, at an earlier time", by: 30 * time.Second, q: tokenward.EndRequest{Subject: ada}, ends: []string{"phone", "laptop"}},
		{name: "30 seconds are allowed and no more", by: 29 * time.Second, q: tokenward.EndRequest{Subject: ada}, ends: []string{"phone"}},
		{name: "a session", by: 2 * time.Hour, q: tokenward.EndRequest{SID: "laptop"}, ends: []string{"laptop"}},
		{name: "a session of a user", by: 2 * time.Hour, q: tokenward.EndRequest{SID: "laptop", Subject: ada}, ends: []string{"laptop"}},
		{name: "a session of another user", by: 2 * time.Hour, q: tokenward.EndRequest{SID: "laptop", Subject: bob}},
		{name: "a session that began later", by: time.Minute, q: tokenward.EndRequest{SID: "tablet"}},
		{name: "another issuer's user", by: 2 * time.Hour, q: tokenward.EndRequest{Subject: ada}, other: true},
		{name: "an unknown user", by: 2 * time.Hour, q: tokenward.EndRequest{Subject: "eve"}},
	}
	for _, tt := range tests {
		for _, resident := range []bool{true, false} {
			r := newRig(t)
			r.tenant.SetUser(bob, nil)
			ids := map[string]string{"phone": r.login(idptest.Claims{"sid": "phone"}), "bob's": r.login(idptest.Claims{"sub": bob, "sid": "bob's"})}
			r.clock.Advance(time.Minute)
			ids["laptop"] = r.login(idptest.Claims{"sid": "laptop"})
			r.clock.Advance(59 * time.Minute)
			ids["tablet"] = r.login(idptest.Claims{"sid": "tablet"})
			if !resident {
				r.restart()
			}
			tt.q.Issuer, tt.q.BeganBy = r.tenant.Issuer(), t0.Add(tt.by)
			if tt.other {
				tt.q.Issuer = "https://other.example/"
			}
			if n := r.end(tt.q); n != len(tt.ends) {
				t.Errorf("%s, resident %v: ended %d, want %d", tt.name, resident, n, len(tt.ends))
			}
			if n := r.end(tt.q); n != 0 {
				t.Errorf("%s, resident %v: ended %d more when it came again", tt.name, resident, n)
			}
			gone := map[string]bool{}
			for _, name := range tt.ends {
				gone[name] = true
			}
			for name, id := range ids {
				if r.lives(id) == gone[name] {
					t.Errorf("%s, resident %v: %s lives: %v", tt.name, resident, name, !gone[name])
				}
			}
			r.want("deletes", r.store.Ends(), len(tt.ends))
		}
	}
}

// A login that is under way when its user is signed out does not outlive that; one that began afterwards goes on.
func TestEndSessions_loginUnderWay(t *testing.T) {
	for name, q := range map[string]tokenward.EndRequest{
		"by sub": {Subject: idptest.Subject}, "by sid": {SID: "sid-1"}, "by both": {Subject: idptest.Subject, SID: "sid-1"}, "by email": {Email: "Ada@example.com"},
		"another user": {Subject: "eve", SID: "sid-1"}, "another session": {Subject: idptest.Subject, SID: "sid-9"},
	} {
		r := newRig(t)
		q.Issuer = r.tenant.Issuer()
		back := r.callback(tokenward.LoginRequest{}, idptest.Claims{"sid": "sid-1", "email": "ada@example.com", "email_verified": true})
		hold := r.tenant.Hold(idptest.CodeExchange, idptest.AfterGrant)
		answer := make(chan error, 1)
		go func() {
			_, err := r.complete(back)
			answer <- err
		}()
		if err := hold.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if n := r.end(q); n != 0 {
			t.Errorf("%s: ended %d sessions before there was one", name, n)
		}
		hold.Release()
		r.wantOvertaken(<-answer, !strings.HasPrefix(name, "another"))
		r.clock.Advance(time.Second)
		r.login(idptest.Claims{"sid": "sid-2"})
	}
}

// Who names nothing is told so, and nothing ends.
func TestEndSessions_arguments(t *testing.T) {
	r := newRig(t)
	id := r.login()
	for _, q := range []tokenward.EndRequest{{}, {Issuer: r.tenant.Issuer()}, {Issuer: "auth0|ada", Subject: idptest.Subject}} {
		var wrong *tokenward.InvalidArgumentError
		if _, err := r.client.EndSessions(t.Context(), q, tokenward.StoreOptions{}); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := r.client.EndSessionsOf(t.Context(), "auth0|ada", tokenward.StoreOptions{}); !errors.As(err, new(*tokenward.InvalidArgumentError)) {
		t.Errorf("a user for an issuer: %v", err)
	}
	if !r.lives(id) {
		t.Error("the session ended")
	}
	n, err := r.client.EndSessions(t.Context(), tokenward.EndRequest{Subject: idptest.Subject}, tokenward.StoreOptions{})
	if n != 1 || err != nil || r.lives(id) {
		t.Errorf("without an issuer, at the configured one: %d ended, %v", n, err)
	}
}

// An email ends the sessions in which the provider says that it has verified it, and all others of the same users.
func TestEndSessions_email(t *testing.T) {
	r := newRig(t)
	ids := map[string]string{}
	for name, claims := range map[string]idptest.Claims{
		"verified":    {"sub": "ada", "email": "Ada@Example.com", "email_verified": true},
		"text":        {"sub": "ada", "email": "ada@example.com", "email_verified": "true"},
		"same user":   {"sub": "ada", "email": nil, "email_verified": nil},
		"not so said": {"sub": "eve", "email": "ada@example.com", "email_verified": nil},
		"unverified":  {"sub": "mallory", "email": "ada@example.com", "email_verified": false},
		"other":       {"sub": "bob", "sid": "of bob", "email": "bob@example.com", "email_verified": true},
		"kate":        {"sub": "kate", "email": "kate@example.com", "email_verified": true},
	} {
		ids[name] = r.login(claims)
	}
	if n := r.end(tokenward.EndRequest{Issuer: r.tenant.Issuer(), Email: " ADA@example.com"}); n != 3 {
		t.Errorf("ended %d sessions, want 3", n)
	}
	for name, id := range ids {
		if ends := name == "verified" || name == "text" || name == "same user"; r.lives(id) == ends {
			t.Errorf("%s: lives %v", name, !ends)
		}
	}
	none := r.login(idptest.Claims{"sub": "dan", "sid": "of dan", "email": nil, "email_verified": nil})
	for _, q := range []tokenward.EndRequest{
		{Email: "bob@example.com", Subject: "ada"},
		{Email: "bob@example.com", SID: "none"},
		{Email: "eve@example.com", SID: "of bob"},
		{Email: "\u212aate@example.com"}, // the Kelvin sign
	} {
		q.Issuer = r.tenant.Issuer()
		if n := r.end(q); n != 0 || !r.lives(ids["other"]) || !r.lives(ids["kate"]) {
			t.Errorf("%+v: ended %d sessions of a user that only part of it names", q, n)
		}
	}
	for sid, id := range map[string]string{"of bob": ids["other"], "of dan": none} { // of a session that names no email none can be compared
		if n := r.end(tokenward.EndRequest{Issuer: r.tenant.Issuer(), SID: sid, Email: "bob@example.com"}); n != 1 || r.lives(id) {
			t.Errorf("the session %s: ended %d", sid, n)
		}
	}
}

// A listing names a session by its key. What an operator ends so is gone, and a login under that id is not hindered.
func TestEndSession(t *testing.T) {
	r := newRig(t)
	id, other := r.login(), r.login()
	named := key(id)
	for range 2 {
		if err := r.client.EndSession(t.Context(), named, tokenward.StoreOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if r.lives(id) || !r.lives(other) {
		t.Errorf("lives: %v, and another %v", r.lives(id), r.lives(other))
	}
	var wrong *tokenward.InvalidArgumentError
	if err := r.client.EndSession(t.Context(), tokenward.Key{}, tokenward.StoreOptions{}); !errors.As(err, &wrong) {
		t.Errorf("no key: %v", err)
	}
	if again := r.loginAs(tokenward.SessionID(id)); !r.lives(again) {
		t.Error("the user cannot sign in again")
	}
}

// A store that fails in the middle of a sign-out: the caller is told, and nothing that has ended comes back. What the store did not take is
// gone here all the same, and ends there by itself; the call may come again.
func TestEndSessions_storeFailsInTheMiddle(t *testing.T) {
	for _, resident := range []bool{true, false} {
		for _, tt := range []struct {
			op  storetest.Op
			all int
		}{{storetest.OpEnd, 40}, {storetest.OpLoad, 40}, {storetest.OpFind, 40}, {storetest.OpEndAll, 300}} { // 256 end in one call
			r, op := newRig(t), tt.op
			var ids []string
			for range tt.all {
				ids = append(ids, r.login())
			}
			other := r.login(idptest.Claims{"sub": "bob"})
			if !resident {
				r.restart()
			}
			r.store.Fail(op, 1)
			q := tokenward.EndRequest{Issuer: r.tenant.Issuer(), Subject: idptest.Subject}
			n, err := r.client.EndSessions(t.Context(), q, tokenward.StoreOptions{})
			if !errors.Is(err, tokenward.ErrStore) {
				t.Errorf("resident %v, %v: %d ended, %v", resident, op, n, err)
			}
			r.end(q)
			r.settle()
			for _, id := range ids {
				if _, err := r.stored(id); r.lives(id) || !errors.Is(err, store.ErrNotFound) {
					t.Errorf("resident %v, %v: a session lives, in the store: %v", resident, op, err)
				}
			}
			if !r.lives(other) {
				t.Errorf("resident %v, %v: another user was signed out", resident, op)
			}
		}
	}
}
