package session_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tokenward/tokenward/session"
)

// What a refused refresh says about the token, whatever the word: nothing, that the request
// is judged, or that the token is dead.
func TestRefusal_whatItSaysAboutTheToken(t *testing.T) {
	const open, settled, dead = "open", "settled", "dead"
	api := func(status int, code, description string) error {
		return &session.APIError{Code: session.Code(code), Description: description, Status: status}
	}
	broken := &session.APIError{Code: session.CodeTokenError, Status: 200, Err: errors.New("cut")}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"RFC 6749", api(400, "invalid_grant", ""), dead},
		{"Auth0", api(403, "invalid_grant", "Unknown or invalid refresh token."), dead},
		{"invalid_grant with 401", api(401, "invalid_grant", ""), dead},
		{"invalid_grant with 200", api(200, "invalid_grant", ""), dead},
		{"invalid_grant with 500", api(500, "invalid_grant", ""), dead},
		{"Dex", api(400, "invalid_request", "Refresh token is invalid or has already been claimed by another client."), dead},
		{"Dex, expired", api(400, "invalid_request", "Refresh token expired."), dead},
		{"X", api(400, "invalid_request", "Value passed for the token was invalid."), dead},
		{"names its own parameter", api(400, "invalid_request", "The parameter 'refresh_token' is invalid."), dead},
		{"its own parameter, first", api(400, "invalid_request", "refresh_token parameter invalid"), dead},
		{"invalid_request, no more", api(400, "invalid_request", ""), dead},
		{"Yahoo", api(400, "INVALID_REFRESH_TOKEN", ""), dead},
		{"Slack", api(200, "invalid_refresh_token", ""), dead},
		{"Slack, expired", api(200, "token_expired", ""), dead},
		{"Slack, revoked", api(200, "token_revoked", ""), dead},
		{"GitHub", api(200, "bad_refresh_token", ""), dead},
		{"RFC 6750", api(401, "invalid_token", ""), dead},
		{"not found", api(404, "refresh_token_not_found", ""), dead},

		{"another scope", api(400, "invalid_scope", ""), settled},
		{"another target", api(400, "invalid_target", ""), settled},
		{"another parameter", api(400, "invalid_request", "Missing required parameter: client_id"), settled},
		{"the audience", api(400, "invalid_request", "The audience is unknown."), settled},
		{"some parameter", api(400, "invalid_request", "Unsupported parameter: foo"), settled},
		{"the grant type", api(400, "unsupported_grant_type", ""), settled},
		{"consent", api(400, "consent_required", ""), settled},
		{"login", api(400, "login_required", ""), settled},
		{"a factor", api(403, "mfa_required", ""), settled},
		{"a token is required", api(400, "invalid_token_required", ""), settled},
		{"a rule", api(403, "access_denied", ""), settled},
		{"another token", api(400, "federated_connection_refresh_token_not_found", ""), settled},
		{"a subject token", api(400, "invalid_subject_token", ""), settled},
		{"the type", api(400, "unsupported_token_type", ""), settled},
		{"text", api(400, "token_error", "the answer is not a JSON object"), settled},
		{"text, forbidden", api(403, "token_error", ""), settled},
		{"an error without a code in 200", api(200, "token_error", ""), settled},

		{"text in 200", api(200, "invalid_response", ""), open},
		{"no access_token in 200", api(200, "invalid_response", ""), open},
		{"a broken 200", broken, open},
		{"a redirect", api(302, "token_error", ""), open},
		{"408", api(408, "token_error", ""), open},
		{"425", api(425, "token_error", ""), open},
		{"429", api(429, "too_many_requests", ""), open},
		{"429, about tokens", api(429, "invalid_token", ""), open},
		{"the client", api(401, "invalid_client", ""), open},
		{"the client's rights", api(400, "unauthorized_client", ""), open},
		{"500", api(500, "server_error", ""), open},
		{"503", api(503, "temporarily_unavailable", ""), open},
		{"502, text", api(502, "token_error", ""), open},
		{"no answer", api(0, "token_error", ""), open},
		{"discovery", api(404, "metadata_error", ""), open},
		{"another error", errors.New("x"), open},
		{"none", nil, open},
	} {
		got := open
		wrapped := fmt.Errorf("while refreshing: %w", c.err)
		switch {
		case session.TokenDead(wrapped):
			got = dead
		case session.TokenSettled(wrapped):
			got = settled
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if session.TokenDead(c.err) && !session.TokenSettled(c.err) {
			t.Errorf("%s: dead and not settled", c.name)
		}
	}
}
