package bolt_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

func TestOpen_refuses(t *testing.T) {
	foreign := func(f func(tx *bbolt.Tx) error) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			must(t, err)
			must(t, db.Update(f))
			must(t, db.Close())
		}
	}
	content := func(b []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { must(t, os.WriteFile(path, b, 0o600)) }
	}
	ours := func(f func(tx *bbolt.Tx) error) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			s, err := bolt.Open(path)
			must(t, err)
			must(t, s.Replace(t.Context(), key(1), store.Record{Sealed: make([]byte, 100_000)}, opt))
			must(t, s.Close())
			if f != nil {
				foreign(f)(t, path)
			}
		}
	}
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		why  bolt.Unusable
	}{
		{"a text", content(bytes.Repeat([]byte("no database\n"), 10_000)), bolt.NoStore},
		{"a short text", content([]byte("x")), bolt.NoStore},
		{"zeros", content(make([]byte, 64<<10)), bolt.NoStore},
		{"a database of something else", foreign(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("theirs"))
			return err
		}), bolt.NoStore},
		{"a database of something else with a bucket of our name", foreign(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket(bolt.MetaBucket)
			return err
		}), bolt.NoStore},
		{"a folder", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, bolt.NoFile},
		{"a store of a later release", ours(func(tx *bbolt.Tx) error {
			return tx.Bucket(bolt.MetaBucket).Put(bolt.FormatKey, formatOf(bolt.FileFormat+1))
		}), bolt.NewerFormat},
		{"a store of no release", ours(func(tx *bbolt.Tx) error {
			return tx.Bucket(bolt.MetaBucket).Put(bolt.FormatKey, formatOf(0))
		}), bolt.Damaged},
		{"a store without a bucket", ours(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bolt.SessionBucket) }), bolt.Damaged},
		{"half a store", func(t *testing.T, path string) {
			ours(nil)(t, path)
			must(t, os.Truncate(path, 48<<10))
		}, bolt.Damaged},
		{"a store without its beginning", func(t *testing.T, path string) {
			ours(nil)(t, path)
			b, err := os.ReadFile(path)
			must(t, err)
			clear(b[:32<<10])
			must(t, os.WriteFile(path, b, 0o600))
		}, bolt.NoStore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			tt.make(t, path)
			before, _ := os.ReadFile(path)
			for range 2 {
				s, err := bolt.Open(path)
				if err == nil {
					must(t, s.Close())
				}
				var refused *bolt.FileError
				if !errors.As(err, &refused) || refused.Why != tt.why || refused.Path != path {
					t.Fatalf("err = %v, want one that %s", err, tt.why)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if err := os.Rename(path, path+".gone"); err != nil {
				t.Errorf("somebody holds the file: %v", err)
			}
		})
	}
}

func TestOpen_inNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	_, err := bolt.Open(filepath.Join(folder, "store.db"))
	wantErr(t, err, &bolt.FileError{Why: bolt.NoFolder})
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
	_, err = bolt.Open("")
	wantErr(t, err, &bolt.FileError{Why: bolt.Refused})
}

// What an interrupted beginning leaves is begun again.
func TestOpen_beginsInAnEmptyFile(t *testing.T) {
	path := newPath(t)
	must(t, os.WriteFile(path, nil, 0o600))
	s, err := bolt.Open(path)
	must(t, err)
	must(t, s.Close())

	path = newPath(t)
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Close())
	must(t, open(t, path).Verify())
}

func TestOpen_aStoreChangesNothing(t *testing.T) {
	path := newPath(t)
	s, err := bolt.Open(path)
	must(t, err)
	must(t, s.Replace(t.Context(), key(1), store.Record{}, opt))
	must(t, s.Close())
	before, err := os.ReadFile(path)
	must(t, err)
	s, err = bolt.Open(path)
	must(t, err)
	must(t, s.Close())
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("opening and closing changed the file")
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file's mode is %v, want it private", info.Mode())
	}
}

func TestOpen_twiceInOneProcess(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	must(t, s.Replace(t.Context(), key(1), store.Record{}, opt))
	var used *bolt.InUseError
	if _, err := bolt.Open(path); !errors.As(err, &used) || used.Path != path {
		t.Fatalf("err = %v, want an InUseError", err)
	}
	must(t, s.Replace(t.Context(), key(2), store.Record{}, opt))
	must(t, s.Close())
	if n := open(t, path).Keys(bolt.SessionBucket); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

// Opening looks at no record, however many there are.
func TestOpen_scansNothing(t *testing.T) {
	cursors := func(n int) int64 {
		path := newPath(t)
		s, err := bolt.Open(path)
		must(t, err)
		s.Edit(func(tx *bbolt.Tx) error {
			for i := range n {
				k := key(i)
				must(t, tx.Bucket(bolt.SessionBucket).Put(k[:], []byte("anything")))
				must(t, tx.Bucket(bolt.CeilingIndex).Put(bolt.PlaceKey(int64(i), k), nil))
			}
			return nil
		})
		must(t, s.Close())
		s = open(t, path)
		if _, err := s.Due(t.Context(), 5, 5, store.Ref{}, 10, opt); err != nil {
			t.Fatal(err)
		}
		must(t, s.End(t.Context(), key(n), [16]byte{}, store.Ending{Reason: ""}, opt))
		return s.Cursors()
	}
	if n := cursors(20_000); n > 100 {
		t.Errorf("opening 20000 sessions took %d searches in the file, want a few", n)
	}
}
