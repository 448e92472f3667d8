package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

type notice struct {
	key     session.Key
	version session.Version
}

// watching is a Watch under way.
type watching struct {
	lost    chan struct{}
	notices chan notice
	ended   chan error
}

func watchOn(t *testing.T, s *redis.Store) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{lost: make(chan struct{}, 100), notices: make(chan notice, 1000), ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ended <- s.Watch(ctx,
			func(key session.Key, v session.Version) { w.notices <- notice{key, v} },
			func() { w.lost <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func TestWatch_aBrokenConnectionIsAnErrorAndThenAGap(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL())
	breaks := map[string]func(){
		"the server hangs up": func() { must(t, admin(t, r).ClientKillByFilter(t.Context(), "type", "pubsub").Err()) },
		"the server crashes":  r.Kill,
	}
	for _, name := range []string{"the server hangs up", "the server crashes"} {
		w := watchOn(t, s)
		within(t, "the first lost", w.lost)
		breaks[name]()
		var failed *redis.Error
		if err := within(t, "the end of Watch", w.ended); !errors.As(err, &failed) {
			t.Errorf("%s: err = %v, want a *redis.Error", name, err)
		}
	}
	w := watchOn(t, s)
	if err := within(t, "the end of Watch", w.ended); err == nil || len(w.lost) > 0 {
		t.Errorf("Watch of a server that is down: err = %v, lost called %d times", err, len(w.lost))
	}
	must(t, r.Restart())
	w = watchOn(t, s)
	within(t, "lost of the next Watch", w.lost)
	key, rec := login(t, s)
	if got := within(t, "the notice", w.notices); got != (notice{key, rec.Version}) {
		t.Error("another notice came")
	}
}

func TestWatch_noticesComeInTheOrderOfTheWrites(t *testing.T) {
	a := open(t)
	b := again(t, a)
	w := watchOn(t, a)
	within(t, "the first lost", w.lost)
	key, rec := login(t, b)
	versions := []session.Version{rec.Version}
	for i := range 100 {
		after := next(rec)
		s := []*redis.Store{a, b}[i%2]
		must(t, s.Update(t.Context(), key, rec.Version, after, opt))
		rec = after
		versions = append(versions, rec.Version)
	}
	must(t, b.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	must(t, b.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt)) // for the same reason
	login(t, b)
	for i, want := range append(versions, session.Version{}) {
		if got := within(t, "a notice", w.notices); got != (notice{key, want}) {
			t.Fatalf("notice %d is of another write", i)
		}
	}
	if got := within(t, "a notice", w.notices); got.key == key {
		t.Error("a deletion was told twice")
	}
}

func TestWatch_ignoresWhatIsNotOurs(t *testing.T) {
	s := open(t)
	w := watchOn(t, s)
	within(t, "the first lost", w.lost)
	channel := redis.PrefixOf(s) + "changes:0"
	for _, text := range []string{"", "x", strings.Repeat("x", 47), strings.Repeat("x", 49)} {
		must(t, side(t).Publish(t.Context(), channel, text).Err())
	}
	key, rec := login(t, s)
	if got := within(t, "the notice", w.notices); got != (notice{key, rec.Version}) {
		t.Error("something else was told")
	}
}

func TestWatch_ofWhatSpeaksNonsense(t *testing.T) {
	for _, nonsense := range []string{
		"*3\r\n:1\r\n:2\r\n:3\r\n", "*1\r\n" + bulk("message"), "*0\r\n", "$-1\r\n", ":7\r\n", "*2\r\n" + bulk("subscribe") + ":1\r\n",
		"-ERR unknown command 'subscribe'\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		answer := goodServer(goodInfo, nil)
		f := newFake(t, func(command []string) string {
			if command[0] == "subscribe" {
				return nonsense
			}
			return answer(command)
		})
		s := openAt(t, "redis://"+f.Addr().String())
		w := watchOn(t, s)
		if err := within(t, "the end of Watch", w.ended); !errors.As(err, new(*redis.Error)) {
			t.Errorf("%q: err = %v, want a *redis.Error", nonsense, err)
		}
	}
}

// A database has its own channel, for Redis has none of its own in each.
func TestWatch_tellsOfItsDatabaseOnly(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	zero, one := openAt(t, r.URL()), openAt(t, strings.TrimSuffix(r.URL(), "0")+"1")
	w := watchOn(t, zero)
	within(t, "the first lost", w.lost)
	login(t, one)
	key, _ := login(t, zero)
	if got := within(t, "the notice", w.notices); got.key != key {
		t.Error("a write to another database was told")
	}
}

func TestWatch_endsWithTheStore(t *testing.T) {
	s := open(t)
	w := watchOn(t, s)
	within(t, "the first lost", w.lost)
	must(t, s.Close())
	if err := within(t, "the end of Watch", w.ended); err == nil {
		t.Error("Watch ended without an error")
	}
	_, err := s.Load(t.Context(), newKey(), opt)
	wantErr(t, "Load", err, redis.ErrClosed)
	wantErr(t, "Watch", s.Watch(t.Context(), nil, nil), redis.ErrClosed)
	must(t, s.Close())
}

// After a failover a server may be a replica and keep its subscribers, who are told no more of
// writes. The gap is told whether the server is one still or is not any more.
func TestWatch_endsAtAFailover(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := clock.NewFake(time.Unix(0, 0))
	s := openAt(t, r.URL(), redis.Clock(c))
	nobody, err := servers.FreeAddr()
	must(t, err)
	follow := func() { must(t, admin(t, r).ReplicaOf(t.Context(), "127.0.0.1", port(nobody)).Err()) }
	lead := func() { must(t, admin(t, r).ReplicaOf(t.Context(), "no", "one").Err()) }
	for name, failover := range map[string]func(){
		"a replica":                   follow,
		"a replica, and not any more": func() { follow(); lead() },
	} {
		w := watchOn(t, s)
		within(t, "the first lost", w.lost)
		failover()
		must(t, c.WaitTimers(t.Context(), 1))
		c.Advance(3 * time.Second)
		if err := within(t, "the end of Watch", w.ended); !errors.As(err, new(*redis.Error)) {
			t.Errorf("%s: err = %v, want a *redis.Error", name, err)
		}
		lead()
	}
	follow()
	w := watchOn(t, s)
	if err := within(t, "the end of Watch", w.ended); err == nil || len(w.lost) > 0 {
		t.Errorf("Watch of a replica: err = %v, lost called %d times", err, len(w.lost))
	}
}
