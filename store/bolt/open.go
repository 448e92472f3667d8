package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// fileFormat is what this release writes, and the newest that it reads. It stands in
// the meta bucket as 4 bytes, the most significant first. Format 2 has tombstones that say whose
// they are and what a ceiling left; what format 1 wrote is read as it stands.
const fileFormat = 2

var formatKey = []byte("tokenward format")

// InUseError says that the file is open already, in another process or in this one.
type InUseError struct{ Path string }

// Error implements error.
func (e *InUseError) Error() string {
	return "bolt: " + e.Path + " is in use: one process at a time can have it open"
}

// Unusable says why a file cannot be used as a store.
type Unusable string

// The reasons for which a file cannot be used as a store. The last three befall a file that is open.
const (
	NoFile      Unusable = "is no regular file"
	NoFolder    Unusable = "is in a folder that does not exist"
	NoStore     Unusable = "holds something else"
	NewerFormat Unusable = "was written by a later release"
	Damaged     Unusable = "is damaged"
	Refused     Unusable = "cannot be opened"
	Removed     Unusable = "was removed or renamed while it was open"
	Replaced    Unusable = "was replaced by another file while it was open"
	Overwritten Unusable = "was overwritten while it was open"
)

// FileError says why a file cannot be used as a store. Open returns it, and so does each call
// to a Store whose file is not at its path any more: another process could open the path
// then, and writes would be lost with this process.
type FileError struct {
	Path   string
	Why    Unusable
	Format uint32 // the file's, where there is one
	Err    error  // cause, nil when there is none
}

// Error implements error.
func (e *FileError) Error() string {
	text := "bolt: " + e.Path + " " + string(e.Why)
	switch e.Why {
	case Removed, Replaced:
		text += ": nothing is read or saved until that file is back at its path; else restart the process"
	case NewerFormat:
		text += fmt.Sprintf(" (format %d, and this one knows %d): start that release, or a later one", e.Format, fileFormat)
	case Overwritten:
		text += ": nothing is saved any more; restart the process"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Is reports whether target is a FileError with the same reason.
func (e *FileError) Is(target error) bool {
	t, ok := target.(*FileError)
	return ok && t.Why == e.Why
}

// open looks at the file before it opens it for writing, which may change it.
func (s *Store) open() error {
	fresh, err := s.look()
	if err != nil {
		return err
	}
	if !fresh {
		if err := s.openDB(true); err != nil {
			return err
		}
		err := errors.Join(s.check(), s.release())
		if err != nil {
			return err
		}
	}
	if err := s.openDB(false); err != nil {
		return err
	}
	err = s.begin()
	if err == nil {
		err = s.remember()
	}
	if err != nil {
		return errors.Join(err, s.release())
	}
	return nil
}

// look reports whether there is no file yet, or an empty one.
func (s *Store) look() (fresh bool, err error) {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		folder, err := os.Stat(filepath.Dir(s.path))
		if err != nil || !folder.IsDir() {
			return false, &FileError{Path: s.path, Why: NoFolder}
		}
		return true, nil
	case err != nil:
		return false, &FileError{Path: s.path, Why: Refused, Err: err}
	case !info.Mode().IsRegular():
		return false, &FileError{Path: s.path, Why: NoFile}
	}
	return info.Size() == 0, nil
}

// openDB opens the file with bbolt.
func (s *Store) openDB(readOnly bool) error {
	s.db, s.file = nil, nil
	err := s.contain(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
			ReadOnly:     readOnly,
			Timeout:      1, // Open does not wait for another process
			FreelistType: bbolt.FreelistMapType,
			OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, perm)
				s.file = f
				return f, err
			},
		})
		return err
	})
	damage := (*DamageError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &damage):
		_ = s.file.Close() // bbolt lost it in its panic
		return &FileError{Path: s.path, Why: Damaged, Err: err}
	case errors.Is(err, berrors.ErrTimeout):
		return &InUseError{Path: s.path}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch):
		return &FileError{Path: s.path, Why: NoStore, Err: err}
	case errors.Is(err, berrors.ErrChecksum):
		return &FileError{Path: s.path, Why: Damaged, Err: err}
	}
	return &FileError{Path: s.path, Why: Refused, Err: err}
}

// check fails unless the file is empty, or a store that this release reads.
func (s *Store) check() error {
	return s.usable(s.contain(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if info, err := s.file.Stat(); err != nil || info.Size() < tx.Size() {
				return &FileError{Path: s.path, Why: Damaged, Err: errors.Join(err, errors.New("it was cut off"))}
			}
			_, err := s.format(tx)
			return err
		})
	}))
}

func (s *Store) usable(err error) error {
	damage := (*DamageError)(nil)
	if errors.As(err, &damage) {
		return &FileError{Path: s.path, Why: Damaged, Err: err}
	}
	return err
}

// format returns the file's format, 0 when it is empty.
func (s *Store) format(tx *bbolt.Tx) (uint32, error) {
	if k, _ := tx.Cursor().First(); k == nil {
		return 0, nil
	}
	var b []byte
	if meta := tx.Bucket(metaBucket); meta != nil {
		b = meta.Get(formatKey)
	}
	if len(b) != 4 {
		return 0, &FileError{Path: s.path, Why: NoStore}
	}
	format := binary.BigEndian.Uint32(b)
	switch {
	case format > fileFormat:
		return 0, &FileError{Path: s.path, Why: NewerFormat, Format: format}
	case format == 0:
		return 0, &FileError{Path: s.path, Why: Damaged}
	}
	for _, name := range allBuckets {
		if tx.Bucket(name) == nil {
			return 0, &FileError{Path: s.path, Why: Damaged, Format: format}
		}
	}
	return format, nil
}

// begin makes the buckets in an empty file, in one transaction, and sees to it that the
// file's name is on disk too. In a store of an earlier format it changes that number alone, in
// another nothing.
func (s *Store) begin() error {
	var format uint32
	err := s.contain(func() error {
		return s.db.View(func(tx *bbolt.Tx) (err error) {
			format, err = s.format(tx)
			return err
		})
	})
	if err != nil || format == fileFormat {
		return s.usable(err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range allBuckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, fileFormat))
	})
	if err == nil {
		err = syncFolder(filepath.Dir(s.path))
	}
	if err != nil {
		return &FileError{Path: s.path, Why: Refused, Err: err}
	}
	return nil
}

// syncFolder makes the names in a folder durable, where the system can do that.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}

// release closes the file.
func (s *Store) release() error {
	if s.stuck { // bbolt would wait for its own lock
		return s.file.Close()
	}
	return s.db.Close()
}
