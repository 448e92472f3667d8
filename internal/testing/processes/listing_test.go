package processes_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var listedFlag = flag.Int("processes.listed", 3000, "sessions that are listed in each store, beside refreshes")

var listedIssuer = store.IndexValue{1: 0x15}

// Sessions are listed page by page, all of them and those of an index value, while others are refreshed. With -v it says how long
// a page takes.
func TestListing(t *testing.T) {
	eachHome(t, func(t *testing.T, h home) {
		s := h.openFor(t)
		refreshed := plant(t, s, "https://tenant.example/", "ada", 64)
		plantMany(t, h, *listedFlag)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var load sync.WaitGroup
		var refreshes atomic.Int64
		for i := range 4 {
			load.Go(func() { refreshAll(ctx, t, s, refreshed[i*16:(i+1)*16], &refreshes) })
		}
		slowest := watchSlow(t, h)
		began := clock.System().Now()
		for name, l := range map[string]store.Listing{"all": {Limit: 100}, "of one value": {Limit: 100, Value: listedIssuer}} {
			lister, ok := store.As[store.Lister](s.StateStore)
			if !ok {
				t.Fatal("the store does not list")
			}
			var pages []time.Duration
			sessions, most := 0, 0
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for {
				asked := clock.System().Now()
				page, err := lister.List(t.Context(), l, store.Options{})
				pages = append(pages, clock.System().Now().Sub(asked))
				must(t, err)
				sessions, most = sessions+len(page.Sessions), max(most, len(page.Sessions))
				if l.After = page.Next; l.After == "" {
					break
				}
			}
			runtime.ReadMemStats(&after)
			if sessions < *listedFlag || most > 2*l.Limit {
				t.Errorf("%s: %d sessions were listed, want %d; the largest page has %d", name, sessions, *listedFlag, most)
			}
			slices.Sort(pages)
			t.Logf("%s: %d sessions on %d pages; a page took %v (median), %v (p99), %v (most); %d KB allocated for each", name, sessions, len(pages),
				pages[len(pages)/2], pages[len(pages)*99/100], pages[len(pages)-1], (after.TotalAlloc-before.TotalAlloc)/uint64(len(pages))/1024)
		}
		took := clock.System().Now().Sub(began)
		stop()
		load.Wait()
		t.Logf("beside %.0f refreshes a second; %s", float64(refreshes.Load())/took.Seconds(), slowest())
	})
}

// watchSlow returns a function that says what the slowest command since was, as Redis itself measured it.
func watchSlow(t *testing.T, h home) func() string {
	t.Helper()
	if h.Kind != "redis" {
		return func() string { return "the server was not asked" }
	}
	o, err := goredis.ParseURL(h.URL)
	must(t, err)
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.ConfigSet(t.Context(), "slowlog-log-slower-than", "2000").Err())
	must(t, c.ConfigSet(t.Context(), "slowlog-max-len", "10000").Err())
	must(t, c.Do(t.Context(), "SLOWLOG", "RESET").Err())
	return func() string {
		logged, err := c.SlowLogGet(t.Context(), -1).Result()
		must(t, err)
		var most time.Duration
		for _, one := range logged {
			most = max(most, one.Duration)
		}
		return fmt.Sprintf("the server ran %d commands for more than 2 ms, none for more than %v", len(logged), max(most, 2*time.Millisecond))
	}
}

// refreshAll does what refreshes ask of the store, until ctx ends.
func refreshAll(ctx context.Context, t *testing.T, s store.StateStore, ids []string, n *atomic.Int64) {
	for i := 0; ctx.Err() == nil; i++ {
		key := session.KeyOf(cookieName, ids[i%len(ids)])
		r, err := s.Load(ctx, key, store.Options{})
		if err == nil {
			prev := r.Version
			r.Version[0]++
			r.Version[1+i%15]++
			r.TTL = time.Hour
			err = s.Update(ctx, key, prev, r, store.Options{})
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			t.Errorf("a refresh: %v", err)
			return
		}
		n.Add(1)
	}
}

// plantMany writes sessions past the store, as it would have written them: with 512 bytes each, and one index value.
func plantMany(t *testing.T, h home, n int) {
	t.Helper()
	if h.Kind == "postgres" {
		c, err := pgx.Connect(t.Context(), h.URL)
		must(t, err)
		defer func() { _ = c.Close(context.Background()) }()
		schema := pgx.Identifier{h.Space}.Sanitize()
		_, err = c.Exec(t.Context(), `INSERT INTO `+schema+`.sessions (key, version, incarnation, ceiling, index_values, sealed, stands_until, used, connections)
			SELECT sha256(i::text::bytea), decode(md5(i::text), 'hex'), decode(md5(i::text), 'hex'), 2000000000 + i % 1000, ARRAY[$2::bytea],
				decode(repeat(md5(i::text), 32), 'hex'), now() + interval '1 day', now(), false FROM generate_series(1, $1::bigint) i`, n, listedIssuer[:])
		must(t, err)
		_, err = c.Exec(t.Context(), `INSERT INTO `+schema+`.session_values (value, key) SELECT $2::bytea, sha256(i::text::bytea) FROM generate_series(1, $1::bigint) i`,
			n, listedIssuer[:])
		must(t, err)
		_, err = c.Exec(t.Context(), `ANALYZE `+schema+`.sessions, `+schema+`.session_values`)
		must(t, err)
		return
	}
	o, err := goredis.ParseURL(h.URL)
	must(t, err)
	c := goredis.NewClient(o)
	defer func() { _ = c.Close() }()
	prefix := h.Space + ":"
	until := clock.System().Now().Add(24 * time.Hour).UnixMilli()
	for from := 0; from < n; from += 1000 {
		_, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for i := from; i < min(from+1000, n); i++ {
				key := sha256.Sum256([]byte(strconv.Itoa(i)))
				r := store.Record{
					Version: session.Version(key[:16]), Incarnation: session.Incarnation(key[16:]), Index: []store.IndexValue{listedIssuer}, Sealed: make([]byte, 512),
				}
				id := fmt.Sprintf("%x", key)
				p.HSet(t.Context(), prefix+"s:"+id, "v", string(r.Version[:]), "i", string(r.Incarnation[:]), "r", store.MarshalRecord(r),
					"t", until, "x", fmt.Sprintf("%x", listedIssuer), "k", "0", "w", until)
				for _, list := range []string{"all", fmt.Sprintf("%x", listedIssuer)} {
					p.ZAdd(t.Context(), prefix+"x:"+list, goredis.Z{Score: float64(until), Member: id})
				}
			}
			return nil
		})
		must(t, err)
	}
}
