package redis_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// documented returns the rule in the package comment: what stands after the name of the user.
func documented(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("doc.go")
	must(t, err)
	_, rule, _ := strings.Cut(string(b), "ACL SETUSER tokenward ")
	rule, _, _ = strings.Cut(rule, "\n//\n")
	return strings.Fields(strings.ReplaceAll(strings.ReplaceAll(rule, "PASSWORD", "pw"), "//", ""))
}

func setUser(t *testing.T, c *goredis.Client, rule []string) {
	t.Helper()
	args := []any{"acl", "setuser", "tokenward", "reset"}
	for _, r := range rule {
		args = append(args, r)
	}
	must(t, c.Do(t.Context(), args...).Err())
}

// useEverything calls what useAll leaves out.
func useEverything(t *testing.T, s *redis.Store) {
	t.Helper()
	useAll(t, s)
	w := watchOn(t, s)
	within(t, "the first lost", w.lost)
	key, rec := login(t, s, func(r *store.Record) { r.Ceiling, r.TTL, r.Index = 1_000_000_000, time.Hour, []store.IndexValue{{1}} })
	within(t, "a notice", w.notices)
	must(t, s.Touch(t.Context(), key, 2*time.Hour, opt))
	epoch, err := lease(t.Context(), s, key, "a", time.Hour)
	must(t, err)
	in := store.Intent{Token: [32]byte{1}, Epoch: epoch, At: 1}
	must(t, intend(t.Context(), s, key, "a", in))
	must(t, s.ClearIntent(t.Context(), key, in, opt))
	in.At = 2
	must(t, intend(t.Context(), s, key, "a", in))
	must(t, s.Release(t.Context(), key, "a", epoch, opt))
	_, err = s.StaleIntents(t.Context(), 10, opt)
	must(t, err)
	after := next(rec)
	after.Epoch = epoch
	must(t, s.Update(t.Context(), key, rec.Version, after, opt)) // without its index values and TTL
	_, err = s.Due(t.Context(), 1, 2_000_000_000, store.Ref{}, 10, opt)
	must(t, err)
	_, err = s.ClaimDue(t.Context(), 2_000_000_000, 10, time.Hour, opt)
	must(t, err)
	must(t, s.End(t.Context(), key, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	tx := s.Transactions()
	must(t, tx.Put(t.Context(), "login", []byte("x"), time.Hour, opt))
	_, err = tx.Get(t.Context(), "login", opt)
	must(t, err)
	_, err = tx.Take(t.Context(), "login", opt)
	must(t, err)
	must(t, tx.Put(t.Context(), "login", nil, 0, opt))
	must(t, s.Check(t.Context()))
}

// Without a scripts cache, which a restart empties, and without INFO.
func TestPermissions_theDocumentedRuleSuffices(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := admin(t, r)
	setUser(t, c, documented(t))
	core, seen := observer.New(zap.WarnLevel)
	s := openAt(t, "redis://tokenward:pw@"+r.Addr(), redis.Logger(zap.New(core)), redis.Pings(10*time.Millisecond))
	useEverything(t, s)
	must(t, c.ScriptFlush(t.Context()).Err())
	useEverything(t, s)
	if seen.Len() != 1 || !strings.Contains(seen.All()[0].Message, "+info") {
		t.Errorf("logged: %v, want one warning that names what to allow", seen.All())
	}
	log, err := c.Do(t.Context(), "acl", "log").Slice()
	must(t, err)
	for _, entry := range log {
		for i, field := range entry.([]any) {
			if field == "object" && entry.([]any)[i+1] != "info" {
				t.Errorf("%v was refused", entry.([]any)[i+1])
			}
		}
	}

	must(t, c.Do(t.Context(), "acl", "setuser", "tokenward", "+select").Err())
	useEverything(t, openAt(t, "redis://tokenward:pw@"+r.Addr()+"/2"))
	must(t, c.Do(t.Context(), "acl", "setuser", "broad", "on", ">pw", "~*", "&*", "+@all", "-@dangerous").Err())
	useEverything(t, openAt(t, "redis://broad:pw@"+r.Addr()))
}

func TestPermissions_eachOfThemThatIsMissingIsNamed(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := admin(t, r)
	rule := documented(t)
	for _, missing := range rule {
		command, is := strings.CutPrefix(missing, "+")
		if !is {
			continue
		}
		t.Run(command, func(t *testing.T) {
			must(t, c.FlushAll(t.Context()).Err())
			setUser(t, c, slices.DeleteFunc(slices.Clone(rule), func(s string) bool { return s == missing }))
			s, err := redis.Open(t.Context(), "redis://tokenward:pw@"+r.Addr())
			if command == "subscribe" { // nobody can ask for that beforehand
				must(t, err)
				err = s.Watch(t.Context(), func(session.Key, session.Version) {}, func() {})
				wantErr(t, "Watch", err, &store.NotServingError{Why: store.Forbidden})
			} else {
				var refused *redis.OpenError
				if !errors.As(err, &refused) || refused.Why != redis.Denied {
					t.Errorf("Open: err = %v, want %s", err, redis.Denied)
				}
			}
			if err == nil || !strings.Contains(err.Error(), strings.Split(command, "|")[0]) {
				t.Errorf("err = %v, want it to name %s", err, command)
			}
			if s != nil {
				_ = s.Close()
			}
			if n, err := c.DBSize(t.Context()).Result(); err != nil || n > 1 {
				t.Errorf("%d keys, %v, want none but the format", n, err)
			}
		})
	}
}

// A user whose rights are cut while the store is open.
func TestPermissions_takenAway(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := admin(t, r)
	rule := documented(t)
	setUser(t, c, rule)
	s := openAt(t, "redis://tokenward:pw@"+r.Addr())
	key, _ := login(t, s)
	must(t, c.Do(t.Context(), "acl", "setuser", "tokenward", "-set", "-hset").Err())
	for doing, err := range map[string]error{"Check": s.Check(t.Context()), "Replace": s.Replace(t.Context(), key, newRecord(), opt)} {
		wantErr(t, doing, err, &store.NotServingError{Why: store.Forbidden})
	}
	setUser(t, c, rule)
	must(t, s.Check(t.Context()))
}

func TestCheck_saysWhyAServerTakesNoWrites(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	c := admin(t, r)
	primary, err := servers.FreeAddr()
	must(t, err)
	s := openAt(t, r.URL())
	key, rec := login(t, s)
	tests := []struct {
		name        string
		begin, over []any
		why         store.NotServing
		says        string
	}{
		{"a replica", []any{"replicaof", "127.0.0.1", port(primary)}, []any{"replicaof", "no", "one"}, store.ReadOnly, "primary"},
		{"out of memory", []any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}, store.Full, "maxmemory"},
		{"too few replicas", []any{"config", "set", "min-replicas-to-write", "1"}, []any{"config", "set", "min-replicas-to-write", "0"}, store.ReadOnly, "replicas"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			must(t, s.Check(t.Context()))
			must(t, c.Do(t.Context(), tt.begin...).Err())
			after := next(rec)
			for doing, err := range map[string]error{
				"Check": s.Check(t.Context()), "Update": s.Update(t.Context(), key, rec.Version, after, opt),
			} {
				var failed *redis.Error
				if !errors.Is(err, &store.NotServingError{Why: tt.why}) || !errors.As(err, &failed) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s: err = %v, want an Error: %s, with %q", doing, err, tt.why, tt.says)
				}
			}
			if _, err := s.Load(t.Context(), key, opt); err != nil {
				t.Errorf("Load: %v", err)
			}
			must(t, c.Do(t.Context(), tt.over...).Err())
			await.Eventually(t, "it serves again", func() bool { return s.Check(t.Context()) == nil })
		})
	}
	if keys, err := c.Keys(t.Context(), "*probe*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("Check has left %q, %v", keys, err)
	}
}
