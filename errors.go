package tokenward

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tokenward/tokenward/internal/logging"
	"github.com/tokenward/tokenward/session"
)

// Code is the word, a string, by which a program tells errors apart: CodeOf(err) == CodeOverloaded. LoginRequired puts together
// those after which the user must sign in again.
//
// Of an *AccessTokenError and an *AccessTokenForConnectionError:
//
//	missing_refresh_token    there is no session, or it has no refresh token (ErrMissingRefreshToken)
//	refresh_token_error      the refresh failed; the cause, an *APIError, says why
//	session_expired          the session has reached its ceiling (ErrSessionExpired)
//	missing_session          the session ended while the call waited, or there is none to update or to serve (ErrMissingSession)
//	missing_session_domain   there is a resolver, and no session, or one whose issuer or client id is unknown
//	domain_mismatch          the session belongs to another issuer or client id than the call
//	incorrect_audience       the provider answered for another audience (ProviderConfig.StrictAudience)
//	mfa_required             an *MFARequiredError: the provider wants a second factor first
//	api_error                the provider refused a connection's token
//	retrieval_error          a connection's token could not be had; the cause says why
//	overloaded               one of Limits is reached; try again later (ErrOverloaded)
//	closed                   the Client is closed (ErrClosed)
//	store_error              the store did not answer; try again later (ErrStore)
//	internal_error           a defect was met and contained; try again later (ErrInternal)
//	session_too_large        the token does not fit into the cookies of WithStatelessSessions
//	failed_to_request_token  of MachineToken; the cause says why
//
// Of a *CustomTokenExchangeError:
//
//	invalid_token_format      a token cannot be one; nothing was sent
//	missing_actor_token_type  the actor token has no type; nothing was sent
//	token_exchange_failed     the provider refused, could not be reached or answered nonsense
//
// Of an *APIError. Every other one is the provider's own (RFC 6749 section 5.2):
//
//	metadata_error       the provider's metadata could not be had
//	token_error          a token request failed; the provider's code, if it gave one, is that of the cause
//	par_error            a pushed login (RFC 9126) failed, and the provider gave no code
//	invalid_response     the answer cannot be read, or lacks what it must have
//	invalid_token        an ID or logout token is malformed, or lacks a claim
//	invalid_signature    its signature does not fit
//	invalid_audience     it is for another client
//	token_expired        it has expired, or is too old
//	jwks_key_not_found   the provider has no key for it
//	jwks_fetch_error     the provider's keys could not be had
//	missing_jwks_uri     the provider's metadata names no keys
//	invalid_grant        to a refresh: the refresh token is expired, revoked or was used before
//	invalid_client       the provider does not accept the client's authentication
//	unauthorized_client  the provider does not allow the client this grant
//
// Of a type that has this one only:
//
//	missing_required_argument_error      *MissingRequiredArgumentError
//	invalid_argument                     *InvalidArgumentError
//	configuration_error                  *ConfigurationError
//	missing_transaction_error            *MissingTransactionError
//	issuer_validation_error              *IssuerValidationError
//	organization_token_validation_error  *OrganizationTokenValidationError
//	backchannel_logout_error             *BackchannelLogoutError
//	domain_resolver_error                *DomainResolverError
//	login_refused                        *LoginRefusedError
//	insufficient_user_authentication     *StepUpError (RFC 9470)
type Code = session.Code

// The codes, in the order of the comment of Code: of *AccessTokenError and *AccessTokenForConnectionError, of *CustomTokenExchangeError,
// of *APIError, and of the types that have one only.
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
	CodeFailedToRequestToken Code = "failed_to_request_token"

	CodeInvalidTokenFormat    Code = "invalid_token_format"
	CodeMissingActorTokenType Code = "missing_actor_token_type"
	CodeTokenExchangeFailed   Code = "token_exchange_failed"

	CodeMetadataError      Code = "metadata_error"
	CodeTokenError         Code = "token_error"
	CodePARError           Code = "par_error"
	CodeInvalidResponse    Code = "invalid_response"
	CodeInvalidToken       Code = "invalid_token"
	CodeInvalidSignature   Code = "invalid_signature"
	CodeInvalidAudience    Code = "invalid_audience"
	CodeTokenExpired       Code = "token_expired"
	CodeJWKSKeyNotFound    Code = "jwks_key_not_found"
	CodeJWKSFetchError     Code = "jwks_fetch_error"
	CodeMissingJWKSURI     Code = "missing_jwks_uri"
	CodeInvalidGrant       Code = "invalid_grant"
	CodeInvalidClient      Code = "invalid_client"
	CodeUnauthorizedClient Code = "unauthorized_client"

	CodeMissingRequiredArgument     Code = "missing_required_argument_error"
	CodeInvalidArgument             Code = "invalid_argument"
	CodeConfiguration               Code = "configuration_error"
	CodeMissingTransaction          Code = "missing_transaction_error"
	CodeIssuerValidation            Code = "issuer_validation_error"
	CodeOrganizationTokenValidation Code = "organization_token_validation_error"
	CodeBackchannelLogout           Code = "backchannel_logout_error"
	CodeDomainResolver              Code = "domain_resolver_error"
	CodeLoginRefused                Code = "login_refused"
	CodeStepUp                      Code = "insufficient_user_authentication"
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

// The types of errors, for errors.As of a pointer to one. They are aliases, so that errors.As finds what the packages inside
// return. Each lists its fields; each has the method ErrorCode, which returns its Code.
type (
	// AccessTokenError says that no access token can be had.
	//
	//	Code    Code
	//	Message string
	//	Err     error // cause, nil when there is none
	AccessTokenError = session.AccessTokenError

	// AccessTokenForConnectionError says that no token of a connection can be had.
	//
	//	Code    Code
	//	Message string
	//	Err     error // cause, nil when there is none
	AccessTokenForConnectionError = session.ConnectionTokenError

	// CustomTokenExchangeError says that a token cannot be exchanged (RFC 8693).
	//
	//	Code    Code
	//	Message string
	//	Err     error // cause, nil when there is none
	CustomTokenExchangeError = session.TokenExchangeError

	// MFARequiredError is an AccessTokenError, also for errors.As: the provider wants a second factor before it refreshes.
	//
	//	AccessTokenError
	//	MFAToken     string // sealed; it may be given to the browser
	//	Requirements any    // the provider's mfa_requirements, as decoded JSON
	MFARequiredError = session.MFARequiredError

	// SessionExpiredError says that a login came with a ceiling that is already reached, or that a logout overtook it.
	//
	//	Message string
	SessionExpiredError = session.SessionExpiredError

	// APIError says that the provider refused, could not be reached or answered nonsense.
	//
	//	Code        Code          // the OAuth error code (RFC 6749 section 5.2) or one of ours
	//	Description string        // error_description
	//	Status      int           // HTTP status, 0 when there was no answer
	//	Err         error         // cause, nil when there is none
	//	RetryAfter  time.Duration // until another try is worth it (RFC 9110 section 10.2.3), 0 where that is unknown
	APIError = session.APIError

	// BreakerOpenError is the cause of an error for which the provider was not asked, for its last requests have failed
	// (WithBreaker). The user need not sign in again.
	//
	//	Issuer     string        // of the provider
	//	Until      time.Time     // when the provider is asked again, at the earliest
	//	RetryAfter time.Duration // how long that was from when the error was made
	BreakerOpenError = session.BreakerOpenError

	// MissingRequiredArgumentError says which argument is missing.
	//
	//	Argument string
	MissingRequiredArgumentError = session.MissingRequiredArgumentError

	// InvalidArgumentError says which argument cannot be used, and why.
	//
	//	Argument string
	//	Message  string
	InvalidArgumentError = session.InvalidArgumentError

	// ConfigurationError names a mistake in the configuration.
	//
	//	Message string // names the field or option
	//	Err     error  // cause, nil when there is none
	ConfigurationError = session.ConfigurationError

	// MissingTransactionError says that a login is unknown: never started here, already completed, or older than an hour.
	MissingTransactionError = session.MissingTransactionError

	// IssuerValidationError says that a token, or the authorization response, is from another issuer.
	//
	//	Message  string
	//	Callback bool // it was the authorization response (RFC 9207), not a token
	IssuerValidationError = session.IssuerValidationError

	// OrganizationTokenValidationError says that a login is not for the organization that was asked for.
	//
	//	Message string
	OrganizationTokenValidationError = session.OrganizationTokenValidationError

	// DomainResolverError says that the host's resolver named no domain or registration.
	//
	//	Message string
	//	Err     error // cause, nil when there is none
	DomainResolverError = session.DomainResolverError

	// BackchannelLogoutError says why a logout token was refused.
	//
	//	Message string
	//	Err     error // cause, nil when there is none
	BackchannelLogoutError = session.BackchannelLogoutError
)

// CodeOf returns the code of err: the outermost one in what err wraps, "" when there is none.
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

// noteRefused logs a login that has failed for what its operator alone can mend: the provider refuses the application, or its
// answer does not fit the configuration. What any stranger can cause as often as it likes has a limit of a line a minute: what fails at the start of
// a login (startSaid), and what a browser may have made up, its callback or the code in it (callbackSaid). A nil limit is none.
func (c *Client) noteRefused(ctx context.Context, err error, limit *eachMinute) {
	said := "a login failed: the provider refuses this application, or its answer does not fit; see its configuration there and here"
	code := Code("")
	switch api := session.Innermost(err); {
	case api != nil && api.Code == session.CodeMetadataError && api.Err != nil: // without a cause it is a browser's word
		if ctx.Err() != nil {
			return // its caller has gone, and the provider may be well
		}
		limit, code, said = &c.startSaid, api.Code, "a login failed: the provider's metadata could not be had; if it is not down, see Config.Issuer or Config.Domain"
	case api != nil && mendable(err, api):
		if code = api.Code; code == session.CodeInvalidGrant {
			limit = &c.callbackSaid // a code that is made up is refused so
		}
	case errors.As(err, new(*IssuerValidationError)):
		code = CodeOf(err)
	}
	if code != "" && (limit == nil || limit.due(c.clock.Mono())) {
		c.log.Warn(said, logging.Of(ctx), zap.String("code", string(code)), zap.Error(err))
	}
}

// eachMinute says when something may be logged that any stranger can cause: once a minute.
type eachMinute struct{ next atomic.Int64 } // by the monotonic clock; 0: at once

// due reports whether it may be logged at now, and counts that as done.
func (e *eachMinute) due(now time.Duration) bool {
	next := e.next.Load()
	return int64(now) >= next && e.next.CompareAndSwap(next, int64(now+time.Minute))
}

// mendable reports whether an operator can mend what a login has failed for: not the user, the moment, or a provider that does not work.
func mendable(err error, api *APIError) bool {
	switch api.Code {
	case "access_denied", session.CodeJWKSFetchError, session.CodeOverloaded:
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
