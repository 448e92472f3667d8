package idp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tokenward/tokenward/session"
)

// maxExpiresIn bounds expires_in, in seconds: some 317 years, so that no sum with
// a date leaves the years that can be written down.
const maxExpiresIn = 9_999_999_999

// readAnswer takes the token endpoint's answer apart (RFC 6749 sections 5.1 and
// 5.2). Only 200 with an access token is a success, but whatever a 2xx answer has
// in refresh_token is returned also with an error: the old one may be spent.
func readAnswer(r reply, s scrubber) (session.TokenResponse, error) {
	if r.status < 200 || r.status > 299 {
		return session.TokenResponse{}, readRefusal(r, s, session.CodeTokenError)
	}
	t, err := parseTokenResponse(r.body)
	switch {
	case err != nil:
		return session.TokenResponse{}, invalidResponse(r.status, "the answer is not a JSON object")
	case t.AccessToken == "" && saysError(r.body):
		return t, readRefusal(r, s.and(t.RefreshToken, t.IDToken), session.CodeTokenError)
	case r.status != http.StatusOK:
		return t, invalidResponse(r.status, "the answer has a status that no token response has")
	case t.AccessToken == "":
		return t, invalidResponse(r.status, "the answer has no access_token")
	case t.TokenType != "" && !strings.EqualFold(t.TokenType, bearer):
		return t, invalidResponse(r.status, "the answer has a token_type other than Bearer, and no other can be used here")
	}
	return t, nil
}

// bearer is the one token_type whose tokens can be handed out (RFC 6750). A token of
// another is worth nothing, or is misused, without what that type asks for (RFC 6749 section 7.1).
const bearer = "Bearer"

// notAType stands for a token_type that is no text, or an empty one.
const notAType = "?"

func invalidResponse(status int, why string) error {
	return &session.APIError{Code: session.CodeInvalidResponse, Description: why, Status: status}
}

// parseTokenResponse takes a token response apart without judging it. A member
// of the wrong type counts as absent, but for expires_in, which is then zero, and
// token_type, which is then not Bearer; of several with one name the last that can be used
// counts, so that no refresh token is lost to a null after it. Of several token_type one that
// is not Bearer counts.
func parseTokenResponse(body []byte) (session.TokenResponse, error) {
	var t session.TokenResponse
	err := members(body, func(name string, value json.RawMessage) error {
		if !absent(value) {
			setMember(&t, name, value)
		}
		return nil
	})
	if err != nil {
		return session.TokenResponse{}, err
	}
	if c, ok := claimsOf(t.IDToken); ok {
		t.IDClaims = &session.IDClaims{}
		t.IDClaims.Issuer, _ = c.text("iss")
		t.IDClaims.Subject, _ = c.text("sub")
		t.IDClaims.Audience, _ = texts(c["aud"])
		t.IDClaims.All = c
	}
	if c, ok := claimsOf(t.AccessToken); ok {
		t.TokenAudience, _ = texts(c["aud"])
		t.TokenLife = c.life()
	}
	return t, nil
}

// setMember sets what a member of a token response, which is not null, says in t.
func setMember(t *session.TokenResponse, name string, value json.RawMessage) {
	switch name {
	case "access_token":
		setText(&t.AccessToken, value)
	case "refresh_token":
		setText(&t.RefreshToken, value)
	case "id_token":
		setText(&t.IDToken, value)
	case "token_type":
		if t.TokenType == "" || strings.EqualFold(t.TokenType, bearer) {
			kind, _ := text(value)
			t.TokenType = cmp.Or(kind, notAType)
		}
	case "scope":
		if s, ok := text(value); ok {
			t.Scope, t.HasScope = s, true
		}
	case "expires_in":
		if n, ok := parseExpiresIn(value); ok {
			t.ExpiresIn = n
		}
		t.HasExpiresIn = true
	case "issued_token_type":
		setText(&t.IssuedTokenType, value)
	case "authorization_details":
		t.AuthorizationDetails = bytes.Clone(value) // not the whole answer with it
	}
}

// life returns exp - iat in whole seconds, where both are legal dates and the difference is
// one that an access token's life can be; else 0.
func (c claims) life() int64 {
	exp, ok := c.date("exp")
	iat, also := c.date("iat")
	life := exp.Sub(iat)
	if !ok || !also || iat.Unix() <= 0 || life < time.Second || life > 24*time.Hour {
		return 0
	}
	return int64(life / time.Second)
}

// claimsOf returns the claims of a token that is a readable JWT.
func claimsOf(token string) (claims, bool) {
	if strings.Count(token, ".") != 2 {
		return nil, false // most are opaque, and an error would say nothing more
	}
	c, err := peek(token)
	return c, err == nil
}

func setText(to *string, value json.RawMessage) {
	if s, ok := text(value); ok && s != "" {
		*to = s
	}
}

// parseExpiresIn reads expires_in, a number or the text of one, rounded down. A
// lifetime that is negative, or that no float can hold, cannot be used.
func parseExpiresIn(value json.RawMessage) (seconds int64, ok bool) {
	s, quoted := text(value)
	if !quoted {
		s = string(value)
	}
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789+-.eE") != "" { // ParseFloat knows more: Inf, NaN, 0x, _
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	switch f = math.Floor(f); {
	case f < 0:
		return 0, false
	case f > maxExpiresIn:
		return maxExpiresIn, true
	}
	return int64(f), true
}
