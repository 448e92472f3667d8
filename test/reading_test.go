package test_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/storetest"
)

// lateClock is that of a process that slept: what it armed for a minute or more
// comes too late to matter.
type lateClock struct{ *clock.Fake }

func (c lateClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	if d >= time.Minute {
		d = 1 << 62
	}
	return c.Fake.AfterFunc(d, f)
}

// restart closes the rig's client and makes another in its place.
func (r *rig) restart(opts ...tokenward.Option) {
	r.t.Helper()
	closeClient(r.t, r.client)
	r.client = r.newClient(opts...)
	r.settle()
}

func TestRead_none(t *testing.T) {
	r := newRig(t)
	r.login()
	b := newBrowser(r)
	forged := newBrowser(r)
	forged.cookie = &http.Cookie{Name: "_a0_session", Value: "!!"}
	tests := map[string]tokenward.StoreOptions{
		"an id of nobody":    tokenward.SessionID("made-up"),
		"a new browser":      b.options(),
		"a cookie of theirs": forged.options(),
	}
	for name, o := range tests {
		if u, err := r.client.GetUser(t.Context(), o); u != nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v, want nil, nil", name, u, err)
		}
		if s, err := r.client.GetSession(t.Context(), o); s != nil || err != nil {
			t.Errorf("%s: GetSession = %v, %v, want nil, nil", name, s, err)
		}
	}
}

func TestRead_showsAllButInternal(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
	h := r.client.Session(id)
	if _, err := h.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: "google-oauth2"}); err != nil {
		t.Fatal(err)
	}
	s, err := h.GetSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := r.state(id)
	if s.IDToken != kept.IDToken || s.RefreshToken != kept.RefreshToken || s.Domain != kept.Domain ||
		len(s.TokenSets) != 1 || s.TokenSets[0].AccessToken != kept.TokenSets[0].AccessToken ||
		len(s.ConnectionTokenSets) != 1 || s.ConnectionTokenSets[0].AccessToken != kept.ConnectionTokenSets[0].AccessToken {
		t.Errorf("session = %+v, stored %+v", s, kept)
	}
	u, err := h.GetUser(t.Context())
	if err != nil || u.Sub() != idptest.Subject || u.Name() != "Ada Lovelace" || int64(u.SessionExpiry()) != t0.Add(time.Hour).Unix() {
		t.Errorf("user = %v, %v", u, err)
	}
}

// A caller who changes what it was given changes nothing but that.
func TestRead_returnsCopies(t *testing.T) {
	r := newRig(t)
	id := r.login(idptest.Claims{"roles": []any{"a", "b"}, "address": map[string]any{"city": "London"}})
	h := r.client.Session(id)
	before, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(u tokenward.User) {
		u["sub"] = "mallory"
		u["roles"].([]any)[0] = "admin"
		u["address"].(map[string]any)["city"] = "Rome"
		delete(u, "email")
	}
	u, err := h.GetUser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spoil(u)
	s, err := h.GetSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spoil(s.User)
	s.TokenSets[0].AccessToken, s.RefreshToken = "spoilt", "spoilt"

	s, err = h.GetSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u = s.User
	if u.Sub() != idptest.Subject || u.Email() == "" || u["roles"].([]any)[0] != "a" || u["address"].(map[string]any)["city"] != "London" {
		t.Errorf("the user became %v", u)
	}
	if s.TokenSets[0].AccessToken != before.AccessToken || s.RefreshToken == "spoilt" {
		t.Error("the tokens became the caller's")
	}
	if after, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); err != nil || after != before {
		t.Errorf("token = %v, %v, want as before", after, err)
	}
}

// What a login returns is a copy too.
func TestRead_loginResultIsACopy(t *testing.T) {
	r := newRig(t)
	res, err := r.tryLogin(tokenward.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	res.Session.User["sub"] = "mallory"
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(res.SessionID)); err != nil || u.Sub() != idptest.Subject {
		t.Errorf("user = %v, %v", u, err)
	}
}

// Reads ask nothing of the provider, write nothing, and read the store once.
func TestRead_asksNoProvider(t *testing.T) {
	r := newRig(t)
	id := r.login()
	r.clock.Advance(10 * idptest.TokenLife) // its token is stale, and it is out of memory
	r.settle()
	r.tenant.Reset()
	loads := r.store.Loads(key(id))
	for range 3 {
		if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
			t.Fatalf("GetUser = %v, %v", u, err)
		}
		if s, err := r.client.GetSession(t.Context(), tokenward.SessionID(id)); s == nil || err != nil {
			t.Fatalf("GetSession = %v, %v", s, err)
		}
	}
	if n := r.tenant.Requests(idptest.Any); n != 0 {
		t.Errorf("requests = %d, want 0", n)
	}
	if n := r.store.Loads(key(id)) - loads; n != 1 {
		t.Errorf("loads = %d, want 1", n)
	}
	if n := r.store.Updates(); n != 0 {
		t.Errorf("updates = %d, want 0", n)
	}
}

// Reads don't wait for a refresh that is under way.
func TestRead_waitsForNoRefresh(t *testing.T) {
	r := newRig(t)
	id := r.login()
	h := r.client.Session(id)
	hold := r.tenant.Hold(idptest.Refresh, idptest.BeforeGrant)
	done := make(chan error, 1)
	go func() {
		_, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{Audience: apiB})
		done <- err
	}()
	if err := hold.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if u, err := h.GetUser(t.Context()); u == nil || err != nil {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if s, err := h.GetSession(t.Context()); s == nil || err != nil {
		t.Errorf("GetSession = %v, %v", s, err)
	}
	if n := r.tenant.InFlight(idptest.Refresh); n != 1 {
		t.Errorf("refreshes in flight = %d, want 1 still", n)
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A store that does not answer is an error, never "no session".
func TestRead_storeFails(t *testing.T) {
	r := newRig(t)
	id := r.login()
	other := r.newClient()
	r.store.Fail(storetest.OpLoad, 3)
	if u, err := other.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || !errors.Is(err, tokenward.ErrStore) || !errors.Is(err, storetest.ErrFault) {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	if s, err := other.GetSession(t.Context(), tokenward.SessionID(id)); s != nil || !errors.Is(err, tokenward.ErrStore) {
		t.Errorf("GetSession = %v, %v", s, err)
	}
	_, err := other.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
	if e := asError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "store_error"); e != nil && !errors.Is(e.Err, storetest.ErrFault) {
		t.Errorf("cause = %v", e.Err)
	}
	if u, err := other.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("once the store answers again: %v, %v", u, err)
	}
}

// What no secret opens is no session for this call, and left where it is.
func TestRead_unreadable(t *testing.T) {
	r := newRig(t)
	id := r.login()
	cfg := r.cfg
	cfg.Secrets = []string{"quite another secret of at least 32 bytes"}
	r.cfg = cfg
	other := r.newClient()
	if u, err := other.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
	}
	_, err := other.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
	wantError[*tokenward.AccessTokenError](t, "GetAccessToken", err, "missing_refresh_token")
	if n := other.Stats().Unreadable; n != 1 {
		t.Errorf("Stats.Unreadable = %d, want 1", n)
	}
	if n := r.store.Ends(); n != 0 || r.memory.Len() != 1 {
		t.Errorf("deletes = %d, sessions = %d", n, r.memory.Len())
	}
	if u, err := r.client.GetUser(t.Context(), tokenward.SessionID(id)); u == nil || err != nil {
		t.Errorf("for the one who can read it: %v, %v", u, err)
	}
}

// A secret that is no longer first still opens; the new one seals.
func TestRead_secretsRotate(t *testing.T) {
	const younger = "the younger secret of at least thirty-two bytes"
	r := newRig(t)
	id := r.login()
	b := newBrowser(r)
	b.login()
	r.cfg.Secrets = []string{younger, secret}
	r.client = r.newClient()
	for name, o := range map[string]tokenward.StoreOptions{"by id": tokenward.SessionID(id), "by cookie": b.options()} {
		if u, err := r.client.GetUser(t.Context(), o); u == nil || err != nil {
			t.Errorf("%s: GetUser = %v, %v", name, u, err)
		}
	}
	fresh := r.login()
	r.cfg.Secrets = []string{younger}
	last := r.newClient()
	if u, err := last.GetUser(t.Context(), tokenward.SessionID(fresh)); u == nil || err != nil {
		t.Errorf("sealed by the new secret: %v, %v", u, err)
	}
	if u, err := last.GetUser(t.Context(), tokenward.SessionID(id)); u != nil || err != nil {
		t.Errorf("sealed by the old secret: %v, %v", u, err)
	}
}

// A read at the ceiling deletes first; when that fails, the session is not returned.
func TestRead_deletionFails(t *testing.T) {
	for _, read := range []string{"GetUser", "GetSession"} {
		r := newRig(t)
		r.restart(tokenward.WithClock(lateClock{r.clock}))
		id := r.login(idptest.Claims{"session_expiry": t0.Add(time.Hour).Unix()})
		r.store.Fail(storetest.OpEnd, 1)
		r.clock.Advance(time.Hour)
		h := r.client.Session(id)
		for range 3 {
			if read == "GetUser" {
				if u, err := h.GetUser(t.Context()); u != nil || err != nil {
					t.Errorf("GetUser = %v, %v, want nil, nil", u, err)
				}
			} else if s, err := h.GetSession(t.Context()); s != nil || err != nil {
				t.Errorf("GetSession = %v, %v, want nil, nil", s, err)
			}
		}
		if n := r.store.Ends(key(id)); n != 1 {
			t.Errorf("%s: deletes = %d, want 1 until the retry is due", read, n)
		}
		r.settle() // the retry is armed
		r.clock.Advance(time.Second)
		r.settle()
		if n := r.store.Ends(key(id)); n != 2 || r.memory.Len() != 0 {
			t.Errorf("%s: deletes = %d, sessions = %d, want 2 and 0", read, n, r.memory.Len())
		}
	}
}

// The free values of a call reach the store as they are; request and response do too.
func TestRead_passesOptionsOn(t *testing.T) {
	r := newRig(t)
	b := newBrowser(r)
	id := b.login()
	other := r.newClient()
	o := b.options().With(map[string]any{"tenant": 7})
	if u, err := other.GetUser(t.Context(), o); u == nil || err != nil {
		t.Fatalf("GetUser = %v, %v", u, err)
	}
	got := r.store.LastOptions(storetest.OpLoad)
	if got.Values["tenant"] != 7 || got.Request == nil || got.Response != b.answer || got.Background {
		t.Errorf("options = %+v", got)
	}
	_ = id
}

// Refreshing leaves the user alone, unless the host asked for more; never the ceiling.
func TestRead_userAfterARefresh(t *testing.T) {
	ceiling := t0.Add(50 * time.Hour).Unix()
	later := func(d *idptest.Draft) {
		if d.Kind == idptest.Refresh {
			d.Claims["name"], d.Claims["groups"], d.Claims["session_expiry"] = "Countess", []string{"x"}, ceiling+3600
		}
	}
	for _, updates := range []bool{false, true} {
		opts := []tokenward.Option{}
		if updates {
			opts = append(opts, tokenward.WithUserUpdates())
		}
		r := newRig(t, withClient(opts...), withTenant(idptest.WithIDToken(later)))
		id := r.login(idptest.Claims{"session_expiry": ceiling, "locale": "en"})
		h := r.client.Session(id)
		r.clock.Advance(idptest.TokenLife)
		if _, err := h.GetAccessToken(t.Context(), tokenward.TokenRequest{}); err != nil {
			t.Fatal(err)
		}
		u, err := h.GetUser(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "Ada Lovelace", true: "Countess"}[updates]
		if u.Name() != want || (u["groups"] != nil) != updates || u["locale"] != "en" {
			t.Errorf("updates %v: user = %v", updates, u)
		}
		if int64(u.SessionExpiry()) != ceiling || int64(r.state(id).Internal.Ceiling) != ceiling {
			t.Errorf("updates %v: ceiling = %d, %d, want %d", updates, u.SessionExpiry(), r.state(id).Internal.Ceiling, ceiling)
		}
	}
}

// What others wrote beside our fields is carried along.
func TestRead_keepsFieldsOfOthers(t *testing.T) {
	r := newRig(t)
	id := r.login()
	k := key(id)
	rec, err := r.memory.Load(t.Context(), k, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.codec().Decode(k, rec)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := session.EncodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	foreign := append(slices.Clone(plain[:len(plain)-1]), `,"theirs":{"n":1.50}}`...)
	if s, err = session.DecodeState(foreign); err != nil {
		t.Fatal(err)
	}
	next, err := r.codec().Encode(k, s, session.NewVersion(randomness{}), rec.Incarnation)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.memory.Replace(t.Context(), k, next, store.Options{}); err != nil {
		t.Fatal(err)
	}
	other := r.newClient()
	r.clock.Advance(idptest.TokenLife)
	if _, err := other.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id)); err != nil {
		t.Fatal(err)
	}
	plain, err = session.EncodeState(r.state(id))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(fieldsOf(t, plain), `"theirs":{"n":1.50}`) {
		t.Errorf("stored after a refresh: fields %v", fieldsOf(t, plain))
	}
}
