package session_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tokenward/tokenward/session"
)

func TestCodeOf(t *testing.T) {
	tests := []struct {
		err  error
		want session.Code
	}{
		{nil, ""},
		{io.EOF, ""},
		{&session.MissingRequiredArgumentError{Argument: "state"}, "missing_required_argument_error"},
		{&session.InvalidArgumentError{Argument: "organization", Message: "only white space"}, "invalid_argument"},
		{&session.ConfigurationError{Message: "Domain is missing"}, "configuration_error"},
		{&session.MissingTransactionError{}, "missing_transaction_error"},
		{&session.APIError{Code: "invalid_grant"}, "invalid_grant"},
		{&session.IssuerValidationError{}, "issuer_validation_error"},
		{&session.OrganizationTokenValidationError{}, "organization_token_validation_error"},
		{&session.SessionExpiredError{}, "session_expired"},
		{&session.AccessTokenError{Code: session.CodeStoreError}, "store_error"},
		{&session.MFARequiredError{}, "mfa_required"},
		{&session.ConnectionTokenError{Code: session.CodeAPIError}, "api_error"},
		{&session.BackchannelLogoutError{}, "backchannel_logout_error"},
		{&session.DomainResolverError{}, "domain_resolver_error"},

		{session.ErrSessionExpired, "session_expired"},
		{session.ErrMissingRefreshToken, "missing_refresh_token"},
		{session.ErrMissingSession, "missing_session"},
		{session.ErrOverloaded, "overloaded"},
		{session.ErrClosed, "closed"},
		{session.ErrStore, "store_error"},
		{session.ErrInternal, "internal_error"},

		{fmt.Errorf("refresh: %w", session.ErrClosed), "closed"},
		{errors.Join(io.EOF, session.ErrOverloaded, session.ErrClosed), "overloaded"},
		{&session.AccessTokenError{Code: session.CodeRefreshTokenError, Err: &session.APIError{Code: "invalid_grant"}}, "refresh_token_error"},
		{&session.BackchannelLogoutError{Err: &session.IssuerValidationError{}}, "backchannel_logout_error"},
		{&session.APIError{Err: session.ErrClosed}, "closed"}, // one without a code hides none
	}
	for _, tt := range tests {
		if got := session.CodeOf(tt.err); got != tt.want {
			t.Errorf("CodeOf(%v) = %q, want %q", tt.err, got, tt.want)
		}
		wrapped := fmt.Errorf("outer: %w", tt.err)
		if got := session.CodeOf(wrapped); tt.err != nil && got != tt.want {
			t.Errorf("CodeOf(%v) = %q, want %q", wrapped, got, tt.want)
		}
	}
}

func TestErrors_matchThroughWrapping(t *testing.T) {
	expired := &session.AccessTokenError{Code: session.CodeSessionExpired}
	tests := []struct {
		name   string
		err    error
		target error
		want   bool
	}{
		{"expired, by sentinel", expired, session.ErrSessionExpired, true},
		{"expired at login, by sentinel", &session.SessionExpiredError{}, session.ErrSessionExpired, true},
		{"expired at login, by type", &session.SessionExpiredError{Message: "x"}, &session.SessionExpiredError{}, true},
		{"expired, by code", expired, &session.AccessTokenError{Code: session.CodeSessionExpired}, true},
		{"another code", expired, session.ErrClosed, false},
		{"another code of the type", expired, &session.AccessTokenError{Code: session.CodeClosed}, false},
		{"connection, by sentinel", &session.ConnectionTokenError{Code: session.CodeMissingRefreshToken}, session.ErrMissingRefreshToken, true},
		{"connection is not access", &session.ConnectionTokenError{Code: session.CodeClosed}, &session.AccessTokenError{Code: session.CodeClosed}, false},
		{"mfa, by code", &session.MFARequiredError{}, &session.AccessTokenError{Code: session.CodeMFARequired}, true},
		{"mfa, another code", &session.MFARequiredError{}, &session.AccessTokenError{Code: session.CodeClosed}, false},
		{"cause", &session.AccessTokenError{Code: session.CodeRefreshTokenError, Err: &session.APIError{Code: "invalid_grant", Status: 403}}, &session.APIError{Code: "invalid_grant"}, true},
		{"cause of mfa", &session.MFARequiredError{AccessTokenError: session.AccessTokenError{Err: io.EOF}}, io.EOF, true},
		{"cause of a logout token", &session.BackchannelLogoutError{Err: &session.IssuerValidationError{}}, &session.IssuerValidationError{}, true},
		{"logout token", &session.BackchannelLogoutError{Message: "x"}, &session.BackchannelLogoutError{}, true},
		{"argument", &session.MissingRequiredArgumentError{Argument: "state"}, &session.MissingRequiredArgumentError{}, true},
		{"this argument", &session.MissingRequiredArgumentError{Argument: "state"}, &session.MissingRequiredArgumentError{Argument: "state"}, true},
		{"another argument", &session.MissingRequiredArgumentError{Argument: "state"}, &session.MissingRequiredArgumentError{Argument: "code"}, false},
		{"invalid argument", &session.InvalidArgumentError{Argument: "a"}, &session.InvalidArgumentError{}, true},
		{"configuration", &session.ConfigurationError{Err: io.EOF}, io.EOF, true},
		{"configuration, by type", &session.ConfigurationError{Message: "x"}, &session.ConfigurationError{}, true},
		{"transaction", &session.MissingTransactionError{}, &session.MissingTransactionError{}, true},
		{"organization", &session.OrganizationTokenValidationError{Message: "x"}, &session.OrganizationTokenValidationError{}, true},
		{"resolver", &session.DomainResolverError{Err: io.EOF}, io.EOF, true},
		{"resolver, by type", &session.DomainResolverError{Message: "x"}, &session.DomainResolverError{}, true},
		{"types differ", &session.MissingTransactionError{}, &session.ConfigurationError{}, false},
	}
	for _, tt := range tests {
		if got := errors.Is(fmt.Errorf("outer: %w", tt.err), tt.target); got != tt.want {
			t.Errorf("%s: errors.Is = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestMFARequiredError_isAnAccessTokenError(t *testing.T) {
	err := fmt.Errorf("outer: %w", &session.MFARequiredError{
		AccessTokenError: session.AccessTokenError{Code: session.CodeMFARequired},
		MFAToken:         "sealed-mfa-token",
	})
	var access *session.AccessTokenError
	if !errors.As(err, &access) || access.Code != session.CodeMFARequired {
		t.Errorf("errors.As(*AccessTokenError) gave %v", access)
	}
	var mfa *session.MFARequiredError
	if !errors.As(err, &mfa) || mfa.MFAToken != "sealed-mfa-token" {
		t.Errorf("errors.As(*MFARequiredError) gave %v", mfa)
	}
	if s := fmt.Sprintf("%v %+v %#v", mfa, mfa, mfa); strings.Contains(s, "sealed-mfa-token") {
		t.Errorf("it prints its MFA token: %s", s)
	}
}

func TestErrors_sayWhatToDo(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&session.AccessTokenError{Code: session.CodeSessionExpired}, "session_expired: the session has reached its ceiling; start a new login"},
		{&session.SessionExpiredError{}, "session_expired: the session has reached its ceiling; start a new login"},
		{&session.ConnectionTokenError{Code: session.CodeAPIError, Message: "no such account"}, "api_error: no such account"},
		{&session.APIError{Code: "invalid_grant", Description: "reused", Status: 403}, "invalid_grant: reused (HTTP status 403)"},
		{
			&session.APIError{Code: "token_error", Status: 403, Err: &session.APIError{Code: "invalid_grant", Status: 403}},
			"token_error: invalid_grant (HTTP status 403)",
		},
		{&session.AccessTokenError{Code: session.CodeStoreError, Err: io.EOF}, "store_error: the store did not answer; try again later: EOF"},
		{&session.MissingRequiredArgumentError{Argument: "connection"}, "missing_required_argument_error: connection is required"},
		{&session.InvalidArgumentError{Argument: "organization", Message: "only white space"}, "invalid_argument: organization: only white space"},
		{&session.ConfigurationError{Message: "Domain is missing"}, "configuration_error: Domain is missing"},
		{&session.MissingTransactionError{}, "missing_transaction_error: this login is unknown, was completed already or is too old; start it again"},
		{&session.IssuerValidationError{Message: "x"}, "issuer_validation_error: x"},
		{&session.OrganizationTokenValidationError{Message: "x"}, "organization_token_validation_error: x"},
		{&session.BackchannelLogoutError{Message: "x", Err: io.EOF}, "backchannel_logout_error: x: EOF"},
		{&session.DomainResolverError{Message: "x"}, "domain_resolver_error: x"},
		{&session.MFARequiredError{}, "mfa_required: the provider wants a second factor; challenge the user with the MFA token"},
		{session.ErrClosed, "closed: the client is closed"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%T says %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestRefreshFailure(t *testing.T) {
	mfa := &session.MFARequiredError{}
	overloaded := &session.AccessTokenError{Code: session.CodeOverloaded}
	tests := []struct {
		name string
		err  error
		want session.Code
		same bool // returned as it is
	}{
		{"nothing", nil, "", true},
		{"refused", &session.APIError{Code: "invalid_grant", Status: 403}, session.CodeRefreshTokenError, false},
		{"mfa without a token", &session.APIError{Code: "mfa_required", Status: 403}, session.CodeRefreshTokenError, false},
		{"network", io.ErrUnexpectedEOF, session.CodeRefreshTokenError, false},
		{"no client authentication", &session.ConfigurationError{}, session.CodeRefreshTokenError, false},
		{"mfa", mfa, session.CodeMFARequired, true},
		{"ours already", overloaded, session.CodeOverloaded, true},
	}
	for _, tt := range tests {
		got := session.RefreshFailure(tt.err)
		if session.CodeOf(got) != tt.want || (got == tt.err) != tt.same { //nolint:errorlint // the very same
			t.Errorf("%s: RefreshFailure(%v) = %v", tt.name, tt.err, got)
		}
		var access *session.AccessTokenError
		if tt.err != nil && (!errors.As(got, &access) || !errors.Is(got, tt.err)) {
			t.Errorf("%s: %v is no AccessTokenError, or lost its cause", tt.name, got)
		}
	}
}

func TestExchangeFailure(t *testing.T) {
	refused := &session.APIError{Code: "invalid_request", Description: "no such account", Status: 400}
	config := &session.ConfigurationError{Message: "no client authentication"}
	known := &session.ConnectionTokenError{Code: session.CodeClosed}
	tests := []struct {
		name string
		err  error
		want session.Code
		text string // of the message
	}{
		{"nothing", nil, "", ""},
		{"refused", refused, session.CodeAPIError, "api_error: no such account: invalid_request: no such account (HTTP status 400)"},
		{"refused, wrapped", fmt.Errorf("exchange: %w", refused), session.CodeAPIError, ""},
		{"no answer", &session.APIError{Code: session.CodeTokenError, Err: io.EOF}, session.CodeRetrievalError, ""},
		{"created", &session.APIError{Code: session.CodeInvalidResponse, Status: 201}, session.CodeAPIError, ""},
		{"no content", &session.APIError{Code: session.CodeInvalidResponse, Status: 204}, session.CodeAPIError, ""},
		{"nonsense with status 200", &session.APIError{Code: session.CodeInvalidResponse, Status: 200}, session.CodeRetrievalError, ""},
		{"discovery answered 503", &session.APIError{Code: session.CodeMetadataError, Status: 503}, session.CodeRetrievalError, ""},
		{"network", io.EOF, session.CodeRetrievalError, ""},
		{"ours already", known, session.CodeClosed, ""},
		{"configuration", fmt.Errorf("exchange: %w", config), session.CodeConfiguration, config.Error()},
	}
	for _, tt := range tests {
		got := session.ExchangeFailure(tt.err)
		if session.CodeOf(got) != tt.want || (tt.text != "" && got.Error() != tt.text) {
			t.Errorf("%s: ExchangeFailure(%v) = %v", tt.name, tt.err, got)
		}
		if tt.err != nil && tt.want != session.CodeConfiguration && !errors.Is(got, tt.err) {
			t.Errorf("%s: %v lost its cause", tt.name, got)
		}
	}
}
