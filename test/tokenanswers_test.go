package test_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

func edit(name string, v any) idptest.Fault {
	return idptest.Edit(func(b map[string]any) { b[name] = v })
}

// tokenTypes says which token_type an answer may have (RFC 6749 section 7.1).
var tokenTypes = []struct {
	name  string
	fault idptest.Fault
	ok    bool
}{
	{"Bearer", edit("token_type", "Bearer"), true},
	{"in other letters", edit("token_type", "bEARER"), true},
	{"null", edit("token_type", nil), true},
	{"absent", idptest.Edit(func(b map[string]any) { delete(b, "token_type") }), true},
	{"DPoP", edit("token_type", "DPoP"), false},
	{"mac", edit("token_type", "mac"), false},
	{"N_A", edit("token_type", "N_A"), false},
	{"empty", edit("token_type", ""), false},
	{"with a space", edit("token_type", "Bearer "), false},
	{"a number", edit("token_type", 1), false},
	{"a list", edit("token_type", []string{"Bearer"}), false},
}

// A token of another type than Bearer is neither handed out nor kept, but the refresh
// token beside it is.
func TestTokenType_ofARefresh(t *testing.T) {
	for _, tt := range tokenTypes {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			id := r.login()
			r.expire()
			before := r.state(id)
			r.tenant.Script(idptest.Refresh, tt.fault)
			token, err := r.client.GetAccessToken(t.Context(), tokenward.TokenRequest{}, tokenward.SessionID(id))
			after := r.state(id)
			if after.RefreshToken == before.RefreshToken {
				t.Error("the new refresh token was not kept")
			}
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			r.wantCode("refresh", err, "refresh_token_error")
			if token.AccessToken != "" || after.TokenSets[0].AccessToken != before.TokenSets[0].AccessToken || len(after.TokenSets) != 1 {
				t.Errorf("token %v, token sets %+v, want none and those of before", token, after.TokenSets)
			}
			r.token(id, tokenward.TokenRequest{}) // the refresh token that was kept is good
		})
	}
}

func TestTokenType_ofALogin(t *testing.T) {
	for _, tt := range tokenTypes {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.tenant.Script(idptest.CodeExchange, tt.fault)
			_, err := r.tryLogin(tokenward.StoreOptions{})
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError[*tokenward.APIError](t, "login", err, "token_error")
			r.wantNothingStored("login")
		})
	}
}

func TestTokenType_ofAConnection(t *testing.T) {
	for _, tt := range tokenTypes {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withTenant(idptest.WithExchangeRotation()))
			id := r.login()
			before := r.state(id)
			r.tenant.Script(idptest.ConnectionExchange, tt.fault)
			q := tokenward.ConnectionRequest{Connection: google}
			_, err := r.client.GetAccessTokenForConnection(t.Context(), q, tokenward.SessionID(id))
			after := r.state(id)
			if after.RefreshToken == before.RefreshToken {
				t.Error("the new refresh token was not kept")
			}
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			r.wantConnectionCode("exchange", err, "retrieval_error")
			if len(after.ConnectionTokenSets) != 0 {
				t.Errorf("%+v were kept", after.ConnectionTokenSets)
			}
			r.connection(id, q)
		})
	}
}

// How long a token is good for whose answer has no expires_in: at login and at a refresh.
func TestExpiresIn_absent(t *testing.T) {
	life := func(d time.Duration) rigOption { return withTenant(idptest.WithTokenLife(d)) }
	opaque := withTenant(idptest.WithOpaqueTokens())
	byDefault := func(d time.Duration) rigOption {
		return withClient(withProvider(tokenward.ProviderConfig{TokenLifetime: d}))
	}
	tests := []struct {
		name string
		opts []rigOption
		want time.Duration
	}{
		{"the token says it", []rigOption{life(10 * time.Minute)}, 10 * time.Minute},
		{"the token says a day", []rigOption{life(24 * time.Hour)}, 24 * time.Hour},
		{"the token says more than a day", []rigOption{life(24*time.Hour + time.Second)}, time.Hour},
		{"the token says nothing", []rigOption{opaque}, time.Hour},
		{"the host says it", []rigOption{opaque, byDefault(90 * time.Second)}, 90 * time.Second},
		{"the token says it, whatever the host does", []rigOption{life(10 * time.Minute), byDefault(time.Minute)}, 10 * time.Minute},
		{"as long as the session", []rigOption{opaque, byDefault(tokenward.AsLongAsTheSession)}, time.Unix(9999999999, 0).Sub(t0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.opts...)
			r.tenant.Script(idptest.Token, idptest.ExpiresIn(idptest.Absent).Always())
			id := r.login()
			for _, q := range []tokenward.TokenRequest{{}, {Audience: apiB}} {
				if got := r.token(id, q).ExpiresAt.Sub(t0); got != tt.want {
					t.Errorf("%+v: good for %v, want %v", q, got, tt.want)
				}
			}
			r.want("refreshes", r.tenant.Refreshes(), 1)
			r.token(id, tokenward.TokenRequest{Audience: apiB})
			r.want("refreshes, as it was cached", r.tenant.Refreshes(), 1)
			r.clock.Advance(min(tt.want, 1000*time.Hour) - time.Second)
			r.token(id, tokenward.TokenRequest{Audience: apiB})
			r.want("refreshes, a second before its end", r.tenant.Refreshes(), 1)
		})
	}
}

// An expires_in that is absent means the default life; one that cannot be used makes the token good for one answer.
func TestExpiresIn_unusable(t *testing.T) {
	for _, v := range []any{-1, "soon", true, "-3600", 0} {
		r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{TokenLifetime: tokenward.AsLongAsTheSession})))
		id := r.login()
		r.tenant.Script(idptest.Refresh, idptest.ExpiresIn(v).Always())
		for i := range 2 {
			if got := r.token(id, tokenward.TokenRequest{Audience: apiB}).ExpiresAt; !got.Equal(t0) {
				t.Errorf("%v: expires at %v, want at once", v, got)
			}
			r.want("refreshes", r.tenant.Refreshes(), i+1)
		}
	}
}

func TestTokenLifetime_unusable(t *testing.T) {
	for _, d := range []time.Duration{-1, -time.Hour, time.Second - 1, 1500 * time.Millisecond, time.Hour + 1} {
		r := newRig(t)
		_, err := tokenward.New(r.cfg, withProvider(tokenward.ProviderConfig{TokenLifetime: d}))
		if e := asError[*tokenward.ConfigurationError](t, d.String(), err, "configuration_error"); e != nil && !strings.Contains(e.Message, "TokenLifetime") {
			t.Errorf("%s: %q does not name the field", d, e.Message)
		}
	}
}

// Tokens without life do not push those out that can be served.
func TestTokenSets_tokensWithoutLifePushNothingOut(t *testing.T) {
	r := newRig(t, withClient(tokenward.WithLimits(tokenward.Limits{TokenSets: 2})))
	id := r.login()
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	r.tenant.Script(idptest.Refresh, idptest.ExpiresIn(0))
	r.token(id, tokenward.TokenRequest{Audience: "https://c.example"})
	r.want("refreshes", r.tenant.Refreshes(), 2)
	r.token(id, tokenward.TokenRequest{})
	r.token(id, tokenward.TokenRequest{Audience: apiB})
	r.want("refreshes, with both still cached", r.tenant.Refreshes(), 2)
}
