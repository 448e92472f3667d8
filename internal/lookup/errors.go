package lookup

import (
	"context"
	"errors"
	"fmt"

	"github.com/tokenward/tokenward/session"
)

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

// StoreError says that the store did not answer.
func StoreError(err error) error {
	if session.CodeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", session.ErrStore, err)
}

// codeAndCause splits what went wrong from why.
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

func isContext(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded //nolint:errorlint // the caller's own, as it is
}
