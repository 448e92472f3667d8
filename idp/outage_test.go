package idp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
)

func TestMetadata_outage(t *testing.T) {
	r := newRig(t)
	refresh := func() error {
		_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
		return err
	}
	verify := func() error {
		_, err := r.client.VerifyIDToken(t.Context(), issuer, sign(rs256(), idClaims(claimsOf{
			"exp": t0.Add(48 * time.Hour).Unix(),
		}), rsaKey()), idp.Expect{})
		return err
	}
	want := func(when string, err error, want string) {
		t.Helper()
		if got := verdict(err); got != want {
			t.Errorf("%s: %s (%v), want %s", when, got, err, want)
		}
	}
	want("before", refresh(), "ok")
	want("before", verify(), "ok")
	r.wantCount(jwks, 1)

	// The endpoints outlive their ten minutes, the keys do not.
	r.answer(metadata, 503, "")
	r.answer(jwks, 503, "")
	r.clock.Advance(600 * time.Second)
	want("discovery down", refresh(), "ok")
	want("discovery and keys down", verify(), "jwks_fetch_error")
	r.wantCount(metadata, 3) // it is tried each time
	r.wantCount(jwks, 2)

	r.publish(rsaJWK("1", rsaKey()))
	want("keys back", verify(), "ok")
	want("keys back", verify(), "ok")
	r.wantCount(jwks, 3) // new keys are kept, also without new metadata

	r.clock.Advance(24*time.Hour - time.Nanosecond)
	want("nearly a day", refresh(), "ok")
	r.clock.Advance(time.Nanosecond)
	want("a day", refresh(), "metadata_error")

	r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"token_endpoint": "https://tenant.example/moved"}))
	r.answer("/moved", 200, `{"access_token":"at"}`)
	want("after", refresh(), "ok")
	r.wantCount("/moved", 1)
}

func TestMetadata_hangInAnOutageLeavesTimeForTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if _, err := r.client.Metadata(t.Context(), issuer); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(600 * time.Second)
		r.hang(metadata)

		wait := all(1, func(int) error {
			_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
			return err
		})
		synctest.Wait()
		r.clock.Advance(5 * time.Second)
		wantVerdicts(t, wait(), "ok")
	})
}
