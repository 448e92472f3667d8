package processes_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/idp/idptest"
	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
)

var roundsFlag = flag.Int("processes.rounds", 0, "outages of each store; 0: a few")

func rounds() int {
	switch {
	case *roundsFlag > 0:
		return *roundsFlag
	case testing.Short():
		return 1
	}
	return 2
}

// mortal is a server of the test's own, which keeps over a crash whatever it acknowledged.
type mortal interface {
	Kill()
	Restart() error
}

// eachMortal tells story once on each kind of server that is installed here.
func eachMortal(t *testing.T, story func(t *testing.T, h home, server mortal)) {
	t.Run("redis", func(t *testing.T) {
		r := servers.NewRedis(t, servers.RedisConfig{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
		story(t, redisHome(r), r)
	})
	t.Run("postgres", func(t *testing.T) {
		p := servers.NewPostgres(t, servers.NoFsync())
		story(t, postgresHome(p), p)
	})
}

// troupe is three processes on one server, with the limits and the clock that they have in
// production.
type troupe struct {
	t      *testing.T
	tenant *idptest.Tenant
	all    []*process
	logins int
}

func newTroupe(t *testing.T, h home) *troupe {
	x := &troupe{t: t, tenant: newTenant(t)}
	for i := range 3 {
		x.all = append(x.all, startProcess(t, fmt.Sprint("process ", i), plan{Issuer: x.tenant.Issuer(), Home: h}))
	}
	return x
}

// signIn signs n users in; every process shows them.
func (x *troupe) signIn(n int) (ids []string) {
	x.t.Helper()
	for range n {
		x.logins++
		w := who{session: x.logins}
		id := idOf(w.session)
		x.want("login", x.all[x.logins%3].login(id, w.String()), w.String())
		for _, p := range x.all {
			eventually(x.t, p.name+" to know "+w.String(), func() bool { return p.user(id) == Reply{Value: w.String()} })
		}
		ids = append(ids, id)
	}
	return ids
}

func (x *troupe) want(what string, got Reply, value string) {
	x.t.Helper()
	if got != (Reply{Value: value}) {
		x.t.Fatalf("%s: %q, %s, want %q", what, got.Value, got.Code, value)
	}
}

// seen returns when p is ready, which it is not while it cannot reach the store.
func (x *troupe) seen(p *process) time.Time {
	eventually(x.t, p.name+" to see the store", func() bool { return p.do("Ready", Nothing{}).Code == "" })
	return clock.System().Now()
}

// delays are how long something took, each time.
type delays struct {
	mu  sync.Mutex
	all []time.Duration
}

func (d *delays) add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, took)
}

// want checks the slowest of a hundred.
func (d *delays) want(t *testing.T, what string, most time.Duration) {
	t.Helper()
	slices.Sort(d.all)
	at := func(percent int) time.Duration { return d.all[(len(d.all)-1)*percent/100] }
	t.Logf("%s, %d times: p50 %v, p99 %v, longest %v", what, len(d.all), at(50), at(99), at(100))
	if p99 := at(99); p99 > most {
		t.Errorf("%s: p99 %v, want at most %v", what, p99, most)
	}
}

// The store is killed and started again, and then a session is signed out in one process. The
// others, which have lost their change feeds by then, serve it for a second at most, counted from when
// both see the store again.
func TestOutage_aLogoutAfterwardsIsSeenEverywhere(t *testing.T) {
	eachMortal(t, func(t *testing.T, h home, server mortal) {
		x := newTroupe(t, h)
		served := &delays{}
		for round := range rounds() {
			ids := x.signIn(6)
			for _, p := range x.all {
				for _, id := range ids {
					if r := p.token(id, ""); r.Code != "" {
						t.Fatalf("%s: a token: %s", p.name, r.Code)
					}
				}
			}
			server.Kill()
			await.Within(time.Duration(round%4)*700*time.Millisecond, func() bool { // callers, meanwhile
				for _, p := range x.all {
					for _, id := range ids {
						p.user(id)
					}
				}
				return false
			})
			must(t, server.Restart())
			x.logoutEverywhere(ids, round, served)
		}
		served.want(t, "served after a logout elsewhere", time.Second)
	})
}

// logoutEverywhere signs the sessions out in one process, and notes for how long the
// others serve them.
func (x *troupe) logoutEverywhere(ids []string, round int, served *delays) {
	at := x.all[round%3]
	var all sync.WaitGroup
	var ready, out sync.WaitGroup
	var mu sync.Mutex
	var since time.Time // both see the store, and it is signed out
	note := func(moment time.Time) {
		mu.Lock()
		defer mu.Unlock()
		if moment.After(since) {
			since = moment
		}
	}
	for _, p := range x.all {
		ready.Go(func() { note(x.seen(p)) })
	}
	for _, id := range ids {
		out.Go(func() {
			eventually(x.t, "a logout", func() bool { return at.do("Logout", id).Code == "" })
			note(clock.System().Now())
		})
	}
	last := make(chan time.Time, 2*3*len(ids))
	for _, p := range x.all {
		for _, id := range ids {
			for what, over := range map[string]func() bool{
				"user":  func() bool { return p.user(id) == Reply{} },
				"token": func() bool { return p.token(id, "").Code == "missing_refresh_token" },
			} {
				all.Go(func() {
					shown := time.Time{}
					if !inTime(func() bool {
						if out.Wait(); over() {
							return true
						}
						shown = clock.System().Now()
						return false
					}) {
						x.t.Errorf("%s serves a %s of %s, long after the logout", p.name, what, id)
					}
					last <- shown
				})
			}
		}
	}
	all.Wait()
	ready.Wait()
	close(last)
	for shown := range last {
		served.add(max(0, shown.Sub(since)))
	}
}

// The store is away for 6.5 s, longer than a lease, while the owners of some sessions have a
// new refresh token in hand. Callers in other processes have an answer soon after the owner
// has saved.
func TestOutage_callersElsewhereAreAnsweredAfterTheSave(t *testing.T) {
	const away = 6500 * time.Millisecond
	eachMortal(t, func(t *testing.T, h home, server mortal) {
		x := newTroupe(t, h)
		waited := &delays{}
		for round := range rounds() {
			owner := x.all[round%3]
			ids := x.signIn(4)
			hold := x.tenant.Hold(idptest.Refresh, idptest.AfterGrant)
			var tokens []<-chan Reply
			for _, id := range ids {
				tokens = append(tokens, owner.start("Token", TokenCall{id, audiences[1]}))
			}
			ctx, cancel := clock.WithTimeout(context.Background(), clock.System(), patience)
			must(t, hold.Wait(ctx, len(ids)))
			cancel()
			server.Kill()
			hold.Release()
			await.Within(away, func() bool { return false })
			must(t, server.Restart())
			x.callersElsewhere(owner, ids, tokens, waited)
		}
		waited.want(t, "callers in other processes, after the owner's save", 3*time.Second)
		if n := x.tenant.Reuses(); n != 0 {
			t.Errorf("refresh tokens presented twice = %d", n)
		}
		if n := x.tenant.Refreshes(); n != x.logins {
			t.Errorf("refreshes = %d, want %d: one for each session", n, x.logins)
		}
	})
}

// callersElsewhere asks for the sessions in every process but the owner's, and notes how
// long after the owner's save its callers are answered.
func (x *troupe) callersElsewhere(owner *process, ids []string, tokens []<-chan Reply, waited *delays) {
	var all sync.WaitGroup
	answered := make(chan time.Time, 2*4*len(ids))
	for i, id := range ids {
		want := receive(x.t, tokens[i])
		if want.Code != "" {
			x.t.Fatalf("the owner's own caller: %s", want.Code)
		}
		for _, p := range x.all {
			for range 4 {
				if p == owner {
					break
				}
				all.Go(func() {
					var got Reply
					eventually(x.t, "an answer", func() bool { // who was told that the store is away asks again
						got = p.token(id, audiences[1])
						return !strings.HasPrefix(got.Code, "store_error")
					})
					if got != want {
						x.t.Errorf("%s: %q, %s, want what the owner got", p.name, got.Value, got.Code)
					}
					answered <- clock.System().Now()
				})
			}
		}
	}
	eventually(x.t, "the owner to save", func() bool { return owner.stats().Unsaved == 0 })
	saved := clock.System().Now()
	all.Wait()
	close(answered)
	for at := range answered {
		waited.add(max(0, at.Sub(saved)))
	}
}
