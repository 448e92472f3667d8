package store

import "context"

// Checker says whether a store would serve, reads and writes alike. A client's readiness asks it;
// without it, readiness is that a Load is answered.
type Checker interface {
	// Check returns nil, or why the store would not serve now: with a *NotServingError where it
	// answers, and refuses. It changes nothing that is stored.
	Check(ctx context.Context) error
}

// NotServing says why a store that answers does not serve.
type NotServing string

// The reasons for which a store that answers does not serve.
const (
	ReadOnly   NotServing = "it takes no writes"
	Full       NotServing = "it is out of memory or disk space"
	Incomplete NotServing = "tables, functions or the like are missing"
	Forbidden  NotServing = "its user lacks a permission"
)

// NotServingError says why a store that answers does not serve, and what to do. Nothing was
// written. It is the cause of the error of each call that the store refused for this.
type NotServingError struct {
	Why    NotServing
	Remedy string // what the operator can do; may be empty
	Err    error  // what the store answered, nil when there is nothing to add
}

// Error implements error.
func (e *NotServingError) Error() string {
	text := string(e.Why)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

// Unwrap returns what the store answered.
func (e *NotServingError) Unwrap() error { return e.Err }

// Is reports whether target is a NotServingError for the same reason.
func (e *NotServingError) Is(target error) bool {
	t, ok := target.(*NotServingError)
	return ok && t.Why == e.Why
}
