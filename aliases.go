package tokenward

import (
	"errors"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

type (
	// User is a map[string]any of the claims of the user who is signed in, numbers as json.Number. Its methods read the
	// usual ones: Sub, Name, Email, EmailVerified, Picture, OrgID, SessionExpiry.
	User = session.User
	// Session is what GetSession shows of a session. Its fields are User (User), IDToken, RefreshToken and Domain (string),
	// TokenSets, ConnectionTokenSets, and Data (SessionData). Printed, logged or as JSON it shows no token.
	Session = session.Session
	// SessionData holds the values that the application keeps in a session, each as JSON under a name of its own.
	SessionData = session.Data
	// Token is an access token. Its fields are AccessToken, Audience, Scope (as granted) and ActualAudience (set when
	// the provider answered for another audience; string), and ExpiresAt (time.Time, UTC).
	Token = session.Token
	// ConnectionToken is a token of an upstream connection. Its fields are AccessToken, Connection, LoginHint and Scope
	// (string), and ExpiresAt (time.Time, UTC).
	ConnectionToken = session.ConnectionToken
	// Limits bound what a Client does and keeps. The zero value of a field means its default.
	Limits = session.Limits
	// Key names a session in a store; it may be logged.
	Key = session.Key
	// Credentials authenticate a registered application.
	Credentials = idp.Credentials
	// Code is the word, a string, by which a program tells errors apart. CodeOf returns an error's.
	Code = session.Code
)

// The types of errors, for errors.As of a pointer to one. They are aliases, and not types of their own, so that
// what the packages inside return matches. Fields, beside methods Error and ErrorCode:
//
//   - AccessTokenError, AccessTokenForConnectionError: Code, Message, Err (the cause)
//   - MFARequiredError: those of AccessTokenError, MFAToken (sealed), Requirements (decoded JSON)
//   - SessionExpiredError: Message
//   - APIError: Code (the provider's OAuth error code, RFC 6749 section 5.2, or one of package session), Description, Status (HTTP),
//     Err, RetryAfter
//
// Package session has those of the others.
//
//nolint:revive // one comment for all of them
type (
	AccessTokenError                 = session.AccessTokenError
	AccessTokenForConnectionError    = session.ConnectionTokenError
	CustomTokenExchangeError         = session.TokenExchangeError
	MFARequiredError                 = session.MFARequiredError
	SessionExpiredError              = session.SessionExpiredError
	APIError                         = session.APIError
	MissingRequiredArgumentError     = session.MissingRequiredArgumentError
	InvalidArgumentError             = session.InvalidArgumentError
	ConfigurationError               = session.ConfigurationError
	MissingTransactionError          = session.MissingTransactionError
	IssuerValidationError            = session.IssuerValidationError
	OrganizationTokenValidationError = session.OrganizationTokenValidationError
	DomainResolverError              = session.DomainResolverError
	BackchannelLogoutError           = session.BackchannelLogoutError
)

// Codes of AccessTokenError and AccessTokenForConnectionError. Package session has those of the other types.
const (
	CodeMissingRefreshToken  = session.CodeMissingRefreshToken  // "missing_refresh_token"
	CodeRefreshTokenError    = session.CodeRefreshTokenError    // "refresh_token_error"
	CodeSessionExpired       = session.CodeSessionExpired       // "session_expired"
	CodeMissingSession       = session.CodeMissingSession       // "missing_session"
	CodeMissingSessionDomain = session.CodeMissingSessionDomain // "missing_session_domain"
	CodeDomainMismatch       = session.CodeDomainMismatch       // "domain_mismatch"
	CodeIncorrectAudience    = session.CodeIncorrectAudience    // "incorrect_audience"
	CodeMFARequired          = session.CodeMFARequired          // "mfa_required"
	CodeAPIError             = session.CodeAPIError             // "api_error"
	CodeRetrievalError       = session.CodeRetrievalError       // "retrieval_error"
	CodeOverloaded           = session.CodeOverloaded           // "overloaded"
	CodeClosed               = session.CodeClosed               // "closed"
	CodeStoreError           = session.CodeStoreError           // "store_error"
	CodeInternalError        = session.CodeInternalError        // "internal_error"
	CodeSessionTooLarge      = session.CodeSessionTooLarge      // "session_too_large"
)

// Errors, for errors.Is. Each also matches every error type of the same code.
var (
	ErrSessionExpired      = session.ErrSessionExpired
	ErrMissingRefreshToken = session.ErrMissingRefreshToken
	ErrMissingSession      = session.ErrMissingSession
	ErrOverloaded          = session.ErrOverloaded
	ErrClosed              = session.ErrClosed
	ErrStore               = session.ErrStore
	ErrInternal            = session.ErrInternal
)

// Ways in which the client authenticates at the provider.
const (
	ClientSecretBasic = idp.ClientSecretBasic // HTTP Basic
	ClientSecretPost  = idp.ClientSecretPost  // in the form
	PublicClient      = idp.PublicClient      // not at all: PKCE alone protects the code

	TLSClientAuth           = idp.TLSClientAuth           // by a certificate that an authority issued
	SelfSignedTLSClientAuth = idp.SelfSignedTLSClientAuth // by a certificate that the provider knows
)

// CodeOf returns the code of err, "" when it has none.
func CodeOf(err error) Code { return session.CodeOf(err) }

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
