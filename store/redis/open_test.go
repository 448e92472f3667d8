package redis_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// secret is the password that no error may show.
const secret = "s3cr3t/pa:ss%word"

func TestOpen_refuses(t *testing.T) {
	closed, err := servers.FreeAddr()
	must(t, err)
	guarded := servers.NewRedis(t, servers.RedisConfig{Password: secret})
	encrypted := servers.NewRedis(t, servers.RedisConfig{Password: secret, TLS: true})
	cluster := servers.NewRedis(t, servers.RedisConfig{Args: []string{"--cluster-enabled", "yes"}})
	replica := servers.NewRedis(t, servers.RedisConfig{Args: []string{"--replicaof", "127.0.0.1", port(closed)}})
	newer := servers.NewRedis(t, servers.RedisConfig{})
	must(t, admin(t, newer).Set(t.Context(), "tokenward:format", "3", 0).Err())
	foreign := servers.NewRedis(t, servers.RedisConfig{})
	must(t, admin(t, foreign).Set(t.Context(), "tokenward:format", "<html>", 0).Err())
	quoting := func(command []string) string {
		return fmt.Sprintf("-ERR unknown command '%s', with args beginning with: '2' 'AUTH' '%s'\r\n", command[0], secret)
	}
	says := func(answer func([]string) string) string { return newFake(t, answer).Addr().String() }
	old := says(goodServer(strings.Replace(goodInfo, "7.2.4", "6.2.14", 1), nil))
	sentinel := says(goodServer(strings.Replace(goodInfo, "standalone", "sentinel", 1), nil))

	tests := []struct {
		name, url string
		want      redis.Refusal
	}{
		{"another scheme", "http://user:" + "s3cr3t@" + guarded.Addr(), redis.BadURL},
		{"no scheme", guarded.Addr(), redis.BadURL},
		{"an unescaped password", "redis://:" + secret + "@" + guarded.Addr(), redis.BadURL},
		{"a database that is no number", "redis://:s3cr3t@" + guarded.Addr() + "/s3cr3t", redis.BadURL},
		{"an unknown parameter", "redis://" + guarded.Addr() + "?password=s3cr3t", redis.BadURL},
		{"a database below zero", "redis://" + guarded.Addr() + "/-1", redis.BadURL},
		{"nothing", "", redis.BadURL},
		{"nobody listens", "redis://" + closed, redis.Unreachable},
		{"nobody listens, with TLS", "rediss://" + closed, redis.Unreachable},
		{"no password", "redis://" + guarded.Addr(), redis.Denied},
		{"a wrong password", "redis://:s3cr3t@" + guarded.Addr(), redis.Denied},
		{"a wrong user", strings.Replace(guarded.URL(), "//:", "//somebody:", 1), redis.Denied},
		{"no TLS where it is needed", strings.Replace(encrypted.URL(), "rediss:", "redis:", 1), redis.Unreachable},
		{"TLS where there is none", strings.Replace(guarded.URL(), "redis:", "rediss:", 1) + "?dial_timeout=100ms", redis.Unreachable},
		{"a certificate that nobody trusts", encrypted.URL(), redis.Unreachable},
		{"a database that is not there", "redis://" + newer.Addr() + "/1000", redis.Failed},
		{"a cluster", cluster.URL(), redis.Cluster},
		{"a sentinel", "redis://" + sentinel, redis.Cluster},
		{"a replica", replica.URL(), redis.Replica},
		{"a newer format", newer.URL(), redis.NewerFormat},
		{"a format that is none", foreign.URL(), redis.Failed},
		{"an old server", "redis://" + old, redis.TooOld},
		{"something else", "redis://" + says(func([]string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }), redis.Unreachable},
		{"something without a version", "redis://" + says(goodServer("hello:world\r\n", nil)), redis.Unreachable},
		{"one that is loading", "redis://" + says(func([]string) string {
			return "-LOADING Redis is loading the dataset in memory\r\n"
		}), redis.Failed},
		{"one that quotes", strings.Replace(guarded.URL(), guarded.Addr(), says(quoting), 1), redis.Failed},
		{"one that says nothing", "redis://" + says(func([]string) string { return "" }) + "?read_timeout=100ms", redis.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := redis.Open(t.Context(), tt.url)
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			var refused *redis.OpenError
			if !errors.As(err, &refused) || refused.Why != tt.want {
				t.Errorf("err = %v, want %s", err, tt.want)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) || strings.Contains(text, "s3cr3t") {
					t.Errorf("the error shows the password: %s", text)
				}
			}
		})
	}
	for name, r := range map[string]*servers.Redis{"a newer format": newer, "a format that is none": foreign} {
		keys, err := admin(t, r).Keys(t.Context(), "*").Result()
		if err != nil || !slices.Equal(keys, []string{"tokenward:format"}) {
			t.Errorf("%s: keys = %q, %v, want them as they were", name, keys, err)
		}
	}
	if keys, err := admin(t, cluster).Keys(t.Context(), "*").Result(); err != nil || len(keys) != 0 {
		t.Errorf("the cluster has keys %q, %v", keys, err)
	}
}

func TestOpen_deniesWithoutPermissionToPublish(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := admin(t, r)
	must(t, c.Do(t.Context(), "acl", "setuser", "mute", "on", ">pw", "~*", "+@all", "resetchannels").Err())
	s, err := redis.Open(t.Context(), "redis://mute:pw@"+r.Addr())
	var refused *redis.OpenError
	if !errors.As(err, &refused) || refused.Why != redis.Denied {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("err = %v, want %s", err, redis.Denied)
	}
	if n, err := c.DBSize(t.Context()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys, %v, want none", n, err)
	}
	must(t, c.Do(t.Context(), "acl", "setuser", "able", "on", ">pw", "~tw:*", "&tw:*", "+@all").Err())
	s = openAt(t, "redis://able:pw@"+r.Addr(), redis.Prefix("tw:"))
	useAll(t, s)
}

func TestOpen_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := redis.Open(ctx, server.Get(t).URL())
	wantErr(t, "Open", err, context.Canceled)
}

func TestOpen_byURL(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{Password: secret, TLS: true})
	byRoots := redis.TLS(&tls.Config{RootCAs: r.Roots})
	t.Run("TLS and password", func(t *testing.T) { useAll(t, openAt(t, r.URL(), byRoots)) })
	t.Run("TLS without looking", func(t *testing.T) { useAll(t, openAt(t, r.URL()+"?skip_verify=true", redis.Prefix("other:"))) })

	o, err := goredis.ParseURL(r.URL())
	must(t, err)
	o.TLSConfig.RootCAs = r.Roots
	c := goredis.NewClient(o)
	defer func() { _ = c.Close() }()
	must(t, c.Do(t.Context(), "acl", "setuser", "alice", "on", ">"+secret, "~*", "&*", "+@all").Err())
	t.Run("user and database", func(t *testing.T) {
		url := strings.Replace(r.URL(), "//:", "//alice:", 1)
		s := openAt(t, strings.TrimSuffix(url, "0")+"3", byRoots)
		useAll(t, s)
		other := openAt(t, url, byRoots)
		key, _ := login(t, s)
		_, err := other.Load(t.Context(), key, opt)
		wantErr(t, "Load from another database", err, store.ErrNotFound)
	})
	t.Run("prefix", func(t *testing.T) {
		a, b := openAt(t, r.URL(), byRoots, redis.Prefix("a:")), openAt(t, r.URL(), byRoots, redis.Prefix("b:"))
		key, _ := login(t, a)
		_, err := b.Load(t.Context(), key, opt)
		wantErr(t, "Load under another prefix", err, store.ErrNotFound)
	})
}

func TestOpen_warnsOfWhatAHostMayNotHaveMeant(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, 2},
		{[]string{"--maxmemory", "100mb", "--maxmemory-policy", "noeviction"}, 1},
		{[]string{"--appendonly", "yes"}, 0},
	} {
		r := servers.NewRedis(t, servers.RedisConfig{Args: tt.args, Password: secret})
		core, seen := observer.New(zap.WarnLevel)
		openAt(t, r.URL(), redis.Logger(zap.New(core)))
		if seen.Len() != tt.want {
			t.Errorf("%q: %d warnings, want %d: %v", tt.args, seen.Len(), tt.want, seen.All())
		}
		for _, e := range seen.All() {
			if strings.Contains(fmt.Sprint(e), secret) {
				t.Errorf("a warning shows the password: %v", e)
			}
		}
	}
}

// useAll has a session signed in, refreshed, found and ended.
func useAll(t *testing.T, s *redis.Store) {
	t.Helper()
	value := store.IndexValue{9}
	key, rec := login(t, s, func(r *store.Record) { r.Index = []store.IndexValue{value} })
	must(t, s.Update(t.Context(), key, rec.Version, next(rec), opt))
	refs, err := s.Find(t.Context(), []store.IndexValue{value}, opt)
	if err != nil || len(refs) != 1 || refs[0].Key != key {
		t.Fatalf("Find = %v, %v, want the session", refs, err)
	}
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: "logout"}, opt))
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}
