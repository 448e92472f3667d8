package session

import "errors"

// RefreshFailure returns err, met while refreshing, as callers of GetAccessToken
// see it: an *AccessTokenError with CodeRefreshTokenError and err as its cause. What
// is an *AccessTokenError already, an *MFARequiredError among them, stays what it is.
func RefreshFailure(err error) error {
	var known *AccessTokenError
	if err == nil || errors.As(err, &known) {
		return err
	}
	message := "the access token could not be refreshed"
	if TokenDead(err) {
		message = "the provider no longer accepts the refresh token; start a new login"
	}
	return &AccessTokenError{Code: CodeRefreshTokenError, Message: message, Err: err}
}

// ExchangeFailure returns err, met while exchanging for a connection's token, as
// callers of GetAccessTokenForConnection see it: a *ConnectionTokenError, with
// CodeAPIError where the token endpoint refused and CodeRetrievalError otherwise. A
// *ConfigurationError is returned as it is, and so is a *ConnectionTokenError.
func ExchangeFailure(err error) error {
	var (
		known  *ConnectionTokenError
		config *ConfigurationError
		api    *APIError
	)
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &config):
		return config
	case errors.As(err, &api) && api.refused():
		return &ConnectionTokenError{Code: CodeAPIError, Message: api.Description, Err: err}
	}
	return &ConnectionTokenError{Code: CodeRetrievalError, Message: "the connection's token could not be had", Err: err}
}

// MachineFailure returns err, met while the application's own token was requested, as callers of MachineToken see it: an
// *AccessTokenError with CodeFailedToRequestToken and err as its cause. An *AccessTokenError with CodeIncorrectAudience
// stays what it is.
func MachineFailure(err error) error {
	if CodeOf(err) == CodeIncorrectAudience {
		return err
	}
	return &AccessTokenError{Code: CodeFailedToRequestToken, Message: "the application's own access token could not be had", Err: err}
}

// TokenExchangeFailure returns err, met while a token was exchanged, as callers of ExchangeToken see it: a
// *TokenExchangeError with CodeTokenExchangeFailed and err as its cause. An *AccessTokenError with CodeIncorrectAudience stays
// what it is.
func TokenExchangeFailure(err error) error {
	if CodeOf(err) == CodeIncorrectAudience {
		return err
	}
	return &TokenExchangeError{Code: CodeTokenExchangeFailed, Message: "the token could not be exchanged", Err: err}
}

// refused reports whether the token endpoint was reached and did not say yes, for which
// there is one status. Discovery may have been answered with another as well.
func (e *APIError) refused() bool {
	return e.Status != 0 && e.Status != 200 && e.Code != CodeMetadataError
}
