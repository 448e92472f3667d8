package idp

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tokenward/tokenward/session"
)

const (
	maxErrorCode   = 64
	maxDescription = 500
	maxWireText    = 200

	// maxRead is how many bytes of a text are looked at, for the scrubbed text is cut short anyway.
	maxRead = 64 << 10
)

// secretParams are the form parameters whose values must not come back in an error.
var secretParams = []string{"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "subject_token", "actor_token", "assertion", "token"}

// scrubber takes what the other end said and makes a text of it that can be
// logged: bounded, on one line, without the secrets that were sent. The zero
// scrubber knows no secrets.
type scrubber struct{ secrets []string }

// and returns a scrubber that knows more secrets.
func (s scrubber) and(secrets ...string) scrubber {
	return scrubber{append(slices.Clip(s.secrets), secrets...)}
}

// clean returns text without control characters, secrets and space around it, at
// most limit characters of it.
func (s scrubber) clean(text string, limit int) string { return cut(s.scrub(text), limit) }

// said is clean for what a provider says in words. It may quote tokens that are not known here,
// of another session or of one long ago: what looks like an opaque token goes too.
func (s scrubber) said(text string, limit int) string { return cut(s.withoutTokens(text), limit) }

func (s scrubber) withoutTokens(text string) string {
	return opaque.ReplaceAllStringFunc(s.scrub(text), func(run string) string {
		if looksRandom(run) && !uuid.MatchString(run) {
			return "[redacted]"
		}
		return run
	})
}

func (s scrubber) scrub(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxRead)], "\uFFFD"))
	return strings.TrimSpace(session.Scrub(text, s.secrets...))
}

// cut returns at most limit characters of text.
func cut(text string, limit int) string {
	n := 0
	for i := range text {
		if n == limit {
			return text[:i]
		}
		n++
	}
	return text
}

var (
	// opaque is a run of characters that is long enough for a token. A point, a colon or a slash
	// ends it, so that names of hosts, scopes and the parts of URLs stay.
	opaque = regexp.MustCompile(`[\w~-]{20,}`)

	// uuid is what providers call a request by, in words that their support asks for.
	uuid = regexp.MustCompile(`^[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}$`)
)

// looksRandom reports whether run has letters and digits mixed as no word has.
func looksRandom(run string) bool {
	var upper, lower, digits int
	for _, c := range run {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z':
			lower++
		case 'A' <= c && c <= 'Z':
			upper++
		}
	}
	return digits > 0 && (upper > 0 && lower > 0 || digits > 3 && upper+lower > 0)
}
