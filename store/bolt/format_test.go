package bolt_test

import (
	"compress/gzip"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/clock"
	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

var errGolden = &store.GoneError{
	Reason: session.ReasonCeiling, Incarnation: session.Incarnation{1, 2},
	Remainder: &store.Remainder{Version: session.Version{3, 4}, Index: []store.IndexValue{{5}, {6}}, Sealed: []byte("left"), TTL: time.Hour},
}

// Every release reads what this one writes.
func TestTombstone_golden(t *testing.T) {
	want := "0102" + zeros(14) + "00000000d693a408" + "0304" + zeros(14) + "00000002" + "05" + zeros(31) + "06" + zeros(31) +
		"07" + hex.EncodeToString([]byte("ceiling")) + hex.EncodeToString([]byte("left"))
	if got := hex.EncodeToString(bolt.TombstoneBody(errGolden, 8)); got != want {
		t.Errorf("the format has changed: %s, want %s", got, want)
	}
}

// file1 returns a copy of a file that the release of format 1 wrote: a session with an intent, one
// that has ended, and a transaction.
func file1(t *testing.T) (path string, c *clock.Fake) {
	t.Helper()
	packed, err := os.Open("testdata/file-1.db.gz")
	must(t, err)
	defer func() { _ = packed.Close() }()
	r, err := gzip.NewReader(packed)
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	path = newPath(t)
	must(t, os.WriteFile(path, b, 0o600))
	return path, clock.NewFake(time.Date(2030, time.January, 1, 12, 0, 0, 0, time.UTC))
}

func TestOpen_readsAFileOfFormat1(t *testing.T) {
	path, c := file1(t)
	s := open(t, path, bolt.Clock(c))
	key, ended := session.Key{0xab, 31: 0xcd}, session.Key{0xef, 31: 0x01}
	want := store.Record{
		Version: session.Version{1}, Incarnation: session.Incarnation{2}, Ceiling: 2_000_000_000,
		Index: []store.IndexValue{{3}}, Connections: true, Sealed: []byte("sealed"),
	}
	got, err := s.Load(t.Context(), key, opt)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, %v, want %+v", got, err, want)
	}
	refs, err := s.Find(t.Context(), want.Index, opt)
	if err != nil || !slices.Equal(refs, []store.Ref{{Key: key, Incarnation: want.Incarnation, Ceiling: want.Ceiling, Connections: true}}) {
		t.Errorf("Find = %+v, %v", refs, err)
	}
	in := store.Intent{Token: [32]byte{5}, At: 1_700_000_000, Tries: 2, Next: 1_700_000_010}
	begun, err := s.Begin(t.Context(), key, store.Beginning{Version: want.Version, Intent: store.Intent{Token: in.Token, At: 1_700_000_020}}, opt)
	if err != nil || begun.Prior == nil || *begun.Prior != in || begun.Intent.Tries != 2 {
		t.Errorf("Begin = %+v, %v, want that %+v stood", begun, err, in)
	}
	if data, err := s.Transactions().Take(t.Context(), "state", opt); err != nil || string(data) != "a transaction" {
		t.Errorf("Take = %q, %v", data, err)
	}
	// It may hold connection tokens, for format 1 does not say.
	ceiling := store.Ending{Reason: session.ReasonCeiling}
	wantErr(t, s.End(t.Context(), key, want.Incarnation, ceiling, opt), store.ErrConflict)
	ceiling.Prev = want.Version
	must(t, s.End(t.Context(), key, want.Incarnation, ceiling, opt))

	_, err = s.Load(t.Context(), ended, opt)
	var gone *store.GoneError
	if !errors.As(err, &gone) || gone.Reason != session.ReasonCeiling || !gone.Incarnation.IsZero() || gone.Remainder != nil || gone.Stands != time.Hour {
		t.Errorf("Load of what has ended: %+v", err)
	}
	must(t, s.End(t.Context(), ended, session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt))
	_, err = s.Load(t.Context(), ended, opt)
	if !errors.As(err, &gone) || gone.Reason != session.ReasonLogout {
		t.Errorf("Load after a logout: %v", err)
	}
	must(t, s.Verify())
}

// So a release that knows format 1 alone refuses the file.
func TestOpen_raisesTheFormatOfAFile(t *testing.T) {
	path, c := file1(t)
	for range 2 {
		s, err := bolt.Open(path, bolt.Clock(c))
		must(t, err)
		commits := s.Commits()
		s.Edit(func(tx *bbolt.Tx) error {
			if got := tx.Bucket(bolt.MetaBucket).Get(bolt.FormatKey); !slices.Equal(got, formatOf(2)) {
				t.Errorf("the format is %x, want 2, after %d commits", got, commits)
			}
			return nil
		})
		must(t, s.Close())
	}
}

func TestOpen_saysWhatToDoAboutANewerFile(t *testing.T) {
	path, _ := file1(t)
	s := open(t, path)
	s.Edit(func(tx *bbolt.Tx) error {
		return tx.Bucket(bolt.MetaBucket).Put(bolt.FormatKey, formatOf(bolt.FileFormat+1))
	})
	must(t, s.Close())
	_, err := bolt.Open(path)
	var refused *bolt.FileError
	if !errors.As(err, &refused) || refused.Why != bolt.NewerFormat || !strings.Contains(err.Error(), "start that release, or a later one") {
		t.Errorf("err = %v, want one that says what to do", err)
	}
}
