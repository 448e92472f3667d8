package session

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// RawUser is a User as a State keeps it: the JSON object of its claims, or "" where there is no user. User.Raw makes
// one. A session in memory keeps no map of its claims, for a map of 1 KB of JSON takes 3 KB; the claims are decoded
// when they are asked for.
type RawUser string

// Claims returns the claims decoded, nil where there is no user. The caller may change them.
func (r RawUser) Claims() User {
	if r == "" {
		return nil
	}
	v, _ := (&scanner{text: []byte(r)}).value()
	claims, _ := v.(map[string]any)
	return claims
}

// Sub returns the subject: who the user is at the provider.
func (r RawUser) Sub() string { return r.text("sub") }

// VerifiedEmail returns the email address if the provider has verified it, else "". See User.EmailVerified.
func (r RawUser) VerifiedEmail() string {
	if v := string(r.claim("email_verified")); v != "true" && v != `"true"` {
		return ""
	}
	return r.text("email")
}

// NormalEmail returns an email address in the form in which addresses are compared: in lower case, without space around it.
func NormalEmail(email string) string { return strings.Map(lower, strings.TrimSpace(email)) }

// lower returns a letter in lower case. Letters such as the Kelvin sign stay: in lower case they would be one of ASCII, which others have in
// their address.
func lower(letter rune) rune {
	small := unicode.ToLower(letter)
	if letter >= utf8.RuneSelf && small < utf8.RuneSelf {
		return letter
	}
	return small
}

// text returns a claim that is a string, else "".
func (r RawUser) text(name string) (text string) {
	(&scanner{text: r.claim(name)}).stringInto(&text)
	return text
}

// number returns a claim that is a number, else "".
func (r RawUser) number(name string) json.Number {
	n, _ := (&scanner{text: r.claim(name)}).number()
	return json.Number(n)
}

// claim returns the JSON of a claim, nil where there is none.
func (r RawUser) claim(name string) (raw []byte) {
	s := &scanner{text: []byte(r)}
	s.object(func(member []byte) bool {
		value, _ := s.raw()
		if string(member) == name {
			raw = value
		}
		return raw == nil
	})
	return raw
}

// MarshalJSON returns the claims, null where there is no user.
func (r RawUser) MarshalJSON() ([]byte, error) { return json.Marshal(r.Claims()) }
