package session

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// TokenSettled reports whether err, met while refreshing, says that the provider has judged
// the request: to send it again changes nothing. It did so with invalid_grant at any status,
// with an error in a 2xx answer, or with any other 4xx, except those that speak of the
// moment (408, 425, 429) or of the client (invalid_client, unauthorized_client; RFC 6749
// section 5.2). A request that was cut off is then not presented again.
func TokenSettled(err error) bool {
	var e *APIError
	if !errors.As(err, &e) || e.Status == 0 {
		return false
	}
	switch e.word() {
	case CodeInvalidGrant:
		return true
	case CodeInvalidClient, CodeUnauthorizedClient, CodeMetadataError, CodeConfiguration, CodeInvalidResponse:
		return false
	}
	switch {
	case e.Status == 408, e.Status == 425, e.Status == 429:
		return false
	case e.Status >= 200 && e.Status <= 299:
		return e.Code != CodeTokenError || e.Err == nil // else the answer broke off
	}
	return e.Status >= 400 && e.Status <= 499
}

// TokenDead reports whether err, met while refreshing, says that the refresh token is of no
// use any more: the refusal is settled (TokenSettled), and its code is invalid_grant or is
// about the token in the provider's own words, as INVALID_REFRESH_TOKEN, token_revoked or an
// invalid_request that names no other parameter. An answer without a code is never that, nor
// is a code about something else: a scope, a target, the grant type, or a consent or login
// that is required.
//
// It is not for connection exchanges: there a refusal may be about the connection's own
// token, which the provider holds.
func TokenDead(err error) bool {
	var e *APIError
	if !TokenSettled(err) || !errors.As(err, &e) {
		return false
	}
	switch code := e.word(); {
	case code == CodeInvalidGrant:
		return true
	case code == "invalid_request":
		return !otherParameter.MatchString(refreshToken.ReplaceAllString(e.Description, ""))
	case code == CodeTokenError, strings.HasSuffix(string(code), "_required"):
		return false
	default:
		return aboutToken.MatchString(string(code)) && !notThatToken.MatchString(string(code))
	}
}

// word returns the code in lower case, for some providers shout.
func (e *APIError) word() Code { return Code(strings.ToLower(string(e.Code))) }

var (
	// aboutToken matches the codes, in lower case, by which providers say that a token is of
	// no use; notThatToken those of them that are about something else than the refresh token.
	aboutToken = regexp.MustCompile(`^(?:invalid|expired|revoked|bad|inactive|unknown|used|reused|rejected).*token$` +
		`|token.*(?:invalid|expired|revoked|inactive|unknown|used|reused|rejected|not_?found)$`)
	notThatToken = regexp.MustCompile(`client|access|subject|connection|(?:^|_)id_token|csrf`)

	// otherParameter finds in a description, once the refresh token is taken out, the name of a
	// parameter: one with an underscore, one of a single word, or one that the word "parameter"
	// announces.
	otherParameter = regexp.MustCompile(`(?i)\b[a-z]+_[a-z_]+\b|\b(?:scopes?|audience|resource|connection|organization|parameters?)\b|\bgrant type\b|\bclient (?:id|secret|assertion|authentication)\b`)
	refreshToken   = regexp.MustCompile(`(?i)(?:\bparameter:? )?["']?\brefresh[ _-]?token\b["']?(?: parameter)?|\binvalid_(?:request|grant|token)\b`)
)

// RetryAfter returns how long to wait before the request that failed with err is worth another
// try, 0 where that is unknown.
func RetryAfter(err error) time.Duration {
	var e *APIError
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Innermost returns the APIError that err began with, which has the provider's own code; nil where there is none.
func Innermost(err error) (e *APIError) {
	for errors.As(err, &e) && e.Err != nil && errors.As(e.Err, new(*APIError)) {
		err = e.Err
	}
	return e
}

// RefusesApplication reports whether err says that the provider refused the application itself, or a request as the application is
// configured to make it (RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core section 3.1.2.6, RFC 8707 section 2): to
// try again changes nothing, and the user can do nothing about it.
func RefusesApplication(err error) bool {
	e := Innermost(err)
	return e != nil && refusesApplication[e.word()]
}

var refusesApplication = map[Code]bool{
	CodeInvalidClient: true, CodeUnauthorizedClient: true, "invalid_request": true, "invalid_scope": true, "invalid_target": true,
	"unsupported_grant_type": true, "unsupported_response_type": true, "unsupported_response_mode": true,
	"invalid_redirect_uri": true, "redirect_uri_mismatch": true, "invalid_request_uri": true, "invalid_request_object": true,
	"request_not_supported": true, "request_uri_not_supported": true, "registration_not_supported": true,
}
