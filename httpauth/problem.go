package httpauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/tokenward/tokenward"
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

// WriteError answers with err as JSON: {"error": CODE, "error_description": TEXT}, for a
// failed token request also "cause": {"error": OAUTH_CODE, "status": HTTP_STATUS}. The
// status is that of StatusOf.
func WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	p := problem{Error: tokenward.CodeOf(err), Description: describe(err)}
	if p.Error == "" {
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
	write(w, StatusOf(err), p)
}

// describe returns what err says, without its cause: that is for the server's log.
func describe(err error) string {
	var token *tokenward.AccessTokenError
	var connection *tokenward.AccessTokenForConnectionError
	var logout *tokenward.BackchannelLogoutError
	var resolver *tokenward.DomainResolverError
	var api *tokenward.APIError
	var config *tokenward.ConfigurationError
	switch {
	case errors.As(err, &token):
		err = &tokenward.AccessTokenError{Code: token.Code, Message: token.Message}
	case errors.As(err, &connection):
		err = &tokenward.AccessTokenForConnectionError{Code: connection.Code, Message: connection.Message}
	case errors.As(err, &logout):
		err = &tokenward.BackchannelLogoutError{Message: logout.Message}
	case errors.As(err, &resolver):
		err = &tokenward.DomainResolverError{Message: resolver.Message}
	case errors.As(err, &api):
		err = &tokenward.APIError{Code: api.Code, Description: api.Description, Status: api.Status}
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
// must do, 502 for the provider's faults, 503 for what will pass.
func StatusOf(err error) int {
	var own *handlerError
	if errors.As(err, &own) {
		return own.status
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		return http.StatusBadRequest
	}
	switch tokenward.CodeOf(err) {
	case "session_expired", "missing_session", "missing_refresh_token", "missing_session_domain":
		return http.StatusUnauthorized
	case "mfa_required", "domain_mismatch", "incorrect_audience":
		return http.StatusForbidden
	case "missing_transaction_error", "missing_required_argument_error", "invalid_argument", "backchannel_logout_error":
		return http.StatusBadRequest
	case "overloaded", "store_error", "closed":
		return http.StatusServiceUnavailable
	case "internal_error", "":
		return http.StatusInternalServerError
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

func writeError(w http.ResponseWriter, status int, code tokenward.Code, text string) {
	write(w, status, problem{Error: code, Description: text})
}

func write(w http.ResponseWriter, status int, p problem) {
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func acceptsHTML(accept string) bool { return strings.Contains(accept, "text/html") }
