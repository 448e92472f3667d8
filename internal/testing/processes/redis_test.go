package processes_test

import (
	"context"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/testing/servers"
)

func TestRedis_keepsWhatItWasToldToOverARestart(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}, Password: "p@ss/word"})
	addr := r.Addr()
	set(t, r, "kept")
	r.Kill()
	if err := r.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, r); got != "kept" || r.Addr() != addr {
		t.Errorf("after a restart at %s it has %q, want %q at %s", r.Addr(), got, "kept", addr)
	}
	if err := r.Restart(); err != nil { // of one that runs
		t.Fatal(err)
	}
	if got := get(t, r); got != "kept" {
		t.Errorf("after another restart it has %q", got)
	}
	r.Close()
	r.Close()
}

func TestRedis_isSharedByThoseWhoAsk(t *testing.T) {
	var s servers.SharedRedis
	s.Close() // nobody has asked
	defer s.Close()
	if a, b := s.Get(t), s.Get(t); a != b {
		t.Error("two tests got two servers")
	}
	set(t, s.Get(t), "shared")
}

func client(t *testing.T, r *servers.Redis) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func set(t *testing.T, r *servers.Redis, value string) {
	t.Helper()
	if err := client(t, r).Set(context.Background(), "key", value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, r *servers.Redis) string {
	t.Helper()
	value, err := client(t, r).Get(context.Background(), "key").Result()
	if err != nil {
		t.Fatal(err)
	}
	return value
}
