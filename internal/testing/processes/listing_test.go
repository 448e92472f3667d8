package processes_test

import (
	"context"
	"errors"
	"flag"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

var listedFlag = flag.Int("processes.listed", 3000, "sessions that are listed in each store, beside refreshes")

// slowQuery is how long the server may take for a page.
const slowQuery = 50 * time.Millisecond

// listingKind is a way in which operators ask for sessions. By last use they are those of all, of which the client leaves out
// some.
type listingKind struct {
	name string
	store.Listing
	pages int // that are asked for at most; 0: to the end
	want  int // sessions on them, at least
}

func listingKinds(n int) []listingKind {
	one := plantedValues(n / 2)
	return []listingKind{
		{"all", store.Listing{Limit: 100}, 0, n},
		{"counted", store.Listing{Limit: 250, Brief: true}, 0, n},
		{"of an issuer", store.Listing{Limit: 100, Value: one.issuer}, 0, n},
		{"of a user", store.Listing{Limit: 100, Value: one.user}, 0, 2},
		{"of a sid", store.Listing{Limit: 100, Value: one.sid}, 0, 1},
		{"of an address", store.Listing{Limit: 100, Value: one.email}, 0, 2},
		{"by deadline", store.Listing{Limit: 100, From: firstCeiling, Until: firstCeiling + ceilings}, 1000, min(n, 100_000)},
		{"of the last deadline", store.Listing{Limit: 100, From: firstCeiling + ceilings - 1, Until: 1 << 40}, 0, n / ceilings},
	}
}

// Sessions are listed page by page in each way while others are refreshed. No page takes the server more than slowQuery, by what it has
// logged itself, less what it waited for a processor beside all else that ran on the machine. With -v the test says how long
// pages took here, and the server.
func TestListing(t *testing.T) {
	eachListed(t, func(t *testing.T, h home, log serverLog) {
		load := h.openFor(t)
		refreshed := plant(t, load, "https://tenant.example/", "ada", 64)
		plantMany(t, h, *listedFlag)
		listed := h.asOperator().openFor(t)
		lister, ok := store.As[store.Lister](listed.StateStore)
		if !ok {
			t.Fatal("the store does not list")
		}
		_, err := lister.List(t.Context(), store.Listing{Limit: 1}, store.Options{})
		must(t, err)
		log.begin(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var refreshing sync.WaitGroup
		var refreshes atomic.Int64
		for i := range 4 {
			refreshing.Go(func() { refreshAll(ctx, t, load, refreshed[i*16:(i+1)*16], &refreshes) })
		}
		began := clock.System().Now()
		for _, k := range listingKinds(*listedFlag) {
			k.list(t, lister, log)
		}
		took := clock.System().Now().Sub(began)
		stop()
		refreshing.Wait()
		t.Logf("beside %.0f refreshes a second", float64(refreshes.Load())/took.Seconds())
		log.judge(t)
	})
}

// list asks for the pages of a listing, one after the other.
func (k listingKind) list(t *testing.T, lister store.Lister, log serverLog) {
	t.Helper()
	var pages []time.Duration
	var waited time.Duration
	sessions, most := 0, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for l := k.Listing; ; {
		wait, asked := log.waited(t), clock.System().Now()
		page, err := lister.List(t.Context(), l, store.Options{})
		took := clock.System().Now().Sub(asked)
		must(t, err)
		wait = log.waited(t) - wait
		pages, waited = append(pages, took), waited+wait
		if took > slowQuery {
			log.slow(t, slowPage{asked, asked.Add(took), wait})
		}
		sessions, most = sessions+len(page.Sessions), max(most, len(page.Sessions))
		if l.After = page.Next; l.After == "" || len(pages) == k.pages {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if sessions < k.want || most > 2*k.Limit {
		t.Errorf("%s: %d sessions were listed, want %d; the largest page has %d", k.name, sessions, k.want, most)
	}
	slices.Sort(pages)
	t.Logf("%-20s %7d sessions on %5d pages; a page took %v (median), %v (p99), %v (most) here, with %v in all of the server's waiting for a processor; %d KB allocated for each",
		k.name, sessions, len(pages), pages[len(pages)/2], pages[len(pages)*99/100], pages[len(pages)-1], waited.Round(time.Millisecond),
		(after.TotalAlloc-before.TotalAlloc)/uint64(len(pages))/1024)
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

// operators is under what name the server logs the queries of listings.
const operators = "operators"

// asOperator is the same home, of which the server can tell the queries from others.
func (h home) asOperator() home {
	if u, err := url.Parse(h.URL); err == nil && h.Kind == "postgres" {
		q := u.Query()
		q.Set("application_name", operators)
		u.RawQuery = q.Encode()
		h.URL = u.String()
	}
	return h
}
