package session_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tokenward/tokenward/session"
)

const (
	opaqueToken = "v1.Mx/8f+Q2=tQhZ7abcd"
	signedToken = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
	sealedToken = "eyJhbGciOiJkaXIifQ..aXZpdml2aXY.Y2lwaGVydGV4dA.dGFndGFnZw"
)

func TestScrub(t *testing.T) {
	twice := url.QueryEscape(url.QueryEscape(opaqueToken))
	tests := []struct{ text, want string }{
		{"", ""},
		{"Unknown or invalid refresh token.", "Unknown or invalid refresh token."},
		{"the token " + opaqueToken + ", which was spent", "the token [redacted], which was spent"},
		{opaqueToken + opaqueToken, "[redacted][redacted]"},
		{"token=" + url.QueryEscape(opaqueToken) + "&x", "token=[redacted]&x"},
		{"token=" + twice + "&x", "token=[redacted]&x"},
		{`{"token":"v1.Mx\/8f+Q2\u003dtQhZ7abcd"}`, `{"token":"[redacted]"}`},
		{`"v1.Mx/8f" "+Q2=tQhZ7abcd"`, `"[redacted]"`},
		{"v1.Mx/8f\n  +Q2=tQhZ7abcd", "[redacted]"},
		{"cut short: v1.Mx/8f+Q2=tQhZ7a", "cut short: [redacted]"},
		{"of another: v1.Mx/8f", "of another: v1.Mx/8f"}, // too little to be of use
		{"100% of it", "100% of it"},
		{"%", "%"},
		{"%4", "%4"},
		{`\u00`, `\u00`},
		{`\u00zz`, `\u00zz`},

		{"a JWT: " + signedToken + ".", "a JWT: [redacted]"},
		{"a JWT: " + signedToken + " was refused", "a JWT: [redacted] was refused"},
		{"a JWE: " + sealedToken + "!", "a JWE: [redacted]!"},
		{strings.ReplaceAll(signedToken, ".", "%2E"), "[redacted]"},
		{strings.ReplaceAll(signedToken, ".", "%252e"), "[redacted]"},
		{`"` + strings.ReplaceAll(signedToken, ".", `"."`) + `"`, `"[redacted]"`},
		{`{\"t\":\"` + signedToken + `\"}`, `{\"t\":\"[redacted]\"}`},
		{"header only: eyJhbGciOiJSUzI1NiJ9", "header only: [redacted]"},
		{"cut short: " + signedToken[:30], "cut short: [redacted]"},
		{"eyJ is how they begin, heyJude is not", "eyJ is how they begin, heyJude is not"},
		{signedToken + signedToken, "[redacted]"},
	}
	for _, tt := range tests {
		if got := session.Scrub(tt.text, opaqueToken, "", "a", "the"); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.text, got, tt.want)
		}
	}
	if got := session.Scrub(`"secret" and more`, "secret", "secret and", "cret"); got != `"[redacted] more` {
		t.Errorf("overlapping secrets: %s", got)
	}
}

// A scrubbed text has none of the secrets in it, and every other character of it comes from the text.
func TestScrub_properties(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune(`ab1.+%2E="' \é`)), 0, 40, -1)
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(text, 0, 3).Draw(t, "secrets")
		all := text.Draw(t, "text") + strings.Join(secrets, text.Draw(t, "between")) + text.Draw(t, "end")
		rest := all
		for piece := range strings.SplitSeq(session.Scrub(all, secrets...), "[redacted]") {
			for _, s := range secrets {
				if len(s) >= 4 && strings.Contains(piece, s) {
					t.Fatalf("%q of %q shows %q", piece, all, s)
				}
			}
			_, after, found := strings.Cut(rest, piece)
			if !found {
				t.Fatalf("%q is not of %q", piece, rest)
			}
			rest = after
		}
	})
}

// What a session held when it asked, holds, or held before that, is in no error, and the error
// stays what it is.
func TestHeld_Redact(t *testing.T) {
	first := ann()
	first.RefreshToken, first.IDToken = "first-refresh-token", "first-id-token"
	var held session.Held
	now := first
	for i := range 12 {
		next, _, err := now.ApplyRefresh(query("A", "a"), session.TokenResponse{
			AccessToken: fmt.Sprintf("access-token-%02d", i), RefreshToken: fmt.Sprintf("refresh-token-%02d", i), ExpiresIn: 1, HasExpiresIn: true,
		}, t0, options)
		if err != nil {
			t.Fatal(err)
		}
		held.Note(now, next)
		now = next
	}
	shown := "refresh-token-11 refresh-token-10 refresh-token-05 access-token-11 access-token-10 " + signedToken
	for _, set := range now.ConnectionTokenSets {
		shown += " " + set.AccessToken
	}
	errs := []error{
		&session.APIError{Code: session.Code("x " + shown), Description: shown, Status: 403, Err: errors.New(shown)},
		&session.AccessTokenError{Code: session.CodeRefreshTokenError, Message: shown, Err: &session.APIError{Code: "invalid_grant", Description: shown}},
		&session.ConnectionTokenError{Code: session.CodeAPIError, Message: shown, Err: &session.APIError{Code: "x", Description: shown}},
		&session.ConfigurationError{Message: shown, Err: errors.New(shown)},
		&session.MFARequiredError{
			AccessTokenError: session.AccessTokenError{Code: session.CodeMFARequired, Message: shown, Err: &session.APIError{Code: "mfa_required", Description: shown}},
			MFAToken:         "sealed", Requirements: map[string]any{shown: []any{shown, json.Number("1"), nil, true}},
		},
		fmt.Errorf("%s: %w", shown, &session.APIError{Code: "x", Description: shown, Err: io.EOF}),
		fmt.Errorf("nothing: %w", errors.Join(io.EOF, errors.New(shown))),
	}
	for _, err := range errs {
		clean := held.Redact(err, now, nil)
		wantClean(t, clean)
		if session.CodeOf(clean) != session.CodeOf(held.Redact(clean, now)) || errors.Is(err, io.EOF) != errors.Is(clean, io.EOF) {
			t.Errorf("%T is not what it was: %v", err, clean)
		}
		want := reflect.TypeOf(err).String()
		if got := reflect.TypeOf(clean).String(); strings.HasPrefix(want, "*session.") && got != want {
			t.Errorf("a %s became a %s", want, got)
		}
		var api *session.APIError
		if errors.As(clean, &api) != errors.As(err, new(*session.APIError)) {
			t.Errorf("%v: the APIError in it is not found any more", clean)
		} else if api != nil {
			wantClean(t, api)
		}
		wantClean(t, held.Later(now)(err))
	}
	for _, err := range []error{io.EOF, session.ErrClosed, fmt.Errorf("a panic: %w", session.ErrInternal)} {
		if held.Redact(err, now) != err { //nolint:errorlint // the very error
			t.Errorf("%v became another error", err)
		}
	}
	if held.Redact(nil, now) != nil {
		t.Error("no error became one")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", held, held, held, &held); strings.Contains(text, "token-") {
		t.Errorf("it prints its secrets: %s", text)
	}
}

// wantClean looks for the tokens of TestHeld_Redact in all that err shows.
func wantClean(t *testing.T, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		b, _ := json.Marshal(err)
		text := fmt.Sprintf("%v %+v %#v %s", err, err, err, b)
		for _, s := range []string{"refresh-token-", "access-token-", "google-token", "github-token", "eyJ"} {
			if strings.Contains(text, s) {
				t.Errorf("%T shows %s: %s", err, s, text)
			}
		}
	}
}
