package idp

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward/session"
)

// readRefusal makes an APIError of an answer that is no success, with the code
// otherwise where it gives none. The Content-Type is not looked at: what parses
// counts.
func readRefusal(r reply, s scrubber, otherwise session.Code) error {
	doc, err := object(r.body)
	if err != nil {
		return &session.APIError{Code: otherwise, Description: "the answer is not a JSON object", Status: r.status, RetryAfter: r.retryAfter}
	}
	mfaToken, _ := text(doc["mfa_token"])
	accessToken, _ := text(doc["access_token"])
	refreshToken, _ := text(doc["refresh_token"])
	idToken, _ := text(doc["id_token"])
	s = s.and(mfaToken, accessToken, refreshToken, idToken)

	code, _ := errorCode(doc)
	description, _ := text(doc["error_description"])
	e := &session.APIError{Code: otherwise, Description: s.said(description, maxDescription), Status: r.status, RetryAfter: r.retryAfter}
	if code = s.said(code, maxErrorCode); code != "" {
		e.Code = session.Code(code)
	}
	if e.Code == session.CodeMFARequired && mfaToken != "" {
		m := &MFAChallenge{token: mfaToken}
		if !absent(doc["mfa_requirements"]) {
			requirements, _ := decode(doc["mfa_requirements"])
			m.requirements = session.ScrubJSON(requirements, s.withoutTokens)
		}
		e.Err = m
	}
	return e
}

// saysError reports whether an answer has an error, whatever its status.
func saysError(body []byte) bool {
	doc, err := object(body)
	if err != nil {
		return false
	}
	_, ok := errorCode(doc)
	return ok
}

// errorCode returns the code of an answer that has an error, and whether it has one. Most
// providers give a string (RFC 6749 section 5.2), some an object with a code in it; an object
// without a code in text is an error too.
func errorCode(doc map[string]json.RawMessage) (code string, ok bool) {
	code, ok = text(doc["error"])
	if ok {
		return code, code != ""
	}
	inner, err := object(doc["error"])
	if err != nil {
		return "", false
	}
	code, _ = text(inner["code"])
	return code, true
}

// retryAfter returns how long a 429 or 503 asks to wait (RFC 9110 section 10.2.3): a whole
// number of seconds, or until a date by the client's clock. A value that is neither, and a date in the past, is
// no wait at all.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			seconds = math.MaxInt32 // decades
		}
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, until.Sub(now)), math.MaxInt32*time.Second)
}

// MFAChallenge is the cause of an APIError of the code mfa_required: errors.As
// finds it. The token is the provider's own, in clear; this value prints without
// it.
type MFAChallenge struct { //nolint:errname // it is what the provider asks for
	token        string
	requirements any
}

// Token returns the provider's mfa_token.
func (m *MFAChallenge) Token() string { return m.token }

// Requirements returns the provider's mfa_requirements as decoded JSON, numbers as
// json.Number; nil when there were none.
func (m *MFAChallenge) Requirements() any { return m.requirements }

// Error implements error.
func (m *MFAChallenge) Error() string { return "another factor is required" }

// Format implements fmt.Formatter.
func (m *MFAChallenge) Format(f fmt.State, _ rune) {
	io.WriteString(f, m.Error()) //nolint:errcheck // fmt.State keeps it
}

var _ json.Marshaler = (*MFAChallenge)(nil)

// MarshalJSON implements json.Marshaler, for loggers that write JSON.
func (m *MFAChallenge) MarshalJSON() ([]byte, error) { return json.Marshal(m.Error()) }
