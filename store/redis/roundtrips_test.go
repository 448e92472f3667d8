package redis_test

import (
	"context"
	"crypto/rand"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// A refresh is Begin and Update: two round trips.
func TestStore_oneRoundTripForEachOperation(t *testing.T) {
	s := open(t)
	sent := count(s)
	key, rec := login(t, s, func(r *store.Record) {
		r.Ceiling, r.Index, r.TTL = 2_000_000_000, []store.IndexValue{{1}, {2}}, time.Hour
	})
	sent.want(t, "Replace", "evalsha")

	_, err := s.Load(t.Context(), key, opt)
	must(t, err)
	sent.want(t, "Load", "evalsha")
	after := next(rec)
	must(t, s.Update(t.Context(), key, rec.Version, after, opt))
	sent.want(t, "Update", "evalsha")
	must(t, s.Release(t.Context(), key, "a", 1, opt))
	sent.want(t, "Release", "evalsha")

	begun, err := s.Begin(t.Context(), key, store.Beginning{Version: after.Version, Owner: "a", TTL: time.Minute, Intent: store.Intent{Token: [32]byte{1}}}, opt)
	must(t, err)
	sent.want(t, "Begin", "evalsha")
	must(t, s.Renew(t.Context(), key, "a", begun.Epoch, time.Minute, opt))
	sent.want(t, "Renew", "evalsha")
	prev := after.Version
	after = next(after)
	after.Epoch, after.Release = begun.Epoch, "a"
	must(t, s.Update(t.Context(), key, prev, after, opt))
	sent.want(t, "Update that gives the lease back", "evalsha")

	must(t, s.Touch(t.Context(), key, time.Hour, opt))
	sent.want(t, "Touch", "evalsha")
	_, err = s.Find(t.Context(), after.Index, opt)
	must(t, err)
	sent.want(t, "Find", "evalsha")
	must(t, s.End(t.Context(), key, after.Incarnation, store.Ending{Reason: session.ReasonRevoked}, opt))
	sent.want(t, "End", "evalsha")
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	sent.want(t, "Delete", "evalsha")
	var refs []store.Ref
	for range 400 {
		key, rec := login(t, s)
		refs = append(refs, store.Ref{Key: key, Incarnation: rec.Incarnation})
	}
	sent.forget()
	_, err = s.EndAll(t.Context(), refs, store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour}, opt)
	must(t, err)
	sent.want(t, "EndAll of 400", "evalsha")
}

// A server that has lost the scripts, as a restart does, is sent them once more.
func TestStore_teachesTheScriptsAgain(t *testing.T) {
	s := open(t)
	sent := count(s)
	key, rec := login(t, s)
	must(t, side(t).ScriptFlush(t.Context()).Err())
	sent.forget()
	for _, want := range [][]string{{"evalsha", "eval"}, {"evalsha"}} {
		got, err := s.Load(t.Context(), key, opt)
		if err != nil || got.Version != rec.Version {
			t.Fatalf("Load = %v, %v", got.Version, err)
		}
		sent.want(t, "Load", want...)
	}
}

// Calls share as few connections as they can, and no more than they may.
func TestStore_connections(t *testing.T) {
	s := openAt(t, server.Get(t).URL()+"?pool_size=3", redis.Prefix(rand.Text()+":"))
	key, _ := login(t, s)
	for range 10 {
		_, err := s.Load(t.Context(), key, opt)
		must(t, err)
	}
	if n := redis.Lines(s); n != 1 {
		t.Errorf("calls one after the other took %d connections, want 1", n)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 10 {
				if _, err := s.Load(t.Context(), key, opt); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := redis.Lines(s); n > 3 {
		t.Errorf("calls at once took %d connections, want 3 at most", n)
	}
}

// counter is a hook that notes the commands that are sent.
type counter struct {
	mu   sync.Mutex
	sent []string
}

func count(s *redis.Store) *counter {
	c := &counter{}
	redis.Hook(s, c)
	return c
}

func (c *counter) want(t *testing.T, doing string, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.sent, want) {
		t.Errorf("%s sent %q, want %q", doing, c.sent, want)
	}
	c.sent = nil
}

func (c *counter) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = nil
}

func (c *counter) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent) > 0
}

func (c *counter) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, what)
}

func (c *counter) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.add("dial")
		return next(ctx, network, addr)
	}
}

func (c *counter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		c.add(cmd.Name())
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		for _, cmd := range cmds {
			c.add(cmd.Name())
		}
		return next(ctx, cmds)
	}
}
