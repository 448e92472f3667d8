package bolt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// remember notes which file is open, and under which path, wherever the process goes.
func (s *Store) remember() (err error) {
	if s.absolute, err = filepath.Abs(s.path); err == nil {
		s.identity, err = s.file.Stat()
	}
	if err != nil {
		return &FileError{Path: s.path, Why: Refused, Err: err}
	}
	return s.present()
}

// present fails with a *FileError unless the file that is open is the one at its path, by device and
// inode. It costs one stat.
func (s *Store) present() error {
	info, err := os.Stat(s.absolute)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &FileError{Path: s.path, Why: Removed}
	case err != nil:
		return &FileError{Path: s.path, Why: Refused, Err: err}
	case !os.SameFile(info, s.identity):
		return &FileError{Path: s.path, Why: Replaced}
	}
	return nil
}

// current fails with a *FileError where the file's newest transaction is older than the last one that was
// committed here: a copy was written over it. bbolt does not notice, for it has the file mapped.
func (s *Store) current(tx *bbolt.Tx, committed int64) error {
	newest := int64(tx.ID())
	if tx.Writable() {
		newest-- // its own
	}
	if newest < committed {
		return &FileError{Path: s.path, Why: Overwritten}
	}
	return nil
}
