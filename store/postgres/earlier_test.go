package postgres_test

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/postgres"
)

// at sets up the schema as the release did that knew it at this version.
func (h *home) at(version int) {
	h.t.Helper()
	h.exec("CREATE SCHEMA " + h.schema + "; CREATE TABLE x.migrations (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())")
	for n := 1; n <= version; n++ {
		h.exec(postgres.MigrationText(h.schema, n))
		h.exec("INSERT INTO x.migrations (version) VALUES ($1)", n)
	}
}

func TestOpen_readsTheRowsOfVersion3(t *testing.T) {
	h := newHome(t)
	h.at(3)
	rows, err := os.ReadFile("testdata/rows-3.sql")
	must(t, err)
	h.exec(string(rows))
	s := h.open()

	key, ended := session.Key{0xab, 31: 0xcd}, session.Key{0xef, 31: 0x01}
	want := store.Record{
		Version: session.Version{1}, Incarnation: session.Incarnation{2}, Epoch: 4, Ceiling: 2_000_000_000,
		Index: []store.IndexValue{{3}}, Connections: true, Sealed: []byte("sealed"),
	}
	got, err := s.Load(t.Context(), key, store.Options{})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v, want %+v", got, err, want)
	}
	refs, err := s.Find(t.Context(), want.Index, store.Options{})
	if err != nil || !slices.Equal(refs, []store.Ref{{Key: key, Incarnation: want.Incarnation, Ceiling: want.Ceiling, Connections: true}}) {
		t.Errorf("Find = %+v, %v", refs, err)
	}
	in := store.Intent{Token: [32]byte{5}, Epoch: 4, At: 1_700_000_000, Tries: 2, Next: 1_700_000_010}
	begun, err := s.Begin(t.Context(), key, store.Beginning{
		Version: want.Version, Owner: "a", TTL: time.Hour, Intent: store.Intent{Token: in.Token, At: 1_700_000_020},
	}, store.Options{})
	if err != nil || begun.Epoch <= 4 || begun.Prior == nil || *begun.Prior != in || begun.Intent.Tries != 2 {
		t.Errorf("Begin = %+v, %v, want that %+v stood", begun, err, in)
	}
	// It may hold connection tokens, for that version does not say.
	ceiling := store.Ending{Reason: session.ReasonCeiling}
	wantErr(t, "End", s.End(t.Context(), key, want.Incarnation, ceiling, store.Options{}), store.ErrConflict)
	ceiling.Prev = want.Version
	must(t, s.End(t.Context(), key, want.Incarnation, ceiling, store.Options{}))

	_, err = s.Load(t.Context(), ended, store.Options{})
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason != session.ReasonCeiling || !gone.Incarnation.IsZero() || gone.Remainder != nil || gone.Stands < 50*time.Minute {
		t.Errorf("Load of what has ended: %+v", err)
	}
	must(t, s.End(t.Context(), ended, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, store.Options{}))
	_, err = s.Load(t.Context(), ended, store.Options{})
	if !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("Load after a logout: %v", err)
	}
}

// The release before does not say whether connection tokens are held: so they may be.
func TestMigration4_leavesWhatTheReleaseBeforeCalls(t *testing.T) {
	h := newHome(t)
	s := h.open()
	key, rec := keyOf(1), record()
	must(t, s.Replace(t.Context(), key, rec, store.Options{}))
	left := &store.Remainder{Version: session.Version{3}, Index: []store.IndexValue{{4}}, Sealed: []byte("left"), TTL: time.Hour}
	must(t, s.End(t.Context(), key, rec.Incarnation, store.Ending{Reason: session.ReasonCeiling, Prev: rec.Version, Remainder: left}, store.Options{}))

	one, two := session.Version{1}, session.Version{2}
	in := session.Incarnation{9}
	h.exec("SELECT x.replace_session($1, $2, $3, 0::bigint, 0::bigint, '{}'::bytea[], 'sealed'::bytea, 0::bigint)", key[:], one[:], in[:])
	got, err := s.Load(t.Context(), key, store.Options{})
	if err != nil || got.Version != one || !got.Connections {
		t.Errorf("Load = %+v, %v, want the record, which may hold connection tokens", got, err)
	}
	refs, err := s.Find(t.Context(), left.Index, store.Options{})
	if err != nil || len(refs) != 0 {
		t.Errorf("Find = %v, %v, want none of what the ceiling left", refs, err)
	}
	h.exec("SELECT x.update_session($1, $2, $3, $4, 0::bigint, 0::bigint, '{}'::bytea[], 'sealed'::bytea, 0::bigint)", key[:], one[:], two[:], in[:])
	got, err = s.Load(t.Context(), key, store.Options{})
	if err != nil || got.Version != two || !got.Connections {
		t.Errorf("Load = %+v, %v, want the update, which may hold connection tokens", got, err)
	}
	h.exec("SELECT x.delete_session($1, ''::bytea, 'logout', 1000000::bigint)", key[:])
	_, err = s.Load(t.Context(), key, store.Options{})
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason != session.ReasonLogout || gone.Incarnation != in {
		t.Errorf("Load = %+v, want a tombstone", err)
	}
}
