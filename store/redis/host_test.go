//go:build unix

package redis_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
	"github.com/tokenward/tokenward/store/storetest"
)

// hosts returns a client as a host has one: with the defaults of the client library, which repeat commands.
func hosts(t *testing.T, o *goredis.UniversalOptions) goredis.UniversalClient {
	t.Helper()
	c := goredis.NewUniversalClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newOn(t *testing.T, c goredis.UniversalClient, opts ...redis.Option) *redis.Store {
	t.Helper()
	s, err := redis.New(t.Context(), c, append([]redis.Option{redis.Prefix(rand.Text() + ":")}, opts...)...)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestNew_passesTheSuite(t *testing.T) {
	storetest.RunTraits(t, traits(), func(t *testing.T, c clock.Clock) store.StateStore {
		s := newOn(t, hosts(t, &goredis.UniversalOptions{Addrs: []string{server.Get(t).Addr()}}), redis.Clock(c))
		prefixes.Store(t.Name(), redis.PrefixOf(s))
		redis.Driven(s)
		return s
	})
}

func TestNew_refusesWhatIsNoSingleServer(t *testing.T) {
	addr := "127.0.0.1:1"
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": addr}})
	t.Cleanup(func() { _ = ring.Close() })
	type wrapped struct{ goredis.UniversalClient }
	for name, tt := range map[string]struct {
		client goredis.UniversalClient
		want   redis.Refusal
	}{
		"a cluster":            {hosts(t, &goredis.UniversalOptions{Addrs: []string{addr, "127.0.0.1:2"}}), redis.Cluster},
		"a failover cluster":   {hosts(t, &goredis.UniversalOptions{Addrs: []string{addr}, MasterName: "main", RouteRandomly: true}), redis.Cluster},
		"a ring":               {ring, redis.BadClient},
		"nothing":              {nil, redis.BadClient},
		"a nil client":         {(*goredis.Client)(nil), redis.BadClient},
		"a type of the host's": {wrapped{ring}, redis.BadClient},
		"no server":            {hosts(t, &goredis.UniversalOptions{Addrs: []string{addr}}), redis.Unreachable},
	} {
		s, err := redis.New(t.Context(), tt.client)
		var refused *redis.OpenError
		if !errors.As(err, &refused) || refused.Why != tt.want || s != nil {
			t.Errorf("%s: %v, want an OpenError %s", name, err, tt.want)
		}
	}
}

// What the host opened it closes, and the store what it opened: in either order.
func TestNew_theClientStaysTheHosts(t *testing.T) {
	c := hosts(t, &goredis.UniversalOptions{Addrs: []string{server.Get(t).Addr()}})
	s := newOn(t, c)
	key, rec := login(t, s)
	must(t, s.Close())
	must(t, c.Ping(t.Context()).Err())

	other := newOn(t, c, redis.Prefix(redis.PrefixOf(s)))
	must(t, c.Close())
	if got, err := other.Load(t.Context(), key, opt); err != nil || got.Version != rec.Version {
		t.Errorf("after the client was closed: %v, %v", got.Version, err)
	}
}

// TLS, password and database are those of the client.
func TestNew_connectsAsTheClientDoes(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{Password: secret, TLS: true})
	c := hosts(t, &goredis.UniversalOptions{
		Addrs: []string{r.Addr()}, DB: 3, TLSConfig: &tls.Config{RootCAs: r.Roots, MinVersion: tls.VersionTLS12},
		CredentialsProvider: func() (string, string) { return "", secret },
	})
	s := newOn(t, c)
	login(t, s)
	if n, err := c.DBSize(t.Context()).Result(); err != nil || n == 0 {
		t.Errorf("keys in the database of the client: %d, %v", n, err)
	}
	w := watchOn(t, s)
	within(t, "the feed", w.lost)
	key, rec := login(t, s)
	if got := within(t, "the notice", w.notices); got != (notice{key, rec.Version}) {
		t.Error("another notice came")
	}
}

func TestNew_callsEndWithTheirContext(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	callsEndWithTheirContext(t, r, newOn(t, hosts(t, &goredis.UniversalOptions{
		Addrs: []string{r.Addr()}, PoolSize: 100, ReadTimeout: time.Hour, WriteTimeout: time.Hour, DialTimeout: time.Hour,
	})))
}

// The client library would send a script again to which a server that is loading has answered so.
func TestNew_repeatsNothing(t *testing.T) {
	var loading atomic.Bool
	var sent atomic.Int64
	good := goodServer(goodInfo, nil)
	f := newFake(t, func(command []string) string {
		if loading.Load() && strings.EqualFold(command[0], "evalsha") {
			sent.Add(1)
			return "-LOADING Redis is loading the dataset in memory\r\n"
		}
		return good(command)
	})
	s := newOn(t, hosts(t, &goredis.UniversalOptions{Addrs: []string{f.Addr().String()}, Protocol: 2, MaxRetries: 5}))
	loading.Store(true)
	if err := s.Update(t.Context(), newKey(), newRecord().Version, newRecord(), opt); err == nil {
		t.Error("no error")
	}
	if n := sent.Load(); n != 1 {
		t.Errorf("the script was sent %d times, want once", n)
	}
}

// A dialer of the host's may heed no context: calls end all the same, and nothing is left after Close.
func TestNew_aDialerThatHeedsNoContext(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	var held atomic.Bool
	dialing, release, late := make(chan struct{}, 1), make(chan struct{}), make(chan net.Conn, 1)
	c := hosts(t, &goredis.UniversalOptions{Addrs: []string{r.Addr()}, Dialer: func(_ context.Context, network, addr string) (net.Conn, error) {
		conn, err := net.Dial(network, addr) //nolint:noctx // that is the point
		if held.Load() {
			dialing <- struct{}{}
			<-release
			late <- conn
		}
		return conn, err
	}})
	s := newOn(t, c)
	key, _ := login(t, s)
	must(t, r.Restart())
	held.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Load(ctx, key, opt)
		ended <- err
	}()
	within(t, "the dial", dialing)
	cancel()
	wantErr(t, "Load", within(t, "Load", ended), context.Canceled)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }() // which waits for the dialer
	close(release)
	conn := within(t, "the late connection", late)
	must(t, within(t, "Close", closed))
	if err := conn.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the late connection after Close: %v, want it closed", err)
	}
}
