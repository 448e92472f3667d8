package tokenward

import (
	"errors"

	"github.com/tokenward/tokenward/session"
)

// LoginRequired reports whether err says that the user must sign in again: the session
// has ended or there is none, it has no refresh token, or a refresh was refused in a way that
// says that the refresh token is of no use any more, in the provider's own words too
// (session.TokenDead). For every other error, an outage or a refused scope for example, the
// same call may succeed later. So it may after a refused connection exchange (api_error):
// that may be about the connection's own token, and the next refresh tells.
func LoginRequired(err error) bool {
	if errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrMissingSession) || errors.Is(err, ErrMissingRefreshToken) {
		return true
	}
	var refresh *AccessTokenError
	return errors.As(err, &refresh) && refresh.Code == session.CodeRefreshTokenError && session.TokenDead(refresh.Err)
}
