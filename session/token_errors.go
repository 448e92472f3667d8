package session

import "cmp"

// AccessTokenError is returned when no access token can be had. Code says why.
type AccessTokenError struct {
	Code    Code
	Message string
	Err     error // cause, nil when there is none

	lives bool // it is of a session that lives: NoRefreshToken
}

// ErrorCode returns the code.
func (e *AccessTokenError) ErrorCode() Code { return e.Code }

// Error implements error.
func (e *AccessTokenError) Error() string { return text(e.Code, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *AccessTokenError) Unwrap() error { return e.Err }

// Is reports whether target is an AccessTokenError or a sentinel of the same code.
func (e *AccessTokenError) Is(target error) bool {
	t, ok := target.(*AccessTokenError)
	return ok && t.Code == e.Code || e.Code.is(target)
}

// ConnectionTokenError is returned when no token of a connection can be had (the
// AccessTokenForConnectionError of the Auth0 SDKs). Code says why.
type ConnectionTokenError struct {
	Code    Code
	Message string
	Err     error // cause, nil when there is none

	lives bool // it is of a session that lives: NoRefreshToken
}

// ErrorCode returns the code.
func (e *ConnectionTokenError) ErrorCode() Code { return e.Code }

// Error implements error.
func (e *ConnectionTokenError) Error() string { return text(e.Code, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *ConnectionTokenError) Unwrap() error { return e.Err }

// Is reports whether target is a ConnectionTokenError or a sentinel of the same code.
func (e *ConnectionTokenError) Is(target error) bool {
	t, ok := target.(*ConnectionTokenError)
	return ok && t.Code == e.Code || e.Code.is(target)
}

// TokenExchangeError is returned when a token cannot be exchanged (RFC 8693; the CustomTokenExchangeError of the Auth0
// SDKs). Code says why.
type TokenExchangeError struct {
	Code    Code
	Message string
	Err     error // cause, nil when there is none
}

// ErrorCode returns the code.
func (e *TokenExchangeError) ErrorCode() Code { return e.Code }

// Error implements error.
func (e *TokenExchangeError) Error() string { return text(e.Code, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *TokenExchangeError) Unwrap() error { return e.Err }

// Is reports whether target is a TokenExchangeError of the same code.
func (e *TokenExchangeError) Is(target error) bool {
	t, ok := target.(*TokenExchangeError)
	return ok && t.Code == e.Code
}

// MFARequiredError is an AccessTokenError with the code mfa_required: the provider
// wants a second factor before it refreshes.
type MFARequiredError struct {
	AccessTokenError
	MFAToken     string // sealed; it may be given to the browser
	Requirements any    // the provider's mfa_requirements, as decoded JSON
}

// ErrorCode returns CodeMFARequired.
func (e *MFARequiredError) ErrorCode() Code { return CodeMFARequired }

// Error implements error.
func (e *MFARequiredError) Error() string {
	return text(CodeMFARequired, cmp.Or(e.Message, "the provider wants a second factor; challenge the user with the MFA token"), e.Err)
}

// GoString keeps the MFA token out of %#v.
func (e *MFARequiredError) GoString() string { return e.Error() }

// Is reports whether target is an AccessTokenError with CodeMFARequired.
func (e *MFARequiredError) Is(target error) bool {
	t, ok := target.(*AccessTokenError)
	return ok && t.Code == CodeMFARequired
}

// Unwrap returns the AccessTokenError that this error is.
func (e *MFARequiredError) Unwrap() error { return &e.AccessTokenError }
