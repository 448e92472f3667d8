package test_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// A token of a TokenSource expires with the token, with the ceiling or with the session, whatever comes first.
func TestTokenSource_expiresWithTheSession(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ceiling time.Duration
		opts    []rigOption
		want    time.Duration
	}{
		{"the token", 100 * time.Hour, nil, idptest.TokenLife},
		{"the ceiling less 30 s", 10 * time.Minute, nil, 10*time.Minute - 30*time.Second},
		{"the session's own life", 100 * time.Hour, []rigOption{withClient(tokenward.WithCookies(tokenward.Cookies{Absolute: 5 * time.Minute, Inactivity: time.Minute}))}, 5 * time.Minute},
		{"no ceiling", 0, nil, idptest.TokenLife},
	} {
		r := newRig(t, tt.opts...)
		claims := idptest.Claims{}
		if tt.ceiling != 0 {
			claims["session_expiry"] = t0.Add(tt.ceiling).Unix()
		}
		b := newBrowser(r)
		r.tenant.NextLogin(claims)
		b.login()
		ctx := tokenward.ContextWith(t.Context(), b.options())
		for _, h := range []*tokenward.Handle{must(r.client.SessionOf(ctx, tokenward.StoreOptions{})), r.client.ContextSession()} {
			token, err := h.TokenSource(ctx, tokenward.TokenRequest{}).Token()
			if err != nil || !token.Expiry.Equal(t0.Add(tt.want)) {
				t.Errorf("%s: %v, expires %v, want %v", tt.name, err, token.Expiry, t0.Add(tt.want))
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
