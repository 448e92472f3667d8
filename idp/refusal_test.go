package idp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenward/tokenward/idp"
	"github.com/tokenward/tokenward/session"
)

// refused refreshes at a provider that answers so, and returns what the refusal is.
func (r *rig) refused(status int, body string, header ...string) *session.APIError {
	r.t.Helper()
	r.handle(token, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	_, err := r.client.Refresh(r.t.Context(), idp.RefreshRequest{Issuer: issuer, RefreshToken: refreshToken})
	var api *session.APIError
	if !errors.As(err, &api) {
		r.t.Fatalf("%d %s: %v, want an APIError", status, body, err)
	}
	return api
}

// Refusals as providers word them: what the answer says about the token.
func TestRefresh_whatARefusalSaysAboutTheToken(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name          string
		status        int
		body          string
		settled, dead bool
	}{
		{"invalid_grant", 400, `{"error":"invalid_grant"}`, true, true},
		{"invalid_grant at 503", 503, `{"error":"invalid_grant"}`, true, true},
		{"Dex", 400, `{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}`, true, true},
		{"Slack", 200, `{"ok":false,"error":"invalid_refresh_token"}`, true, true},
		{"Slack, of the moment", 200, `{"ok":false,"error":"internal_error"}`, true, false},
		{"Yahoo", 400, `{"error":"INVALID_REFRESH_TOKEN"}`, true, true},
		{"an object", 200, `{"error":{"code":"token_revoked"}}`, true, true},
		{"an object without a code", 200, `{"error":{"message":"no"}}`, true, false},
		{"another parameter", 400, `{"error":"invalid_request","error_description":"Missing client_id"}`, true, false},
		{"text", 400, "no", true, false},
		{"HTML", 403, "<html>", true, false},
		{"consent", 400, `{"error":"consent_required"}`, true, false},
		{"the client", 401, `{"error":"invalid_client"}`, false, false},
		{"429", 429, `{"error":"too_many_requests"}`, false, false},
		{"500", 500, "oops", false, false},
		{"text in 200", 200, "oops", false, false},
		{"no error in 200", 200, `{"error":null,"ok":false}`, false, false},
	} {
		err := r.refused(c.status, c.body)
		if settled, dead := session.TokenSettled(err), session.TokenDead(err); settled != c.settled || dead != c.dead {
			t.Errorf("%s (%v): settled %v, dead %v, want %v, %v", c.name, err, settled, dead, c.settled, c.dead)
		}
	}
	r.answerJSON(metadata, map[string]any{})
	r.clock.Advance(24 * time.Hour)
	_, err := r.client.Refresh(t.Context(), idp.RefreshRequest{Issuer: "https://other.example/", RefreshToken: refreshToken})
	if err == nil || session.TokenSettled(err) {
		t.Errorf("without metadata: %v, want an error that settles nothing", err)
	}
}

// The wait that a 429 or 503 asks for is in the error; a value that is no such time counts for nothing.
func TestRefresh_saysWhenToTryAgain(t *testing.T) {
	r := newRig(t)
	date := func(d time.Duration) string { return t0.Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{503, " 120 ", 2 * time.Minute},
		{429, date(30 * time.Second), 30 * time.Second},
		{429, t0.Add(time.Minute).UTC().Format(time.RFC850), time.Minute},
		{429, date(-time.Hour), 0},
		{429, "0", 0},
		{429, "-5", 0},
		{429, "+5", 0},
		{429, "1.5", 0},
		{429, "soon", 0},
		{429, "", 0},
		{429, strings.Repeat("9", 40), (1<<31 - 1) * time.Second},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", (1<<31 - 1) * time.Second},
		{500, "7", 0},
		{400, "7", 0},
	} {
		for _, body := range []string{`{"error":"too_many_requests"}`, "slow down", strings.Repeat("x", 2<<20)} {
			if got := r.refused(c.status, body, "Retry-After", c.value).RetryAfter; got != c.want {
				t.Errorf("%d, Retry-After %q: %v, want %v", c.status, c.value, got, c.want)
			}
		}
	}
	if got := r.refused(429, "").RetryAfter; got != 0 {
		t.Errorf("without the header: %v", got)
	}
}
