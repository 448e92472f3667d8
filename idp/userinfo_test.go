package idp_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

const userinfo = "/userinfo"

// informant is a rig whose provider has a UserInfo endpoint.
func informant(t *testing.T) *rig {
	r := newRig(t)
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"userinfo_endpoint": "https://tenant.example/userinfo"}))
	return r
}

func TestUserInfo(t *testing.T) {
	r := informant(t)
	r.handle(userinfo, func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet || req.Header.Get("Authorization") != "Bearer "+newToken || req.URL.RawQuery != "" {
			t.Errorf("%s %s, Authorization %q", req.Method, req.URL, req.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"sub":"1","name":"Ada","updated_at":12345678901234567890}`))
	})
	got, err := r.client.UserInfo(t.Context(), issuer, newToken)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name() != "Ada" || got.Sub() != "1" || reflect.ValueOf(got["updated_at"]).String() != "12345678901234567890" {
		t.Errorf("claims = %v", got)
	}
	r.wantCount(userinfo, 1)
}

func TestUserInfo_fails(t *testing.T) {
	tests := []struct {
		name       string
		status     int
		kind, body string
		code       string
	}{
		{"refused", 401, "application/json", `{"error":"invalid_token","token":"` + newToken + `"}`, "userinfo_error"},
		{"redirect", 302, "text/html", "", "userinfo_error"},
		{"no JSON", 200, "text/html", "<html>" + newToken, "userinfo_error"},
		{"a list", 200, "application/json", `[]`, "userinfo_error"},
		{"a claim twice", 200, "application/json", `{"sub":"1","sub":"2"}`, "userinfo_error"},
		{"said to be signed", 200, "application/jwt", `{"sub":"1"}`, "invalid_token"},
		{"too long", 200, "application/json", `{"sub":"` + strings.Repeat("x", 1<<20) + `"}`, "userinfo_error"},
	}
	for _, tt := range tests {
		r := informant(t)
		r.handle(userinfo, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tt.kind)
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		})
		_, err := r.client.UserInfo(t.Context(), issuer, newToken)
		if verdict(err) != tt.code || strings.Contains(err.Error(), newToken) {
			t.Errorf("%s: %v, want %s without the token", tt.name, err, tt.code)
		}
	}
	r := newRig(t)
	if _, err := r.client.UserInfo(t.Context(), issuer, newToken); verdict(err) != "configuration_error" {
		t.Errorf("no endpoint: %v, want configuration_error", err)
	}
	r = informant(t)
	r.fail(userinfo, errors.New("broken "+newToken))
	if _, err := r.client.UserInfo(t.Context(), issuer, newToken); verdict(err) != "userinfo_error" || strings.Contains(err.Error(), newToken) {
		t.Errorf("broken connection: %v, want userinfo_error without the token", err)
	}
}

// A signed answer (OpenID Connect Core section 5.3.2).
func TestUserInfo_signed(t *testing.T) {
	claims := claimsOf{"sub": "1", "name": "Ada", "iss": issuer, "aud": clientID}
	tests := []struct {
		name   string
		header claimsOf
		claims claimsOf
		want   string
	}{
		{"good", rs256(), claims, "ok"},
		{"without iss and aud", rs256(), claimsOf{"sub": "1", "name": "Ada"}, "ok"},
		{"of another issuer", rs256(), with(claims, claimsOf{"iss": "https://evil.example/"}), "issuer_validation_error"},
		{"for another client", rs256(), with(claims, claimsOf{"aud": "other"}), "invalid_audience"},
		{"an access token", rs256(claimsOf{"typ": "at+jwt"}), claims, "invalid_token"},
	}
	for _, tt := range tests {
		r := informant(t)
		r.handle(userinfo, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwt; charset=utf-8")
			_, _ = w.Write([]byte(sign(tt.header, tt.claims, rsaKey())))
		})
		got, err := r.client.UserInfo(t.Context(), issuer, newToken)
		if verdict(err) != tt.want || err == nil && !reflect.DeepEqual(got, session.User(tt.claims)) {
			t.Errorf("%s: %v, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

// Keys that a signed answer needs take a permit of their own, once UserInfo's is given back.
func TestUserInfo_signedByANewKeyWithOnePermit(t *testing.T) {
	taken := 0
	r := newRig(t, func(c *idp.Config) {
		c.Limit = func(context.Context, bool) (func(), error) {
			if taken++; taken > 1 {
				return nil, session.ErrOverloaded
			}
			return func() { taken-- }, nil
		}
	})
	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"userinfo_endpoint": "https://tenant.example/userinfo"}))
	r.handle(userinfo, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = w.Write([]byte(sign(rs256(), claimsOf{"sub": "1", "name": "Ada"}, rsaKey())))
	})
	if got, err := r.client.UserInfo(t.Context(), issuer, newToken); err != nil || got.Name() != "Ada" {
		t.Errorf("UserInfo = %v, %v", got, err)
	}
}
