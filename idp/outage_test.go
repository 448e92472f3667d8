package idp_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenward/tokenward/idp"
)

// refresh spends a refresh token.
func (r *rig) refresh(ctx context.Context) error {
	_, err := r.client.Refresh(ctx, idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	return err
}

func (r *rig) wantRefresh(when, want string) {
	r.t.Helper()
	if err := r.refresh(r.t.Context()); verdict(err) != want {
		r.t.Errorf("%s: %v, want %s", when, err, want)
	}
}

// renewed asks for metadata that is past its time, and waits for its renewal. In a bubble only.
func (r *rig) renewed() {
	r.t.Helper()
	before := r.count(metadata)
	if _, err := r.client.Metadata(r.t.Context(), issuer); err != nil {
		r.t.Error(err)
	}
	synctest.Wait()
	r.wantCount(metadata, before+1)
}

// Metadata past its time is used at once, while one request renews it for all.
func TestMetadata_staleIsUsedWhileItIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantRefresh("before", "ok")
		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"token_endpoint": "https://tenant.example/moved"}))
		r.answer("/moved", 200, `{"access_token":"at"}`)
		let := r.held(metadata)
		r.clock.Advance(600 * time.Second)

		wantVerdicts(t, all(20, func(int) error { return r.refresh(t.Context()) })(), "ok") // nothing is let go yet
		synctest.Wait()
		r.wantCount(token, 21)
		r.wantCount(metadata, 2)

		let()
		synctest.Wait()
		r.wantRefresh("renewed", "ok")
		r.wantCount("/moved", 1)
		r.wantCount(metadata, 2)
	})
}

// Half an hour in which discovery fails, or hangs: each refresh is answered with the clock
// standing still, and the provider is not asked for its metadata more often than the pause allows.
func TestMetadata_outageDelaysNoRefresh(t *testing.T) {
	const half, step = 30 * time.Minute, 10 * time.Second
	for name, tt := range map[string]struct {
		fault func(*rig)
		most  int // requests of metadata
	}{
		"down":  {func(r *rig) { r.answer(metadata, 503, "") }, int(half/(30*time.Second)) + 1},
		"hangs": {func(r *rig) { r.hang(metadata) }, int(half/(40*time.Second)) + 1}, // its deadline comes first
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.wantRefresh("before", "ok")
			r.clock.Advance(600 * time.Second)
			tt.fault(r)
			for at := time.Duration(0); at < half; at += step {
				wait := all(3, func(int) error { return r.refresh(t.Context()) })
				wantVerdicts(t, wait(), "ok") // a refresh that waited would wait for ever: no clock moves
				synctest.Wait()
				r.clock.Advance(step)
				synctest.Wait()
			}
			if n := r.count(metadata) - 1; n < 2 || n > tt.most {
				t.Errorf("%s: metadata was asked for %d times, want 2 to %d", name, n, tt.most)
			}

			r.answerJSON(metadata, defaultMetadata())
			r.clock.Advance(30 * time.Second)
			r.renewed()
		})
	}
}

func TestMetadata_pauseAfterAFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantRefresh("before", "ok")
		r.answer(metadata, 503, "")
		r.clock.Advance(600 * time.Second)
		r.renewed()
		r.clock.Advance(30*time.Second - 1)
		r.wantRefresh("in the pause", "ok")
		synctest.Wait()
		r.wantCount(metadata, 2)
		r.clock.Advance(1)
		r.renewed()
	})
}

// Endpoints outlive their ten minutes by a day, keys do not.
func TestMetadata_outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		verify := func(when, want string) {
			t.Helper()
			if err := r.verify(t.Context(), "1"); verdict(err) != want {
				t.Errorf("%s: %v, want %s", when, err, want)
			}
			synctest.Wait()
		}
		r.wantRefresh("before", "ok")
		verify("before", "ok")
		r.wantCount(jwks, 1)

		r.answer(metadata, 503, "")
		r.answer(jwks, 503, "")
		r.clock.Advance(600 * time.Second)
		r.wantRefresh("discovery down", "ok")
		verify("discovery and keys down", "jwks_fetch_error")
		r.wantCount(jwks, 2)

		r.publish(rsaJWK("1", rsaKey()))
		verify("keys back", "ok")
		verify("keys back", "ok")
		r.wantCount(jwks, 3) // fetched from where the old metadata says, and kept

		r.clock.Advance(24*time.Hour - time.Nanosecond)
		r.wantRefresh("nearly a day", "ok")
		synctest.Wait()
		r.clock.Advance(time.Nanosecond)
		r.wantRefresh("a day", "metadata_error")

		r.answerJSON(metadata, with(defaultMetadata(), claimsOf{"token_endpoint": "https://tenant.example/moved"}))
		r.answer("/moved", 200, `{"access_token":"at"}`)
		r.wantRefresh("after", "ok")
		r.wantCount("/moved", 1)
	})
}

// A renewal that hangs ends with the client.
func TestClose_endsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantRefresh("before", "ok")
		r.hang(metadata)
		r.clock.Advance(600 * time.Second)
		r.renewed()
		r.client.Close()
		synctest.Wait()
		if n := r.clock.Waiting(); n != 0 {
			t.Errorf("timers left = %d, want 0", n)
		}
	})
}

// A caller who comes to need metadata while its renewal is about to fail asks anew.
func TestMetadata_aRenewalThatFailsFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.wantRefresh("before", "ok")
		r.clock.Advance(600*time.Second + 24*time.Hour - 5*time.Second)
		r.hang(metadata)
		r.renewed() // has ten seconds
		r.clock.Advance(6 * time.Second)
		wait := all(1, func(int) error { return r.refresh(t.Context()) })
		synctest.Wait()
		r.answerJSON(metadata, defaultMetadata())
		r.clock.Advance(4 * time.Second)
		wantVerdicts(t, wait(), "ok")
		r.wantCount(metadata, 3)
	})
}
