package test_test

import (
	"testing"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/store/storetest"
)

// After an outage a caller in another process has what the owner of the session saves a second
// after it was saved, also where no notice of it arrives.
func TestGracePeriod_endsWithTheOwnersSave(t *testing.T) {
	for name, muted := range map[string]bool{"told by a notice": false, "found by a poll": true} {
		t.Run(name, func(t *testing.T) {
			processes(t, 2, nil, func(t *testing.T, r *rig, id string, p []process) {
				hold := r.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
				owner := p[0].ask(id, tokenward.TokenRequest{})
				r.rest()
				r.want("requests held", hold.Held(), 1)
				down(p)
				hold.Release()
				want, err := owner.wait()
				if err != nil {
					t.Fatal(err)
				}
				r.steps(6500 * time.Millisecond)
				p[0].store.Heal()
				p[0].store.Fail(storetest.OpUpdate, 1) // so that the others come first
				p[1].store.Heal()
				p[1].store.MuteFeed(muted)
				other := p[1].ask(id, tokenward.TokenRequest{})
				r.stepsUntil(20*time.Second, func() bool { return p[0].Stats().Unsaved == 0 })
				r.want("unsaved", int(p[0].Stats().Unsaved), 0)
				r.steps(1250 * time.Millisecond) // a poll, and a quarter of it
				if !other.answered() {
					t.Fatal("a caller in another process still waits, a second after the save")
				}
				if got, err := other.wait(); err != nil || got.AccessToken != want.AccessToken {
					t.Errorf("the other process: %v, %v, want what the owner got", got, err)
				}
				r.want("requests", r.tenant.Refreshes(), 1)
				r.want("refresh tokens reused", r.tenant.Reuses(), 0)
			})
		})
	}
}

// steps lets time pass in steps so small that no question to the store is overtaken.
func (r *rig) steps(d time.Duration) {
	r.stepsUntil(d, func() bool { return false })
}

func (r *rig) stepsUntil(d time.Duration, yes func() bool) {
	const step = 50 * time.Millisecond
	for r.rest(); d > 0 && !yes(); d -= step {
		r.clock.Advance(step)
		r.rest()
	}
}
