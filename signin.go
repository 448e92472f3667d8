package tokenward

import "errors"

// LoginRequired reports whether err says that the user must sign in again: the session
// has ended or there is none, or the provider refuses its refresh token for good. For
// every other error, an outage for example, the same call may succeed later.
func LoginRequired(err error) bool {
	return errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrMissingSession) || errors.Is(err, ErrMissingRefreshToken)
}
