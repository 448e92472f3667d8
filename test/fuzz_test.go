package test_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// FuzzCallbackURL sends browsers back with any URL. STATE and CODE in it stand for those of
// a login under way. Only the very URL that the provider would have used, or one that
// reads the same, begins a session.
func FuzzCallbackURL(f *testing.F) {
	r := newRig(f, withTenant(idptest.InProcess()))
	base := "https://app.example/callback"
	for _, s := range []string{
		base + "?code=CODE&state=STATE", base + "?state=STATE&code=CODE", "/callback?code=CODE&state=STATE", "?code=CODE&state=STATE#x", "code=CODE&state=STATE",
		base + "?code=CODE&state=STATE&iss=https%3A%2F%2Ftenant.example%2F", base + "?code=CODE&state=STATE&iss=https%3A%2F%2Fevil.example%2F",
		base + "?code=CODE&state=STATE&iss=&iss=https://evil.example/", base + "?code=CODEx&state=STATE", base + "?code=CODE&state=STATEx",
		base + "?code=&state=STATE", base + "?code=CODE&state=", base + "?code=CODE", base + "?state=STATE", base, "",
		base + "?error=access_denied&error_description=no&state=STATE", base + "?error=access_denied&code=CODE&state=STATE", base + "?error=&code=CODE&state=STATE",
		base + "?error=%00%0d%0a%1b[1m&error_description=%e2%80%aeCODE%ff&state=STATE", base + "?code=x&code=CODE&state=STATE", base + "?code=CODE&state=x&state=STATE",
		base + "?code=CODE&state=STATE;x", base + "?code=CODE&state=%53TATE", base + "#code=CODE&state=STATE", base + "?code=CODE%20&state=STATE", base + "?code=C+ODE&state=STATE",
		"%zz?code=CODE&state=STATE", "http://[::1?code=CODE&state=STATE", "\x7f?code=CODE&state=STATE", "javascript:?code=CODE&state=STATE", "//evil.example?code=CODE&state=STATE",
		base + "?code=" + strings.Repeat("x", 4096) + "&state=STATE", base + "?state=" + strings.Repeat("../", 99) + "&code=CODE", base + "?code=CODE&state=STATE&%zz=1",
	} {
		f.Add(s)
	}
	var state, code string
	begin := func(t testing.TB) {
		mine := *r
		mine.t = t
		u, err := url.Parse(mine.callback(tokenward.LoginRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		state, code = u.Query().Get("state"), u.Query().Get("code")
	}
	begin(f)
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "STATE", state), "CODE", code)
		before := r.memory.Len()
		res, err := r.client.CompleteInteractiveLogin(ctx, text, tokenward.StoreOptions{})
		if (res == nil) == (err == nil) {
			t.Fatalf("%v, %v", res, err)
		}
		if err != nil && text == base+"?code="+code+"&state="+state {
			t.Fatalf("the provider's own URL: %v", err)
		}
		if err != nil {
			if tokenward.CodeOf(err) == "" {
				t.Errorf("%q: an error without a code: %v (%T)", text, err, err)
			}
			if strings.Contains(err.Error(), code) && !strings.Contains(text, "error") || strings.ContainsAny(err.Error(), "\x00\x1b\r\n") {
				t.Errorf("%q: %q", text, err)
			}
			if n := r.memory.Len(); n != before {
				t.Errorf("%q: an error, and %d sessions", text, n-before)
			}
			begin(t) // what was taken is gone
			return
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q began a session", text)
		}
		q := u.Query()
		if q.Get("state") != state || q.Get("code") != code || q.Get("error") != "" {
			t.Errorf("%q began a session", text)
		}
		for _, iss := range q["iss"] {
			if iss != "" && !strings.EqualFold(strings.TrimRight(iss, "/"), strings.TrimRight(r.tenant.Issuer(), "/")) {
				t.Errorf("%q: iss %q began a session", text, iss)
			}
		}
		if s, err := r.client.GetUser(ctx, tokenward.SessionID(res.SessionID)); err != nil || s.Sub() != idptest.Subject {
			t.Errorf("%q: user %v, %v", text, s, err)
		}
		if _, err := r.client.Logout(ctx, tokenward.LogoutRequest{}, tokenward.SessionID(res.SessionID)); err != nil {
			t.Error(err)
		}
		begin(t)
	})
}
