package tokenward

import (
	"errors"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

type (
	// User holds the claims of the user who is signed in.
	User = session.User
	// Session is what GetSession shows of a session.
	Session = session.Session
	// SessionData holds the values that the application keeps in a session, each as JSON under a name of its own.
	SessionData = session.Data
	// Token is an access token.
	Token = session.Token
	// ConnectionToken is a token of an upstream connection.
	ConnectionToken = session.ConnectionToken
	// Limits bound what a Client does and keeps. The zero value of a field means its default.
	Limits = session.Limits
	// Key names a session in a store; it may be logged.
	Key = session.Key
	// Credentials authenticate a registered application.
	Credentials = idp.Credentials
	// Code is the word by which a program tells errors apart.
	Code = session.Code
)

// The types of errors, for errors.As; package session says what each means.
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
