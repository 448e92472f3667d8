package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// End implements store.StateStore. The function end_session decides as store.Ending.Over does.
func (s *Store) End(ctx context.Context, key session.Key, only session.Incarnation, e store.Ending, _ store.Options) error {
	defer s.wrote()
	kind := ""
	switch {
	case e.Reason == session.ReasonCeiling:
		kind = "ceiling"
	case e.Final():
		kind = "final"
	}
	var version, sealed []byte
	var ttl time.Duration
	values := [][]byte{}
	if r := e.Remainder; r != nil && kind == "ceiling" {
		version, sealed, values, ttl = r.Version[:], notNil(r.Sealed), valuesOf(r.Index), r.TTL
	}
	var word string
	err := s.row(ctx, opEnd, []any{
		key[:], remote.OrEmpty(only[:]), string(e.Reason), s.tombstoneLife(e), kind, remote.OrEmpty(e.Prev[:]),
		version, sealed, values, microseconds(max(ttl, 1)),
	}, &word)
	if err != nil {
		return err
	}
	return outcome(word, nil)
}

// tombstoneLife returns for how many microseconds the tombstone of e stands: more than 0, which would be for ever.
func (s *Store) tombstoneLife(e store.Ending) int64 {
	return microseconds(e.Life(max(s.tombstones, 1)))
}

// endPage is how many sessions one statement ends.
const endPage = 1000

// EndAll implements store.BatchEnder, in pages, each in one statement.
func (s *Store) EndAll(ctx context.Context, refs []store.Ref, e store.Ending, _ store.Options) (left []store.Ref, err error) {
	for len(refs) > 0 {
		page := refs[:min(endPage, len(refs))]
		byKey := make(map[session.Key]store.Ref, len(page))
		var keys, incarnations [][]byte
		for i, r := range page {
			byKey[r.Key] = r
			keys, incarnations = append(keys, page[i].Key[:]), append(incarnations, page[i].Incarnation[:])
		}
		held, err := rows(ctx, s, opEndAll, []any{keys, incarnations, string(e.Reason), s.tombstoneLife(e), e.Final()},
			func(row pgx.CollectableRow) (r store.Ref, ok bool, err error) {
				var b []byte
				var key session.Key
				err = row.Scan(&b)
				if ok = read(key[:], b); ok {
					r, ok = byKey[key]
				}
				return r, ok, err
			})
		s.wrote()
		if err != nil {
			return nil, err
		}
		left, refs = append(left, held...), refs[len(page):]
	}
	return left, ctx.Err()
}

// tombstoneRow is the tombstone in a row.
type tombstoneRow struct {
	reason                       *string
	incarnation, version, sealed []byte
	stands, remains              int64
}

// columns returns where to scan gone, gone_incarnation, how much longer it stands, remainder_version,
// remainder, and how much longer that does.
func (g *tombstoneRow) columns() []any {
	return []any{&g.reason, &g.incarnation, &g.stands, &g.version, &g.sealed, &g.remains}
}

// tombstone returns what stands there. A remainder that cannot be read is none.
func (g *tombstoneRow) tombstone(values [][]byte) *store.GoneError {
	gone := &store.GoneError{Reason: session.Reason(*g.reason), Stands: remote.Duration(g.stands, time.Microsecond)}
	read(gone.Incarnation[:], g.incarnation)
	if g.remains <= 0 {
		return gone
	}
	r := &store.Remainder{Sealed: g.sealed, TTL: remote.Duration(g.remains, time.Microsecond)}
	readable := read(r.Version[:], g.version)
	if r.Index, readable = readValues(values, readable); readable {
		gone.Remainder = r
	}
	return gone
}
