package redis

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tokenward/tokenward/internal/remote"
	"github.com/tokenward/tokenward/store"
)

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("redis: the store is closed")

// Error says that Redis did not answer, or answered that it cannot. Whether a write
// happened is then not known, unless Redis refused it: then Err is a *store.NotServingError.
type Error struct {
	Op  string // the operation, as "update"
	Err error  // cause
}

// Error implements error.
func (e *Error) Error() string { return "redis: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refusal says why Open failed.
type Refusal string

// The reasons for which Open fails.
const (
	BadURL      Refusal = "bad_url"      // not redis://, rediss:// or unix://, or with something unknown in it
	BadClient   Refusal = "bad_client"   // New was given no client of one server, or of Sentinel
	Unreachable Refusal = "unreachable"  // no answer, or it is no Redis
	Denied      Refusal = "denied"       // wrong user or password, or too few permissions
	TooOld      Refusal = "too_old"      // older than Redis 7.0
	Cluster     Refusal = "cluster"      // Redis Cluster, or a Sentinel, see the package comment
	Replica     Refusal = "replica"      // takes no writes
	NewerFormat Refusal = "newer_format" // a later release keeps its sessions there
	Failed      Refusal = "failed"       // any other answer, as that it is still loading
)

// OpenError says why Open failed. Open has changed nothing then. Its text holds no
// password.
type OpenError struct {
	Why    Refusal
	Detail string // found or expected; may be empty
	Err    error  // cause, nil when there is none
}

// Error implements error.
func (e *OpenError) Error() string {
	text := "redis: cannot open: " + string(e.Why)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// replyError is a remote.PlainError for what Redis answered.
type replyError struct{ remote.PlainError }

// RedisError implements the interface of the client library that says so.
func (replyError) RedisError() {}

// discreet returns err without what it must not carry. A server that does not know a
// command quotes it, and logging in is a command. And the deadlines of the client
// library are not those of the caller: the error of a dial that took too long must not
// look as if the caller's context had ended.
func (s *Store) discreet(err error) error {
	text, quotes := err.Error(), false
	if before, _, ok := strings.Cut(text, "with args beginning with"); ok {
		text, quotes = before+"with arguments", true
	}
	if remote.Quotes(text, s.password) {
		text, quotes = string(remote.ErrQuoting), true
	}
	switch {
	case quotes && errors.As(err, new(goredis.Error)):
		return replyError{remote.PlainError(text)}
	case quotes, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return remote.PlainError(text)
	}
	return err
}

// refusals are the first words of answers of a server that does not serve, and what to do.
var refusals = []struct {
	prefix string
	store.NotServingError
}{
	{"READONLY", store.NotServingError{Why: store.ReadOnly, Remedy: "the URL has to lead to the primary"}},
	{"NOREPLICAS", store.NotServingError{Why: store.ReadOnly, Remedy: "it lacks the replicas that min-replicas-to-write wants"}},
	{"MISCONF", store.NotServingError{Why: store.ReadOnly, Remedy: "it cannot write to its disk, see its log"}},
	{"OOM", store.NotServingError{Why: store.Full, Remedy: "raise its maxmemory"}},
	{"NOPERM", store.NotServingError{Why: store.Forbidden, Remedy: "see the package comment of store/redis for the rule its user needs"}},
}

// explained is discreet, and says what to do about an answer that the operator can change.
func (s *Store) explained(err error) error {
	err = s.discreet(err)
	for _, r := range refusals {
		if goredis.HasErrorPrefix(err, r.prefix) {
			e := r.NotServingError
			e.Err = err
			return &e
		}
	}
	if isDenied(err) {
		return &store.NotServingError{Why: store.Forbidden, Remedy: refusals[len(refusals)-1].Remedy, Err: err}
	}
	return err
}

// isDenied reports whether the user lacks a permission, also within a script.
func isDenied(err error) bool {
	return goredis.IsPermissionError(err) || strings.Contains(err.Error(), "executing the script can't") ||
		strings.Contains(err.Error(), "ACL failure in script")
}

// refusal sorts an error that came from the server or from the way to it.
func refusal(err error) Refusal {
	switch {
	case goredis.IsAuthError(err), isDenied(err):
		return Denied
	case errors.As(err, new(goredis.Error)):
		return Failed
	}
	return Unreachable
}
