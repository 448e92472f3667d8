package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenward/tokenward/session"
	"github.com/tokenward/tokenward/store"
	"github.com/tokenward/tokenward/store/bolt"
)

// losses are ways in which the file of a store that runs is lost to it.
var losses = []struct {
	name string
	do   func(t *testing.T, path string)
	why  bolt.Unusable
}{
	{"removed", func(t *testing.T, path string) { must(t, os.Remove(path)) }, bolt.Removed},
	{"renamed", func(t *testing.T, path string) { must(t, os.Rename(path, path+".old")) }, bolt.Removed},
	{"its folder renamed", func(t *testing.T, path string) {
		must(t, os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"))
	}, bolt.Removed},
	{"replaced by a copy", func(t *testing.T, path string) {
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path+".new", b, 0o600))
		must(t, os.Rename(path+".new", path))
	}, bolt.Replaced},
	{"removed, and another process has opened the path", func(t *testing.T, path string) {
		must(t, os.Remove(path))
		if said := start(t, "hold", path).line(t); said != "open\n" {
			t.Fatal(said)
		}
	}, bolt.Replaced},
	{"a link to another file", func(t *testing.T, path string) {
		must(t, os.WriteFile(path+".new", nil, 0o600))
		must(t, os.Remove(path))
		must(t, os.Symlink(path+".new", path))
	}, bolt.Replaced},
}

// newFolder returns a path in a folder of its own.
func newFolder(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "folder")
	must(t, os.Mkdir(folder, 0o700))
	return filepath.Join(folder, "sessions.db")
}

func TestPresent_aFileThatIsLostIsNoticedByEveryCall(t *testing.T) {
	for _, l := range losses {
		t.Run(l.name, func(t *testing.T) {
			path := newFolder(t)
			s := open(t, path)
			rec := store.Record{Version: version(1), Incarnation: session.Incarnation{1}, Sealed: []byte("x")}
			must(t, s.Replace(t.Context(), key(1), rec, opt))
			must(t, s.Transactions().Put(t.Context(), "login", []byte("x"), time.Hour, opt))
			commits := s.Commits()
			l.do(t, path)

			_, loaded := s.Load(t.Context(), key(1), opt)
			_, found := s.Find(t.Context(), []store.IndexValue{{1}}, opt)
			_, got := s.Transactions().Get(t.Context(), "login", opt)
			_, taken := s.Transactions().Take(t.Context(), "login", opt)
			for call, err := range map[string]error{
				"Load": loaded, "Find": found, "Get": got, "Take": taken,
				"Replace":     s.Replace(t.Context(), key(2), rec, opt),
				"Update":      s.Update(t.Context(), key(1), rec.Version, rec, opt),
				"End":         s.End(t.Context(), key(1), session.Incarnation{}, store.Ending{Reason: session.ReasonLogout}, opt),
				"Touch":       s.Touch(t.Context(), key(1), time.Hour, opt),
				"Begin":       intend(t.Context(), s, key(1), store.Intent{At: 1}),
				"ClearIntent": s.ClearIntent(t.Context(), key(1), store.Intent{At: 1}, opt),
				"Put":         s.Transactions().Put(t.Context(), "another", []byte("x"), time.Hour, opt),
			} {
				var lost *bolt.FileError
				if !errors.As(err, &lost) || lost.Why != l.why || lost.Path != path {
					t.Errorf("%s: err = %v, want a FileError: %s", call, err, l.why)
				}
			}
			if n := s.Commits(); n != commits {
				t.Errorf("%d commits to a file that is lost", n-commits)
			}
		})
	}
}

// A write that was taken while the file was still there is not acknowledged when it goes before the commit.
func TestPresent_aFileThatIsLostBeforeTheCommit(t *testing.T) {
	path := newPath(t)
	lose := false
	s := open(t, path, bolt.WithHook(func(at bolt.Stage) {
		if lose && at == bolt.StageTaken {
			must(t, os.Remove(path))
		}
	}))
	lose = true
	err := s.Replace(t.Context(), key(1), store.Record{Version: version(1)}, opt)
	wantErr(t, err, &bolt.FileError{Why: bolt.Removed})
}

func TestPresent_aFileThatIsBackAtItsPathIsUsedAgain(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	rec := store.Record{Version: version(1), Incarnation: session.Incarnation{1}}
	must(t, s.Replace(t.Context(), key(1), rec, opt))
	must(t, os.Rename(path, path+".old"))
	wantErr(t, s.Replace(t.Context(), key(2), rec, opt), &bolt.FileError{Why: bolt.Removed})
	must(t, os.Rename(path+".old", path))
	must(t, s.Replace(t.Context(), key(2), rec, opt))
	for i := 1; i <= 2; i++ {
		_, err := s.Load(t.Context(), key(i), opt)
		must(t, err)
	}
	must(t, s.Verify())
}

// cp over the file leaves device and inode as they are.
func TestPresent_aCopyThatIsWrittenOverTheFile(t *testing.T) {
	for _, first := range []string{"a read", "a write"} {
		t.Run("noticed by "+first, func(t *testing.T) {
			path := newPath(t)
			s := open(t, path)
			rec := store.Record{Version: version(1), Incarnation: session.Incarnation{1}}
			must(t, s.Replace(t.Context(), key(1), rec, opt))
			earlier, err := os.ReadFile(path)
			must(t, err)
			must(t, s.Replace(t.Context(), key(2), rec, opt))
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteAt(earlier, 0)
			must(t, errors.Join(err, f.Close()))

			if first == "a read" {
				_, err = s.Load(t.Context(), key(1), opt)
			} else {
				err = s.Update(t.Context(), key(1), rec.Version, rec, opt)
			}
			wantErr(t, err, &bolt.FileError{Why: bolt.Overwritten})
			after, err := os.ReadFile(path)
			must(t, err)
			if string(after) != string(earlier) {
				t.Error("the copy was written to")
			}
		})
	}
}

func TestPresent_aRelativePathIsThatOfTheFolderInWhichItWasOpened(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "sessions.db")
	t.Chdir(t.TempDir())
	must(t, s.Replace(t.Context(), key(1), store.Record{Version: version(1)}, opt))
	_, err := s.Load(t.Context(), key(1), opt)
	must(t, err)
}
