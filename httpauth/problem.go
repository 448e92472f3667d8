package httpauth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/session"
)

// problem is how an error is written.
type problem struct {
	Error       tokenward.Code `json:"error"`
	Description string         `json:"error_description"`
	Cause       *cause         `json:"cause,omitempty"`

	MFAToken        string `json:"mfa_token,omitempty"`
	MFARequirements any    `json:"mfa_requirements,omitempty"`
}

// handlerError is an error of the handlers, who ask the client nothing then.
type handlerError struct {
	status int
	code   tokenward.Code
	text   string
}

// ErrorCode returns the code, for tokenward.CodeOf.
func (e *handlerError) ErrorCode() tokenward.Code { return e.code }

// Error implements error.
func (e *handlerError) Error() string { return e.text }

// cause is what the provider said.
type cause struct {
	Error  tokenward.Code `json:"error,omitempty"`
	Status int            `json:"status,omitempty"`
}

// WriteError answers with err, with the status of StatusOf. A browser that navigates gets a small page, which says what
// to do and leads to the login where it knows it: in the handlers, and behind Attach and Require. Every other
// request gets JSON: {"error": CODE, "error_description": TEXT}, for a failed token request also
// "cause": {"error": OAUTH_CODE, "status": HTTP_STATUS}.
//
// A 401 has the challenge of RFC 6750 section 3: Bearer with a realm, for the application's API is what a session
// opens. Its error is invalid_token where the session has reached its ceiling, has no refresh token (any more), or the provider refuses
// to refresh it; where there is no session, there is no error. Browsers ask for no password then. A 503, and what the provider wants
// repeated later only, has Retry-After (RFC 9110 section 10.2.3) in seconds.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	status := StatusOf(err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(err))
	}
	if wait := retryAfter(err, status); wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	if wantsPage(r) {
		writePage(w, status, "error", errorPage(r, err, status), false)
		return
	}
	write(w, status, problemOf(err))
}

const noCredential = `Bearer realm="session"`

// challenge returns the WWW-Authenticate of a 401.
func challenge(err error) string {
	if need := new(tokenward.StepUpError); errors.As(err, &need) {
		return stepUpChallenge(need)
	}
	switch code := tokenward.CodeOf(err); {
	case code == "session_expired", code == "refresh_token_error", session.HasNoRefreshToken(err):
		return noCredential + `, error="invalid_token"`
	}
	return noCredential
}

// retryAfter returns when a request that failed with err is worth another try, 0 where that is unknown.
func retryAfter(err error, status int) time.Duration {
	var api *tokenward.APIError
	for cause := err; errors.As(cause, &api); cause = api.Err {
		if api.RetryAfter > 0 {
			return api.RetryAfter
		}
	}
	var open *tokenward.BreakerOpenError
	if errors.As(err, &open) {
		return max(open.RetryAfter, time.Second)
	}
	if status == http.StatusServiceUnavailable {
		return time.Second
	}
	return 0
}

func problemOf(err error) problem {
	p := problem{Error: tokenward.CodeOf(err), Description: describe(err)}
	switch {
	case p.Error != "":
	case errors.Is(err, context.DeadlineExceeded):
		p.Error, p.Description = "deadline_exceeded", "the request could not be answered in its time; try again later"
	case errors.Is(err, context.Canceled):
		p.Error, p.Description = "canceled", "the request was given up; try again later"
	case isUpstream(err):
		p.Error, p.Description = "bad_gateway", "a server that this needs cannot be reached; try again later"
	default:
		p.Error, p.Description = "internal_error", "the request could not be answered"
	}
	var api *tokenward.APIError
	if errors.As(err, &api) && (api.Code != p.Error || api.Status != 0) {
		for inner := api; inner != nil; {
			p.Cause = &cause{inner.Code, inner.Status}
			var deeper *tokenward.APIError
			if !errors.As(inner.Err, &deeper) {
				break
			}
			inner = deeper
		}
	}
	var mfa *tokenward.MFARequiredError
	if errors.As(err, &mfa) {
		p.MFAToken, p.MFARequirements = mfa.MFAToken, mfa.Requirements
	}
	return p
}

// describe returns what err says, without its cause: that is for the server's log.
func describe(err error) string {
	var token *tokenward.AccessTokenError
	var connection *tokenward.AccessTokenForConnectionError
	var exchange *tokenward.CustomTokenExchangeError
	var logout *tokenward.BackchannelLogoutError
	var resolver *tokenward.DomainResolverError
	var api *tokenward.APIError
	var config *tokenward.ConfigurationError
	switch {
	case errors.As(err, &token):
		err = &tokenward.AccessTokenError{Code: token.Code, Message: token.Message}
	case errors.As(err, &connection):
		err = &tokenward.AccessTokenForConnectionError{Code: connection.Code, Message: connection.Message}
	case errors.As(err, &exchange):
		err = &tokenward.CustomTokenExchangeError{Code: exchange.Code, Message: exchange.Message}
	case errors.As(err, &logout):
		err = &tokenward.BackchannelLogoutError{Message: logout.Message}
	case errors.As(err, &resolver):
		err = &tokenward.DomainResolverError{Message: resolver.Message}
	case errors.As(err, &api):
		err = &tokenward.APIError{Code: api.Code, Description: api.Description, Status: api.Status}
	case errors.As(err, new(*tokenward.LoginRefusedError)):
		err = &tokenward.LoginRefusedError{}
	case errors.As(err, &config):
		err = &tokenward.ConfigurationError{Message: config.Message}
	case errors.Is(err, tokenward.ErrStore):
		err = tokenward.ErrStore
	case errors.Is(err, tokenward.ErrInternal):
		err = tokenward.ErrInternal
	}
	return err.Error()
}

// StatusOf returns the HTTP status that answers err: 4xx for what the browser brought or
// must do, 401 among them wherever tokenward.LoginRequired says so, 502 for the provider's faults, 503 for
// what will pass, also where the call's own context was cancelled, and 504 where its deadline has passed. An error of an
// http.Client that is not tokenward's is 502: the API cannot be reached.
// The error of an RPC is turned into one of tokenward by grpcauth.FromError first.
func StatusOf(err error) int {
	var own *handlerError
	if errors.As(err, &own) {
		return own.status
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		return http.StatusBadRequest
	}
	if tokenward.LoginRequired(err) {
		return http.StatusUnauthorized
	}
	switch tokenward.CodeOf(err) {
	case "session_expired", "missing_session", "missing_refresh_token", "missing_session_domain", codeStepUp:
		return http.StatusUnauthorized
	case "login_refused", "mfa_required", "domain_mismatch", "incorrect_audience":
		return http.StatusForbidden
	case "missing_transaction_error", "missing_required_argument_error", "invalid_argument", "backchannel_logout_error",
		"invalid_token_format", "missing_actor_token_type":
		return http.StatusBadRequest
	case "overloaded", "store_error", "closed":
		return http.StatusServiceUnavailable
	case "internal_error", "session_too_large":
		return http.StatusInternalServerError
	case "":
		return uncodedStatus(err)
	}
	return providerStatus(err)
}

// providerStatus returns the status of an error that came of dealing with the provider, or of a mistake in the configuration.
func providerStatus(err error) int {
	if errors.As(err, new(*tokenward.BreakerOpenError)) {
		return http.StatusServiceUnavailable
	}
	var config *tokenward.ConfigurationError
	var issuer *tokenward.IssuerValidationError
	if errors.As(err, &issuer) && issuer.Callback {
		return http.StatusBadRequest
	}
	if errors.As(err, &config) && !errors.As(err, new(*tokenward.APIError)) && !errors.As(err, &issuer) {
		return http.StatusInternalServerError
	}
	return http.StatusBadGateway
}

// uncodedStatus returns the status of an error that is not tokenward's.
func uncodedStatus(err error) int {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case isUpstream(err):
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

// isUpstream reports whether err, which has no code, is of a request to another server, such as an API, that has failed.
func isUpstream(err error) bool {
	var failed *url.Error
	return errors.As(err, &failed) && failed.Op != "parse" && tokenward.CodeOf(err) == ""
}

func write(w http.ResponseWriter, status int, p problem) {
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func acceptsHTML(accept string) bool { return strings.Contains(accept, "text/html") }
