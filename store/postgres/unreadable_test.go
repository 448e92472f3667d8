package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
)

// A record that cannot be read is a session all the same.
func TestUnreadable_isLeftAlone(t *testing.T) {
	h := newHome(t)
	s := h.open()
	var opt store.Options
	for i, damage := range []string{
		"version = '\\x01'", "version = version || '\\x00'", "version = ''", "incarnation = ''",
		"index_values = '{\"\\\\x01\"}'", "index_values = array_append(index_values, NULL)",
	} {
		key, rec := keyOf(i), record(func(r *store.Record) { r.Ceiling, r.Index = 1, []store.IndexValue{{1}, {byte(i)}} })
		must(t, s.Replace(t.Context(), key, rec, opt))
		h.exec("UPDATE x.sessions SET "+damage+" WHERE key = $1", key[:])
		before := h.row(key)
		if _, err := s.Load(t.Context(), key, opt); !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s: Load: err = %v, want %v", damage, err, store.ErrUnreadable)
		}
		_, _ = s.Find(t.Context(), rec.Index, opt)
		_, err := s.Due(t.Context(), 0, 10, store.Ref{}, 10, opt)
		must(t, err)
		must(t, s.End(t.Context(), key, session.Incarnation{9}, store.Ending{Reason: session.ReasonCeiling}, opt))
		if err := s.Update(t.Context(), key, session.Version{}, rec, opt); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: Update: err = %v, want %v", damage, err, store.ErrConflict)
		}
		if after := h.row(key); after != before {
			t.Errorf("%s: the row became %s, was %s", damage, after, before)
		}
		fresh := record()
		must(t, s.Replace(t.Context(), key, fresh, opt))
		if got, err := s.Load(t.Context(), key, opt); err != nil || got.Version != fresh.Version {
			t.Errorf("%s: Load after a login = %v, %v", damage, got.Version, err)
		}
	}
	must(t, s.Touch(t.Context(), keyOf(0), time.Hour, opt))
}

func (h *home) row(key session.Key) string {
	h.t.Helper()
	return query[string](h, "SELECT s::text FROM x.sessions s WHERE key = $1", key[:])
}
