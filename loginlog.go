package tokenward

import (
	"context"
	"strings"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/observe"
	"github.com/tokenward/tokenward/session"
)

// noteRefused logs a login that has failed for what its operator alone can mend: the provider refuses the application, or its ID
// token does not fit the configuration. There is one line for a login: a pushed request that fails begins none, and a callback of
// which this is true has used its transaction up. One without a transaction, which a stranger can make up, has another error.
func (c *Client) noteRefused(ctx context.Context, op observe.Operation, err error) {
	if op != observe.Login && op != observe.Callback {
		return
	}
	if api := session.Innermost(err); api != nil && mendable(err, api) {
		c.log.Warn("a login failed: the provider refuses this application, or its ID token does not fit; see its configuration there and here",
			logging.Of(ctx), zap.String("code", string(api.Code)), zap.Error(err))
	}
}

// mendable reports whether an operator can mend what a login has failed for: not the user, the moment, or a provider that does not work.
func mendable(err error, api *APIError) bool {
	switch api.Code {
	case "access_denied", session.CodeMetadataError, session.CodeJWKSFetchError, session.CodeOverloaded:
		return false
	case session.CodeInvalidToken, session.CodeInvalidSignature, session.CodeInvalidAudience, session.CodeTokenExpired,
		session.CodeJWKSKeyNotFound, session.CodeMissingJWKSURI:
		return true
	}
	switch {
	case strings.HasSuffix(string(api.Code), "_required"):
		return false
	case api.Status == 408, api.Status == 425, api.Status == 429:
		return false
	}
	return api.Status >= 400 && api.Status <= 499 || session.RefusesApplication(err)
}
