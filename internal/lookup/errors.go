package lookup

import (
	"context"
	"errors"
	"fmt"

	"github.com/tokenward/tokenward/session"
)

// How a failure reads to a caller: every error of a call has a code, and says what to do. An error that has one
// already keeps it; the store's becomes store_error with the cause, an unknown one internal_error. A context that
// ended is returned as it is, so that errors.Is and == both find it.

// TokenError makes err an *AccessTokenError, unless it is nil or the caller's own context's.
func TokenError(err error) error {
	var typed *session.AccessTokenError
	if err == nil || isContext(err) || errors.As(err, &typed) {
		return err
	}
	code, cause := codeAndCause(err)
	return &session.AccessTokenError{Code: code, Err: cause}
}

// ConnectionError makes err an *AccessTokenForConnectionError, unless it is the caller's
// own context's.
func ConnectionError(err error) error {
	var typed *session.ConnectionTokenError
	if isContext(err) || errors.As(err, &typed) {
		return err
	}
	code, cause := codeAndCause(err)
	return &session.ConnectionTokenError{Code: code, Err: cause}
}

// StoreError makes err an ErrStore with err as its cause, unless it has a code of ours: the store did not answer.
func StoreError(err error) error {
	if session.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", session.ErrStore, err)
}

// codeAndCause splits an error into its code and its cause, nil where the code says it all.
func codeAndCause(err error) (session.Code, error) {
	code := session.CodeOf(err)
	switch {
	case errors.Is(err, session.ErrStore):
		var both interface{ Unwrap() []error }
		if errors.As(err, &both) && len(both.Unwrap()) == 2 {
			return session.CodeStoreError, both.Unwrap()[1]
		}
		return session.CodeStoreError, nil
	case code == "":
		return session.CodeInternalError, err
	}
	return code, nil
}

// isContext compares by identity: an error of the store that wraps a deadline of its own is the store's.
func isContext(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // the caller's own, as it is
}
