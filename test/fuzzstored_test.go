package test_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/cookie"
)

// These targets seal made-up records with our own secret: another release may have
// written them, or an attacker who copied the secret.

func fuzzSealer(f *testing.F) *store.Sealer {
	f.Helper()
	s, err := store.NewSealer("_a0_session", rand.Reader, secret)
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// FuzzStoredTransaction completes a login whose transaction is any text.
func FuzzStoredTransaction(f *testing.F) {
	for _, s := range []string{
		`{"code_verifier":"v","requested_scope":"openid","redirect_uri":"http://127.0.0.1/callback","domain":"tenant.example","created_at":1767323045}`,
		`{"domain":"https://evil.example/","created_at":1767323045}`, `{"domain":"http://evil.example/","created_at":9223372036854775807}`, `{"domain":"\u0000","created_at":1767323045,"app_state":{"a":[1e999]}}`,
		`{"created_at":-9223372036854775808}`, `{"created_at":1e3}`, `{"redirect_uri":1}`, `[]`, `null`, ``, `{"domain":"tenant.example","organization":"org_1","nonce":"n","created_at":1767323045}`,
	} {
		f.Add([]byte(s))
	}
	r := newRig(f, withTenant(idptest.InProcess()))
	states := store.NewTransactions(r.clock)
	r.client = r.newClient(tokenward.WithTransactionStore(states))
	sealer := fuzzSealer(f)
	f.Fuzz(func(t *testing.T, plain []byte) {
		const key = "_a0_tx:st"
		if err := states.Put(t.Context(), key, sealer.Seal(key, plain), time.Hour, store.Options{}); err != nil {
			t.Fatal(err)
		}
		before := r.memory.Len()
		res, err := r.client.CompleteInteractiveLogin(t.Context(), "https://app.example/callback?code=made-up&state=st", tokenward.StoreOptions{})
		if res != nil || tokenward.CodeOf(err) == "" {
			t.Errorf("%q: %v, %v", plain, res, err)
		}
		if n := r.memory.Len(); n != before {
			t.Errorf("%q: %d sessions", plain, n-before)
		}
		// A login that was turned away before its code was sent, here for want of metadata, stays.
		kept := tokenward.CodeOf(err) == "metadata_error"
		if _, err := states.Take(t.Context(), key, store.Options{}); (err == nil) != kept {
			t.Errorf("%q: taken %v, want %v", plain, err != nil, !kept)
		}
	})
}

// FuzzSealedCookie visits with a cookie that says any text.
func FuzzSealedCookie(f *testing.F) {
	r := newRig(f, withTenant(idptest.InProcess()))
	id := r.login()
	for _, s := range []string{
		`{"id":"` + id + `","seen":1767323045}`, `{"id":"` + id + `","seen":-9223372036854775808}`, `{"id":"` + id + `","seen":9223372036854775807}`, `{"id":"","seen":0}`, `{"id":"x\u0000"}`,
		`{"id":["x"]}`, `{"seen":1e400}`, `null`, `[]`, ``, `{"id":"` + strings.Repeat("x", 5000) + `"}`,
	} {
		f.Add([]byte(s))
	}
	sealer := fuzzSealer(f)
	f.Fuzz(func(t *testing.T, plain []byte) {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.AddCookie(&http.Cookie{Name: "_a0_session", Value: cookie.Seal(sealer, "_a0_session", plain)})
		w := httptest.NewRecorder()
		u, err := r.client.GetUser(t.Context(), tokenward.HTTP(w, req))
		if err != nil || u != nil && !strings.Contains(string(plain), id) {
			t.Errorf("%q: %v, %v", plain, u, err)
		}
	})
}

// FuzzStoredState asks for the user, the session and a token of a session whose state is any
// text. Whatever it is, a ceiling in it binds.
func FuzzStoredState(f *testing.F) {
	for _, s := range []string{
		`{"user":{"sub":"s"},"refresh_token":"rt","token_sets":[{"audience":"default","access_token":"at","scope":"a","expires_at":9999999999}],"internal":{"sid":"x","session_expires_at":1767323000}}`,
		`{"token_sets":[{"audience":"default","access_token":"at","expires_at":1e300}],"internal":{"session_expires_at":"soon"}}`, `{"domain":"evil.example","refresh_token":"rt"}`,
		`{"internal":{"created_at":-1,"ends_at":1}}`, `{"user":7}`, `{"token_sets":{}}`, `null`, `[]`, ``, `{"user":{"iss":"http://evil.example/"},"refresh_token":"rt"}`,
	} {
		f.Add([]byte(s))
	}
	r := newRig(f, withTenant(idptest.InProcess()))
	sealer := fuzzSealer(f)
	n := 0
	f.Fuzz(func(t *testing.T, plain []byte) {
		n++
		o := tokenward.SessionID(fmt.Sprint("fuzzed ", n))
		k := key(fmt.Sprint("fuzzed ", n))
		rec := store.Record{
			Version: session.NewVersion(rand.Reader), Incarnation: session.NewIncarnation(rand.Reader),
			Sealed: sealer.Seal("session:"+k.String(), plain), TTL: time.Hour,
		}
		if err := r.memory.Replace(t.Context(), k, rec, store.Options{}); err != nil {
			t.Fatal(err)
		}
		now := r.clock.Now()
		state, unreadable := session.DecodeState(plain)
		over := unreadable == nil && state.Internal.Ceiling.Reached(now)
		u, err := r.client.GetUser(t.Context(), o)
		if err != nil || u != nil && (over || unreadable != nil) {
			t.Errorf("%q: user %v, %v", plain, u, err)
		}
		if s, err := r.client.GetSession(t.Context(), o); err != nil || s != nil && over {
			t.Errorf("%q: session %v, %v", plain, s, err)
		}
		tok, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, o)
		switch {
		case err != nil && tokenward.CodeOf(err) == "":
			t.Errorf("%q: %v (%T)", plain, err, err)
		case err == nil && (over || tok.AccessToken == "" || !tok.ExpiresAt.After(now)):
			t.Errorf("%q: token %+v", plain, tok)
		}
		if _, err := r.client.GetAccessTokenForConnection(t.Context(), tokenward.ConnectionRequest{Connection: google}, o); err != nil && tokenward.CodeOf(err) == "" {
			t.Errorf("%q: %v (%T)", plain, err, err)
		}
		if _, err := r.client.Logout(t.Context(), tokenward.LogoutRequest{}, o); err != nil {
			t.Errorf("%q: logout: %v", plain, err)
		}
		if n := r.client.Stats().Failures; n != 0 {
			t.Fatalf("%q: %d defects", plain, n)
		}
	})
}
