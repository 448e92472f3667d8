package idp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
)

// verify checks an ID token that is good but for its kid.
func (r *rig) verify(ctx context.Context, kid any) error {
	tok := sign(rs256(claimsOf{"kid": kid}), idClaims(claimsOf{"exp": t0.Add(1000 * time.Hour).Unix()}), rsaKey())
	_, err := r.client.VerifyIDToken(ctx, issuer, tok, idp.Expect{})
	return err
}

func (r *rig) wantVerify(kid any, want string) {
	r.t.Helper()
	if err := r.verify(r.t.Context(), kid); verdict(err) != want {
		r.t.Errorf("kid %v: %v, want %s", kid, err, want)
	}
}

func TestKeys_concurrentMissesMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		let := r.held(jwks)
		wait := all(20, func(int) error { return r.verify(t.Context(), "1") })
		synctest.Wait()
		r.wantCount(jwks, 1)
		let()
		wantVerdicts(t, wait(), "ok")
		r.wantCount(jwks, 1)
		r.wantCount(metadata, 1)
	})
}

func TestKeys_unknownKidsShareOneRefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantVerify("1", "ok")
		let := r.held(jwks)

		wait := all(20, func(i int) error { return r.verify(t.Context(), strings.Repeat("x", i+2)) })
		synctest.Wait()
		r.wantCount(jwks, 2)
		r.wantVerify("1", "ok") // known ones do not wait for it
		let()

		wantVerdicts(t, wait(), "jwks_key_not_found")
		r.wantVerify("x", "jwks_key_not_found")
		r.wantCount(jwks, 2)
		r.wantCount(metadata, 1)
	})
}

func TestKeys_rotationIsSeenAtOnce(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	r.publish(rsaJWK("2", rsaKey()))
	r.wantVerify("1", "ok") // still cached
	r.wantVerify("2", "ok")
	r.wantVerify("1", "jwks_key_not_found") // withdrawn
	r.wantCount(jwks, 2)
}

func TestKeys_rotationBeforeTheFirstTokenIsSeen(t *testing.T) {
	r := newRig(t)
	old := true
	answer := r.handlers[jwks]
	r.handle(jwks, func(w http.ResponseWriter, req *http.Request) {
		if old {
			old = false
			fmt.Fprint(w, `{"keys":[]}`)
			return
		}
		answer(w, req)
	})
	r.wantVerify("1", "ok")
	r.wantCount(jwks, 2)
}

func TestKeys_cooldown(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	r.wantVerify("2", "jwks_key_not_found")
	r.wantCount(jwks, 2)

	r.publish(rsaJWK("1", rsaKey()), rsaJWK("2", rsaKey()))
	r.clock.Advance(30*time.Second - 1)
	r.wantVerify("2", "jwks_key_not_found")
	r.wantCount(jwks, 2)
	r.clock.Advance(1)
	r.wantVerify("2", "ok")
	r.wantCount(jwks, 3)

	// A refetch that fails counts as well, and the keys at hand stay good.
	r.clock.Advance(30 * time.Second)
	r.answer(jwks, 500, "")
	r.wantVerify("3", "jwks_fetch_error")
	r.wantVerify("3", "jwks_key_not_found")
	r.wantVerify("1", "ok")
	r.wantCount(jwks, 4)
}

// Strangers wait for what logins had fetched: a logout token with an unknown kid costs no request then.
func TestKeys_cooldownAfterALoginIsForLogoutTokensToo(t *testing.T) {
	r := newRig(t)
	r.wantVerify("1", "ok")
	r.wantVerify("2", "jwks_key_not_found")
	r.wantCount(jwks, 2)
	logout := sign(with(rs256(), claimsOf{"kid": "3"}), logoutClaims(nil), rsaKey())
	r.clock.Advance(30*time.Second - 1)
	if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, logout); err == nil {
		t.Error("a token of an unknown key is accepted")
	}
	r.wantCount(jwks, 2)
	r.clock.Advance(1)
	if _, err := r.client.VerifyLogoutToken(t.Context(), issuer, logout); err == nil {
		t.Error("a token of an unknown key is accepted")
	}
	r.wantCount(jwks, 3)
}

func TestKeys_cooldownOutlivesTheMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantVerify("1", "ok")
		r.clock.Advance(590 * time.Second)
		r.wantVerify("2", "jwks_key_not_found")
		r.wantCount(jwks, 2)
		r.clock.Advance(10 * time.Second)
		r.renewed()
		r.wantVerify("2", "jwks_key_not_found")
		r.wantCount(jwks, 3) // the new metadata's keys, and no refetch
		r.clock.Advance(20 * time.Second)
		r.wantVerify("2", "jwks_key_not_found")
		r.wantCount(jwks, 4)
	})
}

func TestKeys_areLostWithTheMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if _, err := r.client.Metadata(t.Context(), issuer); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(590 * time.Second)
		r.wantVerify("1", "ok")
		r.clock.Advance(10 * time.Second)
		r.renewed()
		r.wantVerify("1", "ok")
		r.wantCount(jwks, 2)
	})
}

func TestKeys_tokenWithoutKid(t *testing.T) {
	r := newRig(t)
	r.publish(rsaJWK("1", rsaKey()), ecJWK("2", ecKey()), with(rsaJWK("3", anotherKey()), claimsOf{"use": "enc"}))
	r.wantVerify(absent, "ok") // one key that can be meant
	r.wantVerify(nil, "ok")
	r.wantCount(jwks, 1)

	r = newRig(t)
	r.publish(rsaJWK("1", rsaKey()), rsaJWK("3", anotherKey()))
	r.wantVerify(absent, "jwks_key_not_found")

	r = newRig(t)
	r.publish(with(rsaJWK("", rsaKey()), claimsOf{"kid": absent}))
	r.wantVerify(absent, "ok")
	r.wantVerify("1", "ok") // RFC 7517 section 4.5: kid is optional
}

func TestKeys_twoOfOneKid(t *testing.T) {
	r := newRig(t)
	r.publish(rsaJWK("1", anotherKey()), ecJWK("1", ecKey()), rsaJWK("1", rsaKey()))
	r.wantVerify("1", "ok")
}

func TestKeys_failures(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"500", 500, `{"keys":[]}`, "jwks_fetch_error"},
		{"redirect", 307, ``, "jwks_fetch_error"},
		{"not JSON", 200, `<html>`, "jwks_fetch_error"},
		{"list", 200, `[]`, "jwks_fetch_error"},
		{"no keys member", 200, `{}`, "jwks_fetch_error"},
		{"keys null", 200, `{"keys":null}`, "jwks_fetch_error"},
		{"keys an object", 200, `{"keys":{}}`, "jwks_fetch_error"},
		{"over 1 MiB", 200, `{"keys":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`, "jwks_fetch_error"},
		{"no keys", 200, `{"keys":[]}`, "jwks_key_not_found"},
		{"nonsense keys", 200, `{"keys":[1,null,"x",[],{},{"kty":"RSA","kid":"1"}]}`, "jwks_key_not_found"},
	}
	for _, tt := range tests {
		r := newRig(t)
		r.answer(jwks, tt.status, tt.body)
		r.wantVerify("1", tt.want)
		if tt.want == "jwks_fetch_error" { // not cached
			r.publish(rsaJWK("1", rsaKey()))
			r.wantVerify("1", "ok")
		}
	}
}

func TestKeys_noPlaceForThem(t *testing.T) {
	for _, uri := range []any{absent, nil, "", "/jwks", "http://tenant.example/jwks"} {
		r := newRig(t)
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"jwks_uri": uri}))
		r.wantVerify("1", "missing_jwks_uri")
	}
	r := newRig(t)
	r.answer(metadata, 500, "")
	r.wantVerify("1", "metadata_error")
}

func TestKeys_hangEndsByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.hang(jwks)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := all(1, func(int) error { return r.verify(ctx, "1") })
		waits := all(1, func(int) error { return r.verify(t.Context(), "1") })
		synctest.Wait()
		cancel()
		if err := gaveUp()[0]; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v, want context.Canceled", err)
		}
		r.clock.Advance(10 * time.Second)
		if err := waits()[0]; !errors.Is(err, context.DeadlineExceeded) || verdict(err) != "jwks_fetch_error" {
			t.Errorf("who waited: %v, want jwks_fetch_error and DeadlineExceeded", err)
		}
		r.wantCount(jwks, 1)
	})
}

// A key replaced under its kid, and one where there are no kids: nothing but a bad
// signature tells.
func TestKeys_replacedUnderTheSameKid(t *testing.T) {
	for _, kid := range []any{"1", absent} {
		r := newRig(t)
		r.publish(rsaJWK("1", anotherKey()))
		r.wantVerify(kid, "invalid_signature") // asks again, in vain
		r.wantCount(jwks, 2)
		r.publish(rsaJWK("1", rsaKey()))
		r.wantVerify(kid, "invalid_signature")
		r.clock.Advance(30*time.Second - 1)
		r.wantVerify(kid, "invalid_signature")
		r.wantCount(jwks, 2)
		r.clock.Advance(1)
		r.wantVerify(kid, "ok")
		r.wantVerify(kid, "ok")
		r.wantCount(jwks, 3)
	}
}

func TestKeys_replacedByAnotherKindOfKey(t *testing.T) {
	r := newRig(t)
	r.publish(ecJWK("1", ecKey()))
	if _, err := r.client.Metadata(t.Context(), issuer); err != nil {
		t.Fatal(err)
	}
	if err := r.client.Ready(t.Context(), issuer); err != nil {
		t.Fatal(err)
	}
	r.publish(rsaJWK("1", rsaKey()))
	r.wantVerify("1", "ok")
	r.wantCount(jwks, 2)
}

func TestKeys_badSignatureWhileTheKeysCannotBeFetched(t *testing.T) {
	r := newRig(t)
	r.publish(rsaJWK("1", anotherKey()))
	if err := r.client.Ready(t.Context(), issuer); err != nil {
		t.Fatal(err)
	}
	r.answer(jwks, 500, "")
	for range 3 {
		r.wantVerify("1", "invalid_signature")
	}
	r.wantCount(jwks, 2)
}

func TestKeys_badSignaturesShareOneRefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantVerify("1", "ok")
		let := r.held(jwks)
		bad := tampered(sign(rs256(), idClaims(), rsaKey()))
		wait := all(20, func(int) error {
			_, err := r.client.VerifyIDToken(t.Context(), issuer, bad, idp.Expect{})
			return err
		})
		synctest.Wait()
		r.wantVerify("1", "ok") // good ones do not wait for it
		let()
		wantVerdicts(t, wait(), "invalid_signature")
		r.wantCount(jwks, 2)
	})
}
