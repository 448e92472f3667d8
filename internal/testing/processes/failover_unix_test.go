//go:build unix

package processes_test

import (
	"context"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

// docs/reliability.md says what a failover loses that the replica had not received, though the primary had acknowledged it: P3 and P7.
func TestFailover_losesWhatTheReplicaLacked(t *testing.T) {
	all := servers.NewSentinels(t, servers.RedisConfig{})
	x := newTroupe(t, sentinelHome(all))
	ids := x.signIn(2)
	refreshed, signedOut := ids[0], ids[1]
	hold := x.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	answer := x.all[0].start("Token", TokenCall{refreshed, audiences[1]})
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	must(t, hold.Wait(ctx, 1))
	must(t, all.Synced())
	all.Replica.Pause() // and nothing is on its way to it
	must(t, client(t, all.Primary).ClientKillByFilter(t.Context(), "type", "replica").Err())
	hold.Release()
	if got := receive(t, answer); got.Code != "" {
		t.Errorf("a token: %s", got.Code)
	}
	eventually(t, "the save", func() bool { return x.all[0].stats().Unsaved == 0 })
	if got := x.all[0].do("Logout", signedOut); got.Code != "" {
		t.Errorf("a logout: %s", got.Code)
	}
	all.Primary.Kill()
	all.Replica.Resume()
	must(t, all.FailedOver())
	for _, p := range x.all {
		x.seen(p)
	}
	if got := x.all[0].token(refreshed, audiences[2]); got.Code == "" || x.tenant.Reuses() != 1 {
		t.Errorf("the next refresh: %q, %d tokens presented twice; the record has the spent token", got.Code, x.tenant.Reuses())
	}
	if got := x.all[0].user(signedOut); got.Value == "" {
		t.Error("the user who was signed out is gone; the record that the replica has is of before")
	}
}
