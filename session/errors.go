package session

import "errors"

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
	CodeSessionTooLarge      Code = "session_too_large"

	// CodeFailedToRequestToken is of a token that is not a session's (client credentials, RFC 6749 section 4.4).
	CodeFailedToRequestToken Code = "failed_to_request_token"
)

// Codes of TokenExchangeError.
const (
	CodeInvalidTokenFormat    Code = "invalid_token_format"     // a token cannot be one: nothing was sent
	CodeMissingActorTokenType Code = "missing_actor_token_type" // the actor token has no type
	CodeTokenExchangeFailed   Code = "token_exchange_failed"    // the provider refused, could not be reached or answered nonsense
)

// Codes of APIError that are ours; every other is the provider's OAuth error code.
const (
	CodeMetadataError    Code = "metadata_error"
	CodeTokenError       Code = "token_error"
	CodeConfiguration    Code = "configuration_error"
	CodePARError         Code = "par_error"
	CodeInvalidResponse  Code = "invalid_response"
	CodeInvalidToken     Code = "invalid_token"
	CodeInvalidSignature Code = "invalid_signature"
	CodeInvalidAudience  Code = "invalid_audience"
	CodeTokenExpired     Code = "token_expired"
	CodeJWKSKeyNotFound  Code = "jwks_key_not_found"
	CodeJWKSFetchError   Code = "jwks_fetch_error"
	CodeMissingJWKSURI   Code = "missing_jwks_uri"

	// CodeInvalidGrant is RFC 6749's: to a refresh it says that the refresh token is
	// expired, revoked or was used before.
	CodeInvalidGrant Code = "invalid_grant"

	// RFC 6749's codes for a client that the provider does not accept, whatever the token.
	CodeInvalidClient      Code = "invalid_client"
	CodeUnauthorizedClient Code = "unauthorized_client"
)

// Codes of the error types that have one only.
const (
	CodeMissingRequiredArgument     Code = "missing_required_argument_error"
	CodeInvalidArgument             Code = "invalid_argument"
	CodeMissingTransaction          Code = "missing_transaction_error"
	CodeIssuerValidation            Code = "issuer_validation_error"
	CodeOrganizationTokenValidation Code = "organization_token_validation_error"
	CodeBackchannelLogout           Code = "backchannel_logout_error"
	CodeDomainResolver              Code = "domain_resolver_error"
	CodeLoginRefused                Code = "login_refused"
	CodeStepUp                      Code = "insufficient_user_authentication"
)

// Sentinels for errors.Is. Each matches the error types of the same code.
var (
	ErrSessionExpired      = sentinel(CodeSessionExpired, "the session has reached its ceiling; start a new login")
	ErrMissingRefreshToken = sentinel(CodeMissingRefreshToken, "there is no session (any more); start a new login")
	ErrMissingSession      = sentinel(CodeMissingSession, "the session ended; start a new login")
	ErrOverloaded          = sentinel(CodeOverloaded, "a limit was reached; try again later")
	ErrClosed              = sentinel(CodeClosed, "the client is closed")
	ErrStore               = sentinel(CodeStoreError, "the store did not answer; try again later")
	ErrInternal            = sentinel(CodeInternalError, "a defect was met and contained; try again later")
)

// noRefreshToken is said where there is a session.
const noRefreshToken = "the session has no refresh token (any more); start a new login, with offline_access among the scopes"

// NoRefreshToken returns the error of a query of a session that lives and has no refresh token.
func NoRefreshToken(forConnection bool) error {
	if forConnection {
		return &ConnectionTokenError{Code: CodeMissingRefreshToken, Message: noRefreshToken, lives: true}
	}
	return &AccessTokenError{Code: CodeMissingRefreshToken, Message: noRefreshToken, lives: true}
}

// HasNoRefreshToken reports whether err is that of NoRefreshToken: CodeMissingRefreshToken is also said where there is no session.
func HasNoRefreshToken(err error) bool {
	var token *AccessTokenError
	var connection *ConnectionTokenError
	return errors.As(err, &token) && token.lives || errors.As(err, &connection) && connection.lives
}

type sentinelError struct {
	code Code
	text string
}

func sentinel(c Code, text string) error { return &sentinelError{c, text} }

// ErrorCode returns the code.
func (e *sentinelError) ErrorCode() Code { return e.code }

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

// CodeOf returns the code of err: the outermost one in what err wraps, "" when
// there is none.
func CodeOf(err error) Code {
	if coded, ok := err.(interface{ ErrorCode() Code }); ok {
		if code := coded.ErrorCode(); code != "" {
			return code
		}
	}
	switch wrapping := err.(type) { //nolint:errorlint // this is the unwrapping
	case interface{ Unwrap() error }:
		return CodeOf(wrapping.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range wrapping.Unwrap() {
			if code := CodeOf(inner); code != "" {
				return code
			}
		}
	}
	return ""
}
