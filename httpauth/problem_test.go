package httpauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
	"github.com/tokenward/tokenward/httpauth"
)

// What a browser is told has none of the causes: they are for the server's log.
func TestWriteError_showsNoCause(t *testing.T) {
	cause := errors.New("the-cause at db-1.internal")
	api := &tokenward.APIError{Code: "invalid_grant", Description: "gone", Status: 403, Err: cause}
	outage := &tokenward.APIError{Code: "temporarily_unavailable", Status: 503, Err: cause}
	tests := []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"a refresh", &tokenward.AccessTokenError{Code: "refresh_token_error", Err: outage}, 502, "refresh_token_error"},
		{"a refresh, for good", &tokenward.AccessTokenError{Code: "refresh_token_error", Err: api}, 401, "refresh_token_error"},
		{"an exchange", &tokenward.AccessTokenForConnectionError{Code: "api_error", Err: api}, 502, "api_error"},
		{"a store", fmt.Errorf("%w: %w", tokenward.ErrStore, cause), 503, "store_error"},
		{"a store, at a refresh", &tokenward.AccessTokenError{Code: "store_error", Err: cause}, 503, "store_error"},
		{"a defect", fmt.Errorf("%w: a panic (%w)", tokenward.ErrInternal, cause), 500, "internal_error"},
		{"a provider", api, 502, "invalid_grant"},
		{"a provider, in a host's words", fmt.Errorf("%w while %w", cause, api), 502, "invalid_grant"},
		{"a resolver", &tokenward.DomainResolverError{Message: "the domain resolver failed", Err: cause}, 502, "domain_resolver_error"},
		{"a logout token", &tokenward.BackchannelLogoutError{Message: "refused", Err: cause}, 400, "backchannel_logout_error"},
		{"a logout token that a provider cannot confirm", &tokenward.BackchannelLogoutError{Message: "refused", Err: api}, 400, "backchannel_logout_error"},
		{"a configuration", &tokenward.ConfigurationError{Message: "wrong", Err: cause}, 500, "configuration_error"},
		{"a host's own", cause, 500, "internal_error"},
		{"the time that the host gave", fmt.Errorf("%w: %w", cause, context.DeadlineExceeded), 504, "deadline_exceeded"},
		{"a call that the host gave up", fmt.Errorf("%w: %w", cause, context.Canceled), 503, "canceled"},
		{"an API that cannot be reached", &url.Error{Op: "Get", URL: "https://api.example.com/the-cause", Err: cause}, 502, "bad_gateway"},
		{"an API that took too long", &url.Error{Op: "Get", URL: "https://api.example.com", Err: context.DeadlineExceeded}, 504, "deadline_exceeded"},
		{"an API's address", &url.Error{Op: "parse", URL: "https://the-cause\n", Err: cause}, 500, "internal_error"},
		{"no token for an API", &url.Error{Op: "Get", URL: "https://api.example.com", Err: tokenward.ErrStore}, 503, "store_error"},
		{"a provider that took too long", &tokenward.AccessTokenError{Code: "refresh_token_error", Err: context.DeadlineExceeded}, 502, "refresh_token_error"},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		httpauth.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil), tt.err)
		body := w.Body.String()
		if w.Code != tt.status || codeIn(body) != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, w.Code, body, tt.status, tt.code)
		}
		if strings.Contains(body, "the-cause") || strings.Contains(body, "a panic") {
			t.Errorf("%s: shows its cause: %s", tt.name, body)
		}
	}
}
