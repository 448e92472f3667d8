package test_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// listed returns what Sessions yields, by key.
func (r *rig) listed(c *tokenward.Client, q tokenward.SessionQuery) map[tokenward.Key]tokenward.SessionInfo {
	r.t.Helper()
	all := map[tokenward.Key]tokenward.SessionInfo{}
	for s, err := range c.Sessions(r.t.Context(), q, tokenward.StoreOptions{}) {
		if err != nil {
			r.t.Fatalf("%+v: %v", q, err)
		}
		if _, again := all[s.Key]; again {
			r.t.Errorf("%+v: a session is listed twice", q)
		}
		all[s.Key] = s
	}
	if n, err := c.CountSessions(r.t.Context(), q, 0, tokenward.StoreOptions{}); err != nil || n != len(all) {
		r.t.Errorf("%+v: %d are listed, CountSessions = %d, %v", q, len(all), n, err)
	}
	return all
}

// A listing shows each session that lives, and nothing by which anyone could use it. Every filter holds.
func TestSessions(t *testing.T) {
	r := newRig(t)
	ids := map[string]string{}
	login := func(name string, claims idptest.Claims) { ids[name] = r.login(claims) }
	login("ada's phone", idptest.Claims{"sub": "ada", "sid": "phone", "email": "ada@example.com", "email_verified": true, "name": "Ada"})
	r.clock.Advance(time.Hour)
	login("ada's laptop", idptest.Claims{"sub": "ada", "sid": "laptop", "email": "ada@example.com", "email_verified": false, "session_expiry": r.clock.Now().Add(time.Hour).Unix()})
	r.clock.Advance(time.Hour / 2)
	login("bob's", idptest.Claims{"sub": "bob", "sid": "other", "email": "Bob@Example.com", "email_verified": true, "session_expiry": r.clock.Now().Add(2 * time.Hour).Unix()})
	gone := r.login(idptest.Claims{"sub": "eve"})
	if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, tokenward.SessionID(gone)); err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	for _, tt := range []struct {
		q    tokenward.SessionQuery
		want []string
	}{
		{tokenward.SessionQuery{}, []string{"ada's phone", "ada's laptop", "bob's"}},
		{tokenward.SessionQuery{Issuer: r.tenant.Issuer()}, []string{"ada's phone", "ada's laptop", "bob's"}},
		{tokenward.SessionQuery{Issuer: "other.example"}, nil},
		{tokenward.SessionQuery{Subject: "ada"}, []string{"ada's phone", "ada's laptop"}},
		{tokenward.SessionQuery{Issuer: "other.example", Subject: "ada"}, nil},
		{tokenward.SessionQuery{Email: "ADA@example.com"}, []string{"ada's phone"}},
		{tokenward.SessionQuery{Email: "bob@example.com"}, []string{"bob's"}},
		{tokenward.SessionQuery{SID: "laptop"}, []string{"ada's laptop"}},
		{tokenward.SessionQuery{SID: "laptop", Subject: "bob"}, nil},
		{tokenward.SessionQuery{SID: "phone", Subject: "ada", Email: "ada@example.com"}, []string{"ada's phone"}},
		{tokenward.SessionQuery{DeadlineUntil: at(100 * time.Hour)}, []string{"ada's laptop", "bob's"}},
		{tokenward.SessionQuery{DeadlineUntil: at(2 * time.Hour)}, []string{"ada's laptop"}},
		{tokenward.SessionQuery{DeadlineFrom: at(2 * time.Hour), DeadlineUntil: at(100 * time.Hour)}, []string{"bob's"}},
		{tokenward.SessionQuery{DeadlineFrom: at(2 * time.Hour)}, []string{"bob's"}},
		{tokenward.SessionQuery{Subject: "ada", DeadlineUntil: at(100 * time.Hour)}, []string{"ada's laptop"}},
		{tokenward.SessionQuery{UsedFrom: at(time.Hour)}, []string{"ada's laptop", "bob's"}},
		{tokenward.SessionQuery{UsedFrom: at(time.Hour), UsedUntil: at(time.Hour + time.Minute)}, []string{"ada's laptop"}},
		{tokenward.SessionQuery{UsedUntil: at(time.Hour)}, []string{"ada's phone"}},
	} {
		all := r.listed(r.client, tt.q)
		if len(all) != len(tt.want) {
			t.Errorf("%+v: %d sessions, want %q", tt.q, len(all), tt.want)
		}
		for _, name := range tt.want {
			if _, ok := all[key(ids[name])]; !ok {
				t.Errorf("%+v: %s is missing", tt.q, name)
			}
		}
	}
	got := r.listed(r.client, tokenward.SessionQuery{SID: "laptop"})[key(ids["ada's laptop"])]
	want := tokenward.SessionInfo{
		Key: key(ids["ada's laptop"]), Issuer: r.tenant.Issuer(), ClientID: "demo", Subject: "ada", Name: got.Name, Email: "ada@example.com",
		SignedIn: time.Unix(at(time.Hour).Unix(), 0), Deadline: time.Unix(at(2*time.Hour).Unix()-30, 0), LastUse: got.LastUse,
	}
	if got != want || !got.LastUse.Equal(at(time.Hour)) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Pages go on where the one before ended, under a secret that was rotated too, and hold the sessions asked for.
func TestSessionPage(t *testing.T) {
	r := newRig(t)
	for i := range 25 {
		r.login(idptest.Claims{"sub": "ada", "sid": fmt.Sprint(i)})
	}
	r.cfg.Secrets = []string{"the secret that took its place, of 32 bytes", secret}
	r.client = r.newClient()
	for i := range 25 {
		r.login(idptest.Claims{"sub": "ada", "sid": fmt.Sprint(25 + i)})
	}
	for _, q := range []tokenward.SessionQuery{{}, {Subject: "ada"}} {
		seen, pages := map[tokenward.Key]bool{}, 0
		for after := ""; ; {
			page, next, err := r.client.SessionPage(t.Context(), q, after, 10, tokenward.StoreOptions{})
			if err != nil || len(page) > 10 || len(page) == 0 && next != "" {
				t.Fatalf("%d sessions, then %q, %v", len(page), next, err)
			}
			for _, s := range page {
				seen[s.Key] = true
			}
			pages++
			if after = next; after == "" {
				break
			}
		}
		if len(seen) != 50 || pages > 8 {
			t.Errorf("%+v: %d sessions on %d pages, want 50", q, len(seen), pages)
		}
	}
	if n, err := r.client.CountSessions(t.Context(), tokenward.SessionQuery{}, 7, tokenward.StoreOptions{}); n != 7 || err != nil {
		t.Errorf("CountSessions up to 7 = %d, %v", n, err)
	}
	for _, after := range []string{"x", "0", "9.", "-1.", "0.x", "1"} {
		var wrong *tokenward.InvalidArgumentError
		if _, _, err := r.client.SessionPage(t.Context(), tokenward.SessionQuery{}, after, 10, tokenward.StoreOptions{}); !errors.As(err, &wrong) {
			t.Errorf("after %q: %v", after, err)
		}
	}
	for _, err := range r.client.Sessions(t.Context(), tokenward.SessionQuery{}, tokenward.StoreOptions{}) {
		if err != nil {
			t.Error(err)
		}
		break // who has seen enough may stop
	}
}

// A store that cannot list says what to do.
func TestSessions_storeThatCannot(t *testing.T) {
	r := newRig(t)
	simple := store.NewSimple(&plain{}, r.clock)
	c := r.newClient(tokenward.WithStateStore(simple))
	var wrong *tokenward.ConfigurationError
	if _, _, err := c.SessionPage(t.Context(), tokenward.SessionQuery{}, "", 1, tokenward.StoreOptions{}); !errors.As(err, &wrong) {
		t.Errorf("SessionPage: %v", err)
	}
	if _, err := c.CountSessions(t.Context(), tokenward.SessionQuery{}, 0, tokenward.StoreOptions{}); !errors.As(err, &wrong) {
		t.Errorf("CountSessions: %v", err)
	}
	if _, err := c.EndSessionsOf(t.Context(), r.tenant.Issuer(), tokenward.StoreOptions{}); !errors.As(err, &wrong) {
		t.Errorf("EndSessionsOf: %v", err)
	}
}

// All of an issuer end, in memory or not; those of another issuer go on.
func TestEndSessionsOf(t *testing.T) {
	other := idptest.NewTenant(t)
	r := newRig(t)
	var ids []string
	for i := range 130 {
		ids = append(ids, r.login(idptest.Claims{"sid": fmt.Sprint(i)}))
	}
	asleep := r.newClient()
	if n, err := asleep.EndSessionsOf(t.Context(), other.Issuer(), tokenward.StoreOptions{}); n != 0 || err != nil {
		t.Errorf("of another issuer: %d, %v", n, err)
	}
	if n, err := asleep.EndSessionsOf(t.Context(), r.tenant.Issuer(), tokenward.StoreOptions{}); n != len(ids) || err != nil {
		t.Errorf("EndSessionsOf = %d, %v, want %d", n, err, len(ids))
	}
	r.settle()
	if left := slices.DeleteFunc(ids, func(id string) bool {
		_, err := r.memory.Load(t.Context(), key(id), store.Options{})
		var gone *store.GoneError
		return errors.As(err, &gone) && gone.Reason == session.ReasonAdministration
	}); len(left) > 0 {
		t.Errorf("%d sessions were not ended", len(left))
	}
	var wrong *tokenward.InvalidArgumentError
	if _, err := asleep.EndSessionsOf(t.Context(), "", tokenward.StoreOptions{}); !errors.As(err, &wrong) {
		t.Errorf("no issuer: %v", err)
	}
}

// A record of the release before names its sid and sub alone. By issuer and email it is found from its next save on.
func TestSessions_recordOfAnEarlierRelease(t *testing.T) {
	const email = "ada@example.com"
	r := newRig(t)
	id := r.login(idptest.Claims{"sid": "phone", "email": email, "email_verified": true})
	before, err := r.codec().Encode(key(id), r.state(id), session.NewVersion(randomness{}), session.NewIncarnation(randomness{}))
	if err != nil {
		t.Fatal(err)
	}
	sealer := r.codec().Sealer
	before.Index = slices.Concat(sealer.LookupSID(r.tenant.Issuer(), "phone"), sealer.LookupSub(r.tenant.Issuer(), idptest.Subject))
	r.restart()
	if err := r.memory.Replace(t.Context(), key(id), before, store.Options{}); err != nil {
		t.Fatal(err)
	}
	finds := func(q tokenward.SessionQuery) bool { return len(r.listed(r.client, q)) == 1 }
	by := map[string]tokenward.SessionQuery{"issuer": {Issuer: r.tenant.Issuer()}, "email": {Email: email}}
	for name, q := range map[string]tokenward.SessionQuery{"sid": {SID: "phone"}, "sub": {Subject: idptest.Subject}} {
		if !finds(q) {
			t.Errorf("by %s it is not found", name)
		}
	}
	for name, q := range by {
		if finds(q) {
			t.Errorf("by %s it is found before it was saved, so the test shows nothing", name)
		}
	}
	r.clock.Advance(2 * time.Hour)
	if _, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	r.settle()
	for name, q := range by {
		if !finds(q) {
			t.Errorf("by %s it is not found after a refresh", name)
		}
	}
	if n := r.end(tokenward.EndRequest{Email: email}); n != 1 || r.lives(id) {
		t.Errorf("signed out by email: %d", n)
	}
}
