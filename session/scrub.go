package session

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// redacted stands where a secret was.
	redacted = "[redacted]"

	// shortestSecret is the length from which a value counts as a secret. A shorter one
	// protects nothing, and would be cut out of ordinary words.
	shortestSecret = 4

	// tellingPart is how much of the beginning of a secret gives it away.
	tellingPart = 16
)

// jwt is what looks like a signed or encrypted JWT (RFC 7515, RFC 7516), whole or cut short:
// its header, which is a JSON object and so begins with eyJ, and up to four more parts, also
// where the points are escaped or each part has quotes around it.
var jwt = regexp.MustCompile(`eyJ[\w-]{8,}=*(?:["'\\]*(?:\.|%2[eE]|%252[eE]|\\u002[eE])["'\\]*[\w-]*=*){0,4}`)

// Scrub returns text without secrets, in whatever way they are written there, and without
// anything that looks like a JWT.
//
// A secret is also found where it is escaped for a URL, once or twice, or for JSON, where
// quotes or white space split it, and where only its first 16 characters are left.
func Scrub(text string, secrets ...string) string {
	spans := jwt.FindAllStringIndex(text, -1)
	where := flatten(text)
	for _, s := range secrets {
		spans = where.find(flatten(s).text, spans)
		spans = findAll(text, s, spans) // what flatten makes of it depends on what follows
	}
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	var b strings.Builder
	end := 0 // of what was dealt with
	for _, span := range spans {
		if span[0] >= end {
			b.WriteString(text[end:span[0]])
			b.WriteString(redacted)
		}
		end = max(end, span[1])
	}
	b.WriteString(text[end:])
	return b.String()
}

// ScrubJSON returns a copy of what encoding/json decodes into an any, with scrub done to all
// texts and names in it.
func ScrubJSON(v any, scrub func(string) string) any {
	switch v := v.(type) {
	case string:
		return scrub(v)
	case []any:
		c := make([]any, len(v))
		for i, element := range v {
			c[i] = ScrubJSON(element, scrub)
		}
		return c
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, member := range v {
			c[scrub(name)] = ScrubJSON(member, scrub)
		}
		return c
	}
	return v
}

// flat is a text without escapes and without what may split a secret. from and to say of each
// byte where it stands in the text as it came.
type flat struct {
	text     string
	from, to []int
}

func flatten(text string) flat {
	f := flat{from: make([]int, 0, len(text)), to: make([]int, 0, len(text))}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		c, n := unescape(text[i:])
		if !splits(c) {
			plain = append(plain, c)
			f.from, f.to = append(f.from, i), append(f.to, i+n)
		}
		i += n
	}
	f.text = string(plain)
	return f
}

// splits reports whether c may stand between the characters of a secret: a plus sign is a
// space in a form.
func splits(c byte) bool { return c <= ' ' || strings.IndexByte("\"'`\\+\x7f", c) >= 0 }

// unescape returns the first byte of text, of which it takes n bytes.
func unescape(text string) (c byte, n int) {
	if strings.HasPrefix(text, `\u00`) && len(text) >= 6 {
		if v, err := strconv.ParseUint(text[4:6], 16, 8); err == nil {
			return byte(v), 6
		}
	}
	c, n = text[0], 1
	for c == '%' && len(text) >= n+2 { // %252E is %2E is a point
		v, err := strconv.ParseUint(text[n:n+2], 16, 8)
		if err != nil {
			break
		}
		c, n = byte(v), n+2
	}
	return c, n
}

func findAll(text, secret string, spans [][]int) [][]int {
	if len(secret) < shortestSecret {
		return spans
	}
	for start := 0; ; start++ {
		i := strings.Index(text[start:], secret)
		if i < 0 {
			return spans
		}
		start += i
		spans = append(spans, []int{start, start + len(secret)})
	}
}

// find adds to spans where secret, or a telling part of it, stands in f.
func (f *flat) find(secret string, spans [][]int) [][]int {
	if len(secret) < shortestSecret {
		return spans
	}
	part := secret[:min(len(secret), tellingPart)]
	for start := 0; ; {
		i := strings.Index(f.text[start:], part)
		if i < 0 {
			return spans
		}
		start += i
		n := len(part)
		for n < len(secret) && start+n < len(f.text) && f.text[start+n] == secret[n] {
			n++
		}
		spans = append(spans, []int{f.from[start], f.to[start+n-1]})
		start += n
	}
}
