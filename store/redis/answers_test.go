package redis_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/servers"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/redis"
)

// Whatever a server answers in place of what it was asked, it is an error, and never absence or
// a conflict.
func TestAnswers_thatAreNone(t *testing.T) {
	replies := map[string]string{
		"LOADING":            "-LOADING Redis is loading the dataset in memory\r\n",
		"READONLY":           "-READONLY You can't write against a read only replica.\r\n",
		"OOM":                "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
		"MISCONF":            "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
		"MASTERDOWN":         "-MASTERDOWN Link with MASTER is down\r\n",
		"NOREPLICAS":         "-NOREPLICAS Not enough good replicas to write.\r\n",
		"BUSY":               "-BUSY Redis is busy running a script.\r\n",
		"NOAUTH":             "-NOAUTH Authentication required.\r\n",
		"nil":                "$-1\r\n",
		"nil list":           "*-1\r\n",
		"empty list":         "*0\r\n",
		"a number":           ":7\r\n",
		"a list of a number": "*1\r\n:7\r\n",
		"another word":       "*1\r\n" + bulk("perhaps"),
		"gone without why":   "*1\r\n" + bulk("gone"),
		"gone with a number": "*2\r\n" + bulk("gone") + ":1\r\n",
		"ok and numbers":     "*3\r\n" + bulk("ok") + ":1\r\n:2\r\n",
		"ok and odd lists":   "*3\r\n" + bulk("ok") + "*1\r\n" + bulk("x") + bulk(""),
		"ok and bad refs":    "*3\r\n" + bulk("ok") + "*3\r\n" + bulk("x") + bulk("y") + bulk("z") + bulk(""),
		"ok and short keys":  "*3\r\n" + bulk("ok") + "*3\r\n" + bulk("abcd") + bulk(strings.Repeat("i", 16)) + bulk("") + bulk(""),
		"ok and long keys":   "*3\r\n" + bulk("ok") + "*3\r\n" + bulk(strings.Repeat("ab", 33)) + bulk(strings.Repeat("i", 16)) + bulk("") + bulk(""),
		"ok and bad numbers": "*3\r\n" + bulk("ok") + "*3\r\n" + bulk(strings.Repeat("ab", 32)) + bulk(strings.Repeat("i", 16)) + bulk("never") + bulk(""),
		"half of a reply":    "*2\r\n" + bulk("ok") + "$5\r\nab",
		"no reply":           "?\r\n",
	}
	for name, reply := range replies {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, goodServer(goodInfo, func([]string) string { return reply }))
			s := openAt(t, "redis://"+f.Addr().String())
			redis.GiveUpAfter(s, 50*time.Millisecond)
			check := func(doing string, err error, mayPass bool) {
				t.Helper()
				if err == nil && mayPass {
					return // it is of no interest what comes after "ok"
				}
				if failed := (*redis.Error)(nil); !errors.As(err, &failed) && !errors.Is(err, store.ErrUnreadable) {
					t.Errorf("%s: err = %v, want a *redis.Error", doing, err)
				}
				if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLeased) {
					t.Errorf("%s: err = %v, want another error", doing, err)
				}
			}
			ok := strings.Contains(reply, "\r\nok\r\n")
			key, rec := newKey(), newRecord()
			_, err := s.Load(t.Context(), key, opt)
			check("Load", err, false)
			check("Replace", s.Replace(t.Context(), key, rec, opt), ok)
			check("Update", s.Update(t.Context(), key, rec.Version, rec, opt), ok)
			_, err = s.Begin(t.Context(), key, store.Beginning{Version: rec.Version, Owner: "a"}, opt)
			check("Begin", err, false)
			check("Renew", s.Renew(t.Context(), key, "a", 1, time.Hour, opt), ok)
			check("End", s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: "logout"}, opt), ok)
			_, err = s.EndAll(t.Context(), []store.Ref{{Key: key}}, store.Ending{Reason: session.ReasonCeiling, Stands: time.Hour}, opt)
			check("EndAll", err, ok)
			check("Touch", s.Touch(t.Context(), key, time.Hour, opt), ok)
			check("Release", s.Release(t.Context(), key, "a", 1, opt), ok)
			check("ClearIntent", s.ClearIntent(t.Context(), key, store.Intent{}, opt), ok)
			_, err = s.StaleIntents(t.Context(), 10, opt)
			check("StaleIntents", err, false)
			_, err = s.Find(t.Context(), []store.IndexValue{{1}}, opt)
			check("Find", err, false)
			_, err = s.Due(t.Context(), 1, 2, store.Ref{}, 10, opt)
			check("Due", err, false)
			_, err = s.ClaimDue(t.Context(), 2, 10, time.Hour, opt)
			check("ClaimDue", err, false)
		})
	}
}

// What cannot be read is left where it is, and can still end.
func TestUnreadable_isLeftAlone(t *testing.T) {
	s := open(t)
	c := side(t)
	for name, value := range map[string]string{
		"nothing": "", "damaged": "\x01short", "of a later release": "\xff" + strings.Repeat("x", 100), "no record at all": "<html>",
	} {
		key, rec := login(t, s)
		must(t, c.HSet(t.Context(), redis.KeyOf(s, key), "r", value).Err())
		for range 2 {
			_, err := s.Load(t.Context(), key, opt)
			wantErr(t, name, err, store.ErrUnreadable)
		}
		if got, err := c.HGet(t.Context(), redis.KeyOf(s, key), "r").Result(); err != nil || got != value {
			t.Errorf("%s: after Load it is %q, %v, want %q", name, got, err, value)
		}
		must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonLogout}, opt))
		_, err := s.Load(t.Context(), key, opt)
		if !errors.As(err, new(*store.GoneError)) {
			t.Errorf("%s: after Delete err = %v, want a tombstone", name, err)
		}
	}
	key := newKey()
	must(t, c.Set(t.Context(), redis.KeyOf(s, key), "no hash", 0).Err())
	_, err := s.Load(t.Context(), key, opt)
	wantErr(t, "no hash", err, store.ErrUnreadable)
	if got, err := c.Get(t.Context(), redis.KeyOf(s, key)).Result(); err != nil || got != "no hash" {
		t.Errorf("after Load it is %q, %v", got, err)
	}
}

// Where memory is full nothing is half written, and sessions can still end.
func TestFullMemory(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{Args: []string{"--maxmemory-policy", "noeviction"}})
	s := openAt(t, r.URL())
	value := store.IndexValue{1}
	key, rec := login(t, s, func(r *store.Record) { r.Index, r.Ceiling = []store.IndexValue{value}, 1_000_000_000 })
	c := admin(t, r)
	before := keysOf(t, c, s)
	must(t, c.ConfigSet(t.Context(), "maxmemory", "1").Err())

	for doing, err := range map[string]error{
		"a login":   s.Replace(t.Context(), newKey(), rec, opt),
		"a refresh": s.Update(t.Context(), key, rec.Version, next(rec), opt),
		"an intent": intend(t.Context(), s, key, "", store.Intent{}),
		"a lease": func() error {
			_, err := lease(t.Context(), s, newKey(), "a", time.Hour)
			return err
		}(),
		"a flight": func() error {
			_, err := s.Begin(t.Context(), key, store.Beginning{Version: rec.Version, Owner: "a", TTL: time.Hour, Intent: store.Intent{Token: [32]byte{1}}}, opt)
			return err
		}(),
		"a transaction": s.Transactions().Put(t.Context(), "state", nil, time.Hour, opt),
	} {
		if err == nil || !strings.Contains(err.Error(), "OOM") || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: err = %v, want one that says why", doing, err)
		}
	}
	if after := keysOf(t, c, s); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("keys = %q, want %q as before", after, before)
	}
	got, err := s.Load(t.Context(), key, opt)
	if err != nil || got.Version != rec.Version {
		t.Errorf("Load = %v, %v, want the record as it was", got.Version, err)
	}
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonLogout}, opt))
	_, err = s.Load(t.Context(), key, opt)
	if !errors.As(err, new(*store.GoneError)) {
		t.Errorf("after Delete err = %v, want a tombstone", err)
	}
	if refs, err := s.Find(t.Context(), []store.IndexValue{value}, opt); err != nil || len(refs) != 0 {
		t.Errorf("Find = %v, %v, want nothing", refs, err)
	}
}

// A primary that has become a replica, as after a failover, takes no writes, and is not
// taken for one that has none.
func TestReplica_takesNoWrites(t *testing.T) {
	r := servers.NewRedis(t, servers.RedisConfig{})
	s := openAt(t, r.URL())
	key, rec := login(t, s)
	nobody, err := servers.FreeAddr()
	must(t, err)
	must(t, admin(t, r).ReplicaOf(t.Context(), "127.0.0.1", port(nobody)).Err())
	sent := count(s)
	err = s.Update(t.Context(), key, rec.Version, next(rec), opt)
	if err == nil || !strings.Contains(err.Error(), "READONLY") || errors.Is(err, store.ErrConflict) {
		t.Errorf("Update: err = %v, want one that says why", err)
	}
	sent.want(t, "Update", "evalsha")
	if got, err := s.Load(t.Context(), key, opt); err != nil || got.Version != rec.Version {
		t.Errorf("Load = %v, %v, want the record as it was", got.Version, err)
	}
	sent.want(t, "Load", "evalsha", "dial", "hello") // perhaps the name of the primary has moved
	must(t, admin(t, r).ReplicaOf(t.Context(), "no", "one").Err())
	must(t, s.Update(t.Context(), key, rec.Version, next(rec), opt))
}

// Records may be large, and hold any bytes.
func TestRecords_ofAnySize(t *testing.T) {
	s := open(t)
	for _, size := range []int{0, 1, 64, 4096, 1 << 20, 4 << 20} {
		sealed := bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, size/4+1)[:size]
		key, rec := login(t, s, func(r *store.Record) { r.Sealed = sealed })
		got, err := s.Load(t.Context(), key, opt)
		if err != nil || !bytes.Equal(got.Sealed, sealed) || got.Version != rec.Version {
			t.Errorf("%d bytes: %d came back, %v", size, len(got.Sealed), err)
		}
	}
}
