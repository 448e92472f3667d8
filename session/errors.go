package session

import (
	"errors"
	"fmt"
)

// Code is the word by which a program tells errors apart. Codes are public API.
type Code string

// Codes of AccessTokenError and ConnectionTokenError.
const (
	CodeMissingRefreshToken  Code = "missing_refresh_token"
	CodeRefreshTokenError    Code = "refresh_token_error"
	CodeSessionExpired       Code = "session_expired"
	CodeMissingSession       Code = "missing_session"
	CodeMissingSessionDomain Code = "missing_session_domain"
	CodeDomainMismatch       Code = "domain_mismatch"
	CodeIncorrectAudience    Code = "incorrect_audience"
	CodeMFARequired          Code = "mfa_required"
	CodeAPIError             Code = "api_error"
	CodeRetrievalError       Code = "retrieval_error"
	CodeOverloaded           Code = "overloaded"
	CodeClosed               Code = "closed"
	CodeStoreError           Code = "store_error"
	CodeInternalError        Code = "internal_error"
)

// Codes of APIError that are ours; every other is the provider's OAuth error code.
const (
	CodeMetadataError    Code = "metadata_error"
	CodeTokenError       Code = "token_error"
	CodeConfiguration    Code = "configuration_error"
	CodeInvalidResponse  Code = "invalid_response"
	CodeInvalidToken     Code = "invalid_token"
	CodeInvalidSignature Code = "invalid_signature"
	CodeInvalidAudience  Code = "invalid_audience"
	CodeTokenExpired     Code = "token_expired"
	CodeJWKSKeyNotFound  Code = "jwks_key_not_found"
	CodeJWKSFetchError   Code = "jwks_fetch_error"
	CodeMissingJWKSURI   Code = "missing_jwks_uri"
)

// Sentinels for errors.Is. Each matches the error types of the same code.
var (
	ErrSessionExpired      = sentinel(CodeSessionExpired, "the session has reached its ceiling; start a new login")
	ErrMissingRefreshToken = sentinel(CodeMissingRefreshToken, "there is no session with a refresh token; start a new login that asks for offline_access")
	ErrMissingSession      = sentinel(CodeMissingSession, "the session ended; start a new login")
	ErrOverloaded          = sentinel(CodeOverloaded, "a limit was reached; try again later")
	ErrClosed              = sentinel(CodeClosed, "the client is closed")
	ErrStore               = sentinel(CodeStoreError, "the store did not answer; try again later")
	ErrInternal            = sentinel(CodeInternalError, "a defect was met and contained; try again later")
)

type sentinelError struct {
	code Code
	text string
}

func sentinel(c Code, text string) error { return &sentinelError{c, text} }

func (e *sentinelError) Error() string { return string(e.code) + ": " + e.text }

// is reports whether target is the sentinel of code.
func (c Code) is(target error) bool {
	s, ok := target.(*sentinelError) //nolint:errorlint // a sentinel is compared as it is
	return ok && s.code == c
}

// explain returns message, or the text of the sentinel of code where it is empty.
func (c Code) explain(message string) string {
	if message != "" {
		return message
	}
	for _, err := range []error{ErrSessionExpired, ErrMissingRefreshToken, ErrMissingSession, ErrOverloaded, ErrClosed, ErrStore, ErrInternal} {
		var s *sentinelError
		if errors.As(err, &s) && s.code == c {
			return s.text
		}
	}
	return ""
}

func text(code Code, message string, cause error) string {
	s := string(code)
	if m := code.explain(message); m != "" {
		s += ": " + m
	}
	if cause != nil {
		s += ": " + cause.Error()
	}
	return s
}

// AccessTokenError is returned when no access token can be had. Code says why.
type AccessTokenError struct {
	Code    Code
	Message string
	Err     error // cause, nil when there is none
}

// Error implements error.
func (e *AccessTokenError) Error() string { return text(e.Code, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *AccessTokenError) Unwrap() error { return e.Err }

// Is reports whether target is an AccessTokenError or a sentinel of the same code.
func (e *AccessTokenError) Is(target error) bool {
	t, ok := target.(*AccessTokenError) //nolint:errorlint // errors.Is unwraps
	return ok && t.Code == e.Code || e.Code.is(target)
}

// ConnectionTokenError is returned when no token of a connection can be had (the
// AccessTokenForConnectionError of the Auth0 SDKs). Code says why.
type ConnectionTokenError struct {
	Code    Code
	Message string
	Err     error // cause, nil when there is none
}

// Error implements error.
func (e *ConnectionTokenError) Error() string { return text(e.Code, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *ConnectionTokenError) Unwrap() error { return e.Err }

// Is reports whether target is a ConnectionTokenError or a sentinel of the same code.
func (e *ConnectionTokenError) Is(target error) bool {
	t, ok := target.(*ConnectionTokenError) //nolint:errorlint // errors.Is unwraps
	return ok && t.Code == e.Code || e.Code.is(target)
}

// MFARequiredError is an AccessTokenError with the code mfa_required: the provider
// wants a second factor before it refreshes.
type MFARequiredError struct {
	AccessTokenError
	MFAToken     string // sealed; it may be given to the browser
	Requirements any    // the provider's mfa_requirements, as decoded JSON
}

// Unwrap returns the AccessTokenError that this error is.
func (e *MFARequiredError) Unwrap() error { return &e.AccessTokenError }

// SessionExpiredError is returned when a login arrives with a ceiling that is
// already reached, or when a logout overtook it.
type SessionExpiredError struct{ Message string }

// Error implements error.
func (e *SessionExpiredError) Error() string { return text(CodeSessionExpired, e.Message, nil) }

// Is reports whether target is ErrSessionExpired or a SessionExpiredError.
func (e *SessionExpiredError) Is(target error) bool {
	_, ok := target.(*SessionExpiredError) //nolint:errorlint // errors.Is unwraps
	return ok || CodeSessionExpired.is(target)
}

// APIError says that the provider refused, could not be reached or answered
// nonsense.
type APIError struct {
	Code        Code   // the OAuth error code (RFC 6749 section 5.2) or one of ours
	Description string // error_description
	Status      int    // HTTP status, 0 when there was no answer
	Err         error  // cause, nil when there is none
}

// Error implements error.
func (e *APIError) Error() string {
	s := text(e.Code, e.Description, e.Err)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP status %d)", e.Status)
	}
	return s
}

// Unwrap returns the cause.
func (e *APIError) Unwrap() error { return e.Err }

// Is reports whether target is an APIError of the same code.
func (e *APIError) Is(target error) bool {
	t, ok := target.(*APIError) //nolint:errorlint // errors.Is unwraps
	return ok && t.Code == e.Code
}

// MissingRequiredArgumentError says which argument is missing.
type MissingRequiredArgumentError struct{ Argument string }

// Error implements error.
func (e *MissingRequiredArgumentError) Error() string {
	return "missing_required_argument_error: " + e.Argument + " is required"
}

// InvalidArgumentError says which argument cannot be used, and why.
type InvalidArgumentError struct{ Argument, Message string }

// Error implements error.
func (e *InvalidArgumentError) Error() string {
	return "invalid_argument: " + e.Argument + ": " + e.Message
}

// ConfigurationError says what is wrong with the configuration.
type ConfigurationError struct {
	Message string // names the field
	Err     error  // cause, nil when there is none
}

// Error implements error.
func (e *ConfigurationError) Error() string { return text(CodeConfiguration, e.Message, e.Err) }

// Unwrap returns the cause.
func (e *ConfigurationError) Unwrap() error { return e.Err }

// MissingTransactionError says that the login is unknown: never started here,
// already completed, or older than an hour.
type MissingTransactionError struct{}

// Error implements error.
func (e *MissingTransactionError) Error() string {
	return "missing_transaction_error: this login is unknown, was completed already or is too old; start it again"
}

// IssuerValidationError says that a token is from another issuer.
type IssuerValidationError struct{ Message string }

// Error implements error.
func (e *IssuerValidationError) Error() string {
	return text("issuer_validation_error", e.Message, nil)
}

// OrganizationTokenValidationError says that a login is not for the organization
// that was asked for.
type OrganizationTokenValidationError struct{ Message string }

// Error implements error.
func (e *OrganizationTokenValidationError) Error() string {
	return text("organization_token_validation_error", e.Message, nil)
}

// BackchannelLogoutError says why a logout token was refused.
type BackchannelLogoutError struct {
	Message string
	Err     error // cause, nil when there is none
}

// Error implements error.
func (e *BackchannelLogoutError) Error() string {
	return text("backchannel_logout_error", e.Message, e.Err)
}

// Unwrap returns the cause.
func (e *BackchannelLogoutError) Unwrap() error { return e.Err }
