package processes_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

func sentinelHome(s *servers.Sentinels) home {
	return home{Kind: "sentinel", Sentinels: s.Addrs, Space: newSpace()}
}

// The primary crashes in the middle of refreshes: the provider has rotated the tokens, and the processes cannot save them. The sentinels put
// the replica in its place, which has everything from before. The owners save there, every caller gets the token, and no refresh token is
// presented twice. A session that is signed out then is signed out everywhere.
func TestFailover_inTheMiddleOfRefreshes(t *testing.T) {
	all := servers.NewSentinels(t, servers.RedisConfig{})
	x := newTroupe(t, sentinelHome(all))
	ids := x.signIn(6)
	hold := x.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
	var answers []<-chan Reply
	for i, id := range ids {
		answers = append(answers, x.all[i%3].start("Token", TokenCall{id, audiences[1]}))
	}
	ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
	defer cancel()
	must(t, hold.Wait(ctx, len(ids)))
	must(t, all.Synced()) // leases and intents are with the replica
	all.Primary.Kill()
	hold.Release()
	for i, answer := range answers {
		if got := receive(t, answer); got.Code != "" {
			t.Errorf("%s's own caller: %s", x.all[i%3].name, got.Code)
		}
	}
	must(t, all.FailedOver())
	for _, p := range x.all {
		x.seen(p)
		eventually(t, p.name+" to save", func() bool { return p.stats().Unsaved == 0 })
	}
	for round := range 2 { // the token that was saved, and one more
		for i, id := range ids {
			var first string
			for j, p := range x.all {
				got := p.token(id, audiences[1+round])
				if j == 0 {
					first = got.Value
				}
				if got.Code != "" || got.Value != first {
					t.Errorf("%s, session %d: %q, %s, want %q", p.name, i, got.Value, got.Code, first)
				}
			}
		}
	}
	if n := x.tenant.Reuses(); n != 0 {
		t.Errorf("refresh tokens presented twice = %d", n)
	}
	if n := x.tenant.Refreshes(); n != 2*len(ids) {
		t.Errorf("refreshes = %d, want %d: one for each session and audience", n, 2*len(ids))
	}
	must(t, all.Primary.Restart())
	for i, id := range ids {
		if got := x.all[i%3].do("Logout", id); got.Code != "" {
			t.Errorf("logout: %s", got.Code)
		}
		for _, p := range x.all {
			eventually(t, fmt.Sprintf("%s to know of logout %d", p.name, i), func() bool { return p.user(id) == Reply{} })
		}
	}
}
