package postgres

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokenward/tokenward/store"
)

// What the statements use of the schema.
var (
	relations = []string{"sessions", "session_values", "intents", "transactions", "lease_epochs"}
	functions = []string{
		"until", "microseconds", "look", "set_values", "replace_session", "update_session", "bury",
		"end_session", "end_sessions", "begin_session", "claim_due", "collect",
	}
)

// Check implements store.Checker: whether transactions may write, and the schema has all that is
// used.
func (s *Store) Check(ctx context.Context) error {
	var readOnly bool
	var missing []string
	if err := s.row(ctx, opCheck, []any{s.schema, relations, functions}, &readOnly, &missing); err != nil {
		return err
	}
	failed := func(e *store.NotServingError) error { return &Error{Op: statements[opCheck].name, Err: e} }
	switch {
	case readOnly:
		return failed(&store.NotServingError{Why: store.ReadOnly, Remedy: readOnlyRemedy})
	case len(missing) > 0 && missing[0] == s.schema:
		return failed(&store.NotServingError{Why: store.Incomplete, Remedy: s.restoreSchema(), Err: errors.New("there is no schema " + s.schema)})
	case len(missing) > 0:
		return failed(&store.NotServingError{
			Why: store.Incomplete, Remedy: s.restoreSchema(),
			Err: errors.New("the schema " + s.schema + " lacks " + strings.Join(missing, ", ")),
		})
	}
	return nil
}

// seldom allows something once a second, to one of any number of callers.
type seldom struct{ next atomic.Int64 } // nanoseconds since the Unix epoch; 0: it was never allowed

// allow reports whether it is the caller's turn.
func (l *seldom) allow(now time.Time) bool {
	next, at := l.next.Load(), now.UnixNano()
	if next-at > 0 && next-at <= int64(time.Second) { // beyond that the clock was set back
		return false
	}
	return l.next.CompareAndSwap(next, at+int64(time.Second))
}

// known reports whether it was allowed since the last forget.
func (l *seldom) known() bool { return l.next.Load() != 0 }

// forget lets the next caller have the turn.
func (l *seldom) forget() { l.next.Store(0) }
