package idp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/idp/idptest"
)

const rubbish = 10_000

// madeUp returns a token whose kid is no key of the provider. Its signature is never looked at.
func madeUp(payload string, i int) string {
	return b64(fmt.Appendf(nil, `{"alg":"RS256","kid":"made-up-%d"}`, i)) + payload
}

// payloadOf returns the rest of a token, with a signature that is none.
func payloadOf(claims map[string]any) string { return "." + b64(must(json.Marshal(claims))) + ".c2ln" }

// A flood of tokens with made-up kids costs one key fetch in 30 seconds, and good
// users notice nothing.
func TestFlood_ofMadeUpKids(t *testing.T) {
	id, logout := payloadOf(idClaims()), payloadOf(logoutClaims())
	floods := map[string]func(r *rig, i int) error{
		"ID tokens": func(r *rig, i int) error {
			_, err := r.client.VerifyIDToken(r.t.Context(), issuer, madeUp(id, i), idp.Expect{})
			return err
		},
		"logout tokens": func(r *rig, i int) error {
			_, err := r.client.VerifyLogoutToken(r.t.Context(), issuer, madeUp(logout, i))
			return err
		},
	}
	for name, send := range floods {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.wantVerify("1", "ok")
			for round := range 3 {
				for i := range rubbish / 3 {
					if send(r, i) == nil {
						t.Fatal("rubbish was accepted")
					}
					if i%1000 == 0 {
						r.wantVerify("1", "ok")
					}
				}
				r.wantCount(jwks, 2+round) // the first, and one each round
				r.clock.Advance(30 * time.Second)
			}
			r.wantCount(metadata, 1)
		})
	}
}

// Many at once, at any moment of the cool-down.
func TestFlood_atOnce(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	logout := payloadOf(logoutClaims())
	wait := all(8, func(worker int) error {
		for i := range rubbish / 8 {
			if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, madeUp(logout, worker*rubbish+i)); err == nil {
				return errors.New("rubbish was accepted")
			}
		}
		return nil
	})
	wantVerdicts(t, wait(), "ok")
	r.wantCount(jwks, 2)
}

// Strangers can post logout tokens for ever. When the provider changes its keys in
// the midst of that, logins see it at once.
func TestFlood_ofLogoutTokensDoesNotDelayNewKeys(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	logout := func(tok string) string {
		_, err := r.client.VerifyLogoutToken(t.Context(), issuer, tok)
		return verdict(err)
	}
	const refused = "backchannel_logout_error"
	if got := logout(madeUp(payloadOf(logoutClaims()), 1)); got != refused {
		t.Errorf("rubbish: %s", got)
	}
	r.wantCount(jwks, 2)

	r.publish(rsaJWK("2", rsaKey()))
	good := sign(rs256(claimsOf{"kid": "2"}), logoutClaims(), rsaKey())
	if got := logout(good); got != refused {
		t.Errorf("a logout in the cool-down of the rubbish: %s, want %s", got, refused)
	}
	r.wantVerify("2", "ok") // a login is not held up
	if got := logout(good); got != "ok" {
		t.Errorf("a logout after a login had the keys fetched: %s, want ok", got)
	}
	r.wantCount(jwks, 3)

	// What logins cause counts for everybody.
	r.wantVerify("3", "jwks_key_not_found")
	if got := logout(madeUp(payloadOf(logoutClaims()), 2)); got != refused {
		t.Errorf("rubbish: %s", got)
	}
	r.wantCount(jwks, 3)
}

// The new key is published before anything is signed with it or with the old one
// withdrawn: every login succeeds, and all of them cost one key fetch.
func TestRotation_isNotNoticedByLogins(t *testing.T) {
	v := newVisit(t)
	issuer := v.tenant.Issuer()
	verify := func(tok string) error {
		_, err := v.client.VerifyIDToken(t.Context(), issuer, tok, idp.Expect{})
		return err
	}
	old := v.login().IDToken
	wantVerdicts(t, []error{verify(old)}, "ok")
	for rotation := 1; rotation <= 3; rotation++ {
		v.tenant.RotateKeys()
		young := make([]string, 10)
		for i := range young {
			young[i] = v.login().IDToken
		}
		wait := all(100, func(i int) error {
			if i%4 == 0 {
				return verify(old)
			}
			return verify(young[i%len(young)])
		})
		wantVerdicts(t, wait(), "ok")
		if got, want := v.tenant.Requests(idptest.JWKS), 1+rotation; got != want {
			t.Errorf("key fetches after rotation %d = %d, want %d", rotation, got, want)
		}
		old = young[0]
		v.clock.Advance(30 * time.Second)
	}
}
