package bearer

import "strings"

// Refused reports whether the WWW-Authenticate fields of a 401 say that the bearer token was not accepted: one of their
// challenges is Bearer with error="invalid_token" (RFC 6750 section 3, RFC 9110 section 11.6.1). A field may hold several
// challenges, and a value may be quoted. Of a parameter that a challenge names twice, the first counts. What cannot be
// read is not taken for a refusal.
func Refused(fields []string) bool {
	for _, field := range fields {
		if s := (scanner{field}); s.refused() {
			return true
		}
	}
	return false
}

// scanner holds the rest of a field.
type scanner struct{ rest string }

// refused reads one field: a list of challenges, where a comma stands between challenges and between the parameters of
// one. A word before "=" is a parameter, any other begins a challenge.
func (s *scanner) refused() bool {
	bearer, said := false, false // the challenge is Bearer; it has named its error
	for {
		s.skip(" \t,")
		word := s.token()
		if word == "" {
			return false
		}
		s.skip(" \t")
		if !s.take('=') { // a scheme
			bearer, said = strings.EqualFold(word, "Bearer"), false
			continue
		}
		if s.rest == "" || strings.ContainsAny(s.rest[:1], "=,") { // the padding of a token68
			s.skip("=")
			continue
		}
		s.skip(" \t")
		value, ok := s.value()
		if !ok {
			return false
		}
		if bearer && !said && strings.EqualFold(word, "error") {
			if value == "invalid_token" {
				return true
			}
			said = true
		}
	}
}

func (s *scanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }

func (s *scanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// token reads a token or token68, "" where none begins.
func (s *scanner) token() string {
	end := strings.IndexFunc(s.rest, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),:;<=>?@[\]{}`, c) })
	if end < 0 {
		end = len(s.rest)
	}
	word := s.rest[:end]
	s.rest = s.rest[end:]
	return word
}

// value reads a token or a quoted string.
func (s *scanner) value() (string, bool) {
	if !s.take('"') {
		word := s.token()
		return word, word != ""
	}
	var text strings.Builder
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return text.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			text.WriteByte(s.rest[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", false
}

// Sendable reports whether token can stand in a header field: it is not empty, and of visible ASCII alone (RFC 6749
// section A.12, less the space). No line can be put into a request with it.
func Sendable(token string) bool {
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return token != ""
}
