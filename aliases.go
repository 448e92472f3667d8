package tokenward

import (
	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// What calls return. See package session for each.
type (
	User            = session.User
	Session         = session.Session
	Token           = session.Token
	ConnectionToken = session.ConnectionToken
	Key             = session.Key
)

// Errors, for errors.As. See package session for each.
type (
	Code                             = session.Code
	AccessTokenError                 = session.AccessTokenError
	AccessTokenForConnectionError    = session.ConnectionTokenError
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
)

// CodeOf returns the code of err, "" when it has none.
func CodeOf(err error) Code { return session.CodeOf(err) }
