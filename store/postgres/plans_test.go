package postgres_test

import (
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
