package test_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
)

// signedInAt are claims of a user who signed in at the provider that long before t0.
func signedInAt(ago time.Duration) idptest.Claims {
	return idptest.Claims{"auth_time": t0.Add(-ago).Unix()}
}

// A login that asks for max_age takes no ID token of a user who signed in longer ago (OpenID
// Connect Core section 3.1.3.7): the browser could have cut the parameter out of the URL.
func TestMaxAge_isHeldAgainstAuthTime(t *testing.T) {
	asked := func(v string) tokenward.LoginRequest {
		return tokenward.LoginRequest{AuthorizationParams: map[string]string{"max_age": v}}
	}
	const leeway = 30 * time.Second
	tests := []struct {
		name   string
		config string // its max_age
		req    tokenward.LoginRequest
		claims idptest.Claims
		ok     bool
	}{
		{"just now", "", asked("60"), signedInAt(0), true},
		{"to the second", "", asked("60"), signedInAt(time.Minute + leeway), true},
		{"a second more", "", asked("60"), signedInAt(time.Minute + leeway + time.Second), false},
		{"at once", "", asked("0"), signedInAt(leeway), true},
		{"at once, a second more", "", asked("0"), signedInAt(leeway + time.Second), false},
		{"a fraction", "", asked("60"), idptest.Claims{"auth_time": json.Number(fmt.Sprintf("%d.75", t0.Unix()-60))}, true},
		{"a fraction too long ago", "", asked("60"), idptest.Claims{"auth_time": json.Number(fmt.Sprintf("%d.75", t0.Unix()-91))}, false},
		{"ahead, as clocks differ", "", asked("60"), signedInAt(-leeway), true},
		{"ahead, a second more", "", asked("60"), signedInAt(-leeway - time.Second), false},
		{"in milliseconds", "", asked("60"), idptest.Claims{"auth_time": t0.UnixMilli()}, false},
		{"no auth_time", "", asked("60"), idptest.Claims{"auth_time": idptest.Absent}, false},
		{"auth_time null", "", asked("60"), idptest.Claims{"auth_time": nil}, false},
		{"auth_time as text", "", asked("60"), idptest.Claims{"auth_time": fmt.Sprint(t0.Unix())}, false},
		{"auth_time that is no number", "", asked("60"), idptest.Claims{"auth_time": true}, false},
		{"auth_time beyond all dates", "", asked("60"), idptest.Claims{"auth_time": json.Number("1e400")}, false},
		{"the largest max_age", "", asked("2147483647"), signedInAt(time.Hour), true},
		{"configured", "60", tokenward.LoginRequest{}, signedInAt(time.Hour), false},
		{"configured, and the call asks for more", "60", asked("7200"), signedInAt(time.Hour), true},
		{"nobody asked", "", tokenward.LoginRequest{}, signedInAt(1000 * time.Hour), true},
		{"nobody asked, and there is none", "", tokenward.LoginRequest{}, idptest.Claims{"auth_time": idptest.Absent}, true},
	}
	for _, pushed := range []bool{false, true} {
		for _, tt := range tests {
			r := newRig(t, withClient(withProvider(tokenward.ProviderConfig{PushedAuthorization: pushed})), withConfig(func(c *tokenward.Config) {
				if tt.config != "" {
					c.AuthorizationParams = map[string]string{"max_age": tt.config}
				}
			}))
			_, err := r.complete(r.callback(tt.req, tt.claims))
			switch {
			case tt.ok && err != nil:
				t.Errorf("%s, pushed %v: %v", tt.name, pushed, err)
			case !tt.ok:
				wantError[*tokenward.APIError](t, fmt.Sprintf("%s, pushed %v", tt.name, pushed), err, "invalid_token")
				r.wantNothingStored(tt.name)
			}
		}
	}
}

func TestMaxAge_malformed(t *testing.T) {
	r := newRig(t)
	for _, v := range []string{"", " ", "-1", "+60", "60.5", "1e3", "0x10", "1_000", "an hour", "9223372036854775808", "2147483648"} {
		_, err := r.client.StartInteractiveLogin(t.Context(), tokenward.LoginRequest{AuthorizationParams: map[string]string{"max_age": v}}, tokenward.StoreOptions{})
		if e := asError[*tokenward.InvalidArgumentError](t, fmt.Sprintf("%q", v), err, "invalid_argument"); e != nil && e.Argument != "max_age" {
			t.Errorf("%q: argument = %q", v, e.Argument)
		}
	}
	r.want("requests pushed or followed", r.tenant.Requests(idptest.Authorize)+r.tenant.Requests(idptest.PAR), 0)
}
