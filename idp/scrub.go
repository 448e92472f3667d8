package idp

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const (
	maxErrorCode   = 64
	maxDescription = 500
	maxWireText    = 200

	// minSecret is the length from which a value counts as a secret. What is
	// shorter protects nothing, and would be cut out of ordinary words.
	minSecret = 4
)

// secretParams are the form parameters whose values must not come back in an error.
var secretParams = []string{"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "subject_token", "token"}

// scrubber takes what the other end said and makes a text of it that can be
// logged: bounded, on one line, without the secrets that were sent. The zero
// scrubber knows no secrets.
type scrubber struct{ secrets []string }

// and returns a scrubber that knows more secrets.
func (s scrubber) and(secrets ...string) scrubber {
	return scrubber{append(slices.Clip(s.secrets), secrets...)}
}

// forms returns all forms in which the secrets may come back. Few requests fail, so it is
// left until one does.
func (s scrubber) forms() []string {
	var all []string
	for _, secret := range s.secrets {
		if len(secret) >= minSecret {
			all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret))
		}
	}
	// The longest first, so that no tail of one is left behind a shorter one.
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return all
}

// clean returns text without control characters, secrets and space around it, at
// most limit characters of it.
func (s scrubber) clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	var marks []string
	for _, secret := range s.forms() {
		marks = append(marks, secret, "[redacted]")
	}
	text = strings.NewReplacer(marks...).Replace(text) // in one pass, so that no mark is looked into
	text = strings.TrimSpace(text)
	n := 0
	for i := range text {
		if n == limit {
			return text[:i]
		}
		n++
	}
	return text
}
