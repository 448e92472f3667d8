package store

import "errors"

// ErrUnreadable matches every error that says: something is there, and it cannot be
// read. That is no session for this call, and nothing more. During a rolling deploy
// it is a living session of another release, so it is neither deleted nor overwritten.
var ErrUnreadable = errors.New("store: what is stored cannot be read")

// Unreadable says why something stored cannot be read.
type Unreadable string

// The reasons for which something stored cannot be read.
const (
	NewerFormat Unreadable = "newer_format" // written by a later release
	UnknownKey  Unreadable = "unknown_key"  // sealed under a secret that was not given
	Corrupt     Unreadable = "corrupt"      // damaged, moved from another key, or never ours
)

// UnreadableError says why something stored cannot be read. It matches
// ErrUnreadable, and holds nothing of what it could not read.
type UnreadableError struct {
	Why    Unreadable
	Format byte  // the format number found, 0 when there was none
	Err    error // cause, nil when there is none
}

// Error implements error. It leaves the cause out, which may quote the stored bytes.
func (e *UnreadableError) Error() string { return ErrUnreadable.Error() + ": " + string(e.Why) }

// Unwrap returns the cause.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Is reports whether target is ErrUnreadable or an UnreadableError with the same
// reason.
func (e *UnreadableError) Is(target error) bool {
	t, ok := target.(*UnreadableError)
	return ok && t.Why == e.Why || target == ErrUnreadable
}
