package signals_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/signals"
)

// Whatever a transmitter signs is accepted or refused, and ends no session of a user whom it does not name. What
// it has not signed ends nothing.
func FuzzSET(f *testing.F) {
	seeds := []string{
		`{"sub_id":{"format":"iss_sub","iss":"https://tenant.example/","sub":"auth0|ada"},"events":{"` + signals.SessionRevoked + `":{"event_timestamp":1e400}}}`,
		`{"sub_id":{"format":"complex","user":{"format":"email","email":"ada@example.com"},"session":{"format":"opaque","id":"phone"}},"events":{"` + signals.SessionsRevoked + `":{}}}`,
		`{"events":{"` + signals.AccountPurged + `":{"subject":{"subject_type":"iss-sub","iss":"https://tenant.example/","sub":"auth0|ada"}}}}`,
		`{"sub_id":{"format":"aliases","identifiers":[{"format":"aliases","identifiers":[]}]},"events":{"x":{}}}`,
		`{"sub_id":[],"events":{"` + signals.SessionRevoked + `":null},"iat":-1,"jti":7}`,
		`{"sub_id":{"format":"opaque","id":""},"events":{"https://schemas.openid.net/secevent/ssf/event-type/verification":{"state":7}}}`,
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		var c idptest.Claims
		if json.Unmarshal(claims, &c) != nil || c == nil {
			return
		}
		r := newRigWith(t, "ES256")
		r.login(ada, "phone")
		r.login(bob, "bob's")
		token := r.tenant.EventToken(signals.SessionRevoked, nil, without("sub_id"), without("events"), func(d *idptest.Draft) {
			for name, v := range c {
				d.Claims[name] = v
			}
		})
		switch code := r.push(token); code {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusServiceUnavailable:
		default:
			t.Errorf("status %d", code)
		}
		named := slices.ContainsFunc([]string{"ada", "phone", "bob", `\u`}, func(word string) bool { return strings.Contains(string(claims), word) })
		if len(r.living()) < 2 && !named {
			t.Errorf("%v live after %s", r.living(), claims)
		}
		forged := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"secevent+jwt"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims) + "."
		before := len(r.living())
		if code := r.push(forged); code == http.StatusAccepted || len(r.living()) != before {
			t.Errorf("unsigned: status %d, %v live", code, r.living())
		}
		r.wantNoTokens()
	})
}
