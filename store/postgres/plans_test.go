package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/tokenward/tokenward/internal/testing/await"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// Due sessions are found by the index of ceilings, and of that no more is read than is asked for,
// however many sessions there are.
func TestDue_readsNoMoreThanIsAsked(t *testing.T) {
	const many, page, pages = 20_000, 100, 3
	h := newHome(t)
	s := h.open()
	h.exec(`INSERT INTO x.sessions (key, version, incarnation, sealed, ceiling, stands_until)
		SELECT sha256(n::text::bytea), sha256(n::text::bytea), substr(sha256('x'), 1, 16), '',
			CASE WHEN n <= 1000 THEN 1000000000 + n ELSE 2000000000 + n END, 'infinity'
		FROM generate_series(1, 20000) n`)
	h.exec(`ANALYZE x.sessions`)
	scans := func() int64 {
		return query[int64](h, "SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = $1 AND indexrelname = 'sessions_due'", h.schema)
	}
	whole := func() int64 {
		return query[int64](h, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'sessions'", h.schema)
	}
	before := whole()

	var last store.Ref
	for range pages {
		refs, err := s.ClaimDue(t.Context(), 1_500_000_000, page, time.Minute, store.Options{})
		must(t, err)
		if len(refs) != page {
			t.Errorf("ClaimDue = %d sessions, want %d", len(refs), page)
		}
		refs, err = s.Due(t.Context(), 2_000_010_000, session.Ceiling(2_000_000_000+many), last, page, store.Options{})
		must(t, err)
		if len(refs) != page {
			t.Fatalf("Due = %d sessions, want %d", len(refs), page)
		}
		last = refs[page-1]
	}
	must(t, s.Close()) // so that the server counts
	await.Eventually(t, "the server has counted", func() bool { return scans() >= 2*pages })
	read := query[int64](h, "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE schemaname = $1 AND indexrelname = 'sessions_due'", h.schema)
	// Each claim steps over those that were claimed before it, and a claim may leave a dead entry
	// beside the living one.
	if most := int64(2 * (pages*page + pages*(pages+1)/2*page)); read > most {
		t.Errorf("%d entries of the index were read, want %d at most of %d", read, most, many)
	}
	if n := whole() - before; n != 0 {
		t.Errorf("%d rows were read without an index, want none", n)
	}
}

// A page of a listing reads as many rows as it may hold, also where most sessions have lapsed and are not collected yet, and
// whatever the statistics of the planner are of.
func TestList_readsNoMoreThanIsAsked(t *testing.T) {
	const many, every, page = 20_000, 1000, 100 // of all sessions one in so many lives
	value := store.IndexValue{1: 21}
	listings := map[string]store.Listing{
		"all":         {},
		"of a value":  {Value: value},
		"by deadline": {From: 1_000_000_000, Until: 2_000_000_000},
	}
	for name, l := range listings {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			s := h.open()
			h.exec(`INSERT INTO x.sessions (key, gone, stands_until) SELECT sha256(('gone' || n)::bytea), 'logout', now() + interval '1 hour' FROM generate_series(1, 1000) n`)
			h.exec(`ANALYZE x.sessions, x.session_values`) // no session has a value then, nor a ceiling
			h.exec(`INSERT INTO x.sessions (key, version, incarnation, sealed, ceiling, index_values, stands_until)
				SELECT sha256(n::text::bytea), substr(sha256('v'), 1, 16), substr(sha256('x'), 1, 16), 'sealed', 1000000000 + n, ARRAY[$1::bytea],
					CASE WHEN n % $2::bigint = 0 THEN 'infinity' ELSE now() - interval '1 hour' END
				FROM generate_series(1, $3::bigint) n`, value[:], every, many)
			h.exec(`INSERT INTO x.session_values (value, key) SELECT $1::bytea, sha256(n::text::bytea) FROM generate_series(1, $2::bigint) n`, value[:], many)
			read := func() int64 {
				return query[int64](h, `SELECT (SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE schemaname = $1 AND relname IN ('sessions', 'session_values'))
					+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = $1)`, h.schema)
			}
			before := read()

			l.Limit = page
			pages, seen := 0, make(map[session.Key]bool)
			for {
				p, err := s.List(t.Context(), l, store.Options{})
				must(t, err)
				for _, one := range p.Sessions {
					if string(one.Sealed) != "sealed" {
						t.Fatalf("a session is listed with the state %q", one.Sealed)
					}
					seen[one.Key] = true
				}
				if pages++; p.Next == "" {
					break
				}
				if pages > 2*many/page {
					t.Fatal("the listing does not end")
				}
				l.After = p.Next
			}
			if len(seen) != many/every || pages < many/page {
				t.Errorf("%d sessions are listed on %d pages, want %d on %d", len(seen), pages, many/every, many/page)
			}
			must(t, s.Close()) // so that the server counts
			await.Eventually(t, "the server has counted", func() bool { return read()-before >= many })
			if n := read() - before; n > 4*(many+page) { // the index entry and the row, of a value also those of the session
				t.Errorf("%d rows and index entries were read, want %d at most: some of them for each page again", n, 4*(many+page))
			}
		})
	}
}

// To find the sessions of a user reads these, however many have another value in common, and whatever the planner's statistics are of.
func TestFind_readsNoMoreThanItFinds(t *testing.T) {
	const many, asked = 20_000, 10
	for _, analysed := range []bool{false, true} {
		h := newHome(t)
		s := h.open()
		issuer := store.IndexValue{1: 21}
		h.exec(`INSERT INTO x.sessions (key, version, incarnation, sealed, index_values, stands_until)
			SELECT sha256(n::text::bytea), substr(sha256('v'), 1, 16), substr(sha256('x'), 1, 16), 'sealed', ARRAY[$1::bytea, sha256(('user' || n)::bytea)], 'infinity'
			FROM generate_series(1, $2::bigint) n`, issuer[:], many)
		h.exec(`INSERT INTO x.session_values (value, key) SELECT unnest(index_values), key FROM x.sessions`)
		if analysed {
			h.exec(`ANALYZE x.sessions, x.session_values`)
		}
		read := func() int64 {
			return query[int64](h, `SELECT (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE schemaname = $1 AND relname IN ('sessions', 'session_values'))
				+ (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = $1)`, h.schema)
		}
		await.Eventually(t, "the server has counted what was planted", func() bool { return read() >= many })
		before := read()
		for i := range asked {
			user := sha256.Sum256(fmt.Append(nil, "user", i+1))
			refs, err := s.Find(t.Context(), []store.IndexValue{user, {1: 22}}, store.Options{})
			if must(t, err); len(refs) != 1 {
				t.Errorf("Find = %d sessions, want 1", len(refs))
			}
		}
		must(t, s.Close()) // so that the server counts
		await.Eventually(t, "the server has counted", func() bool { return read()-before >= asked })
		if n := read() - before; n > 8*asked {
			t.Errorf("analysed %v: %d rows and index entries were read, want %d at most", analysed, n, 8*asked)
		}
	}
}
