package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// A scanner reads one JSON text (RFC 8259) from front to back and looks at each byte once. It accepts exactly the
// texts that encoding/json accepts, invalid UTF-8 included. Each method reads the next value and reports whether
// there is one; after the first false the text is not JSON, and the scanner must not be used again.
type scanner struct {
	text   []byte
	at     int // index of the next byte
	depth  int // number of objects and arrays around that byte
	spaces int // bytes of white space between values, so far
}

// maxDepth is how many objects and arrays encoding/json lets stand inside each other.
const maxDepth = 10_000

// peek returns the next byte after white space without reading it, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
			s.spaces++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.at == len(s.text) {
		return false
	}
	s.at++
	return true
}

// object reads an object. It calls member after each name, to read the value. The name is valid during the call.
func (s *scanner) object(member func(name []byte) bool) bool {
	if s.depth++; s.depth > maxDepth || !s.take('{') {
		return false
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return false
		}
		quoted, plain, ok := s.quoted()
		if !ok || !s.take(':') {
			return false
		}
		name := quoted[1 : len(quoted)-1]
		if !plain {
			name = []byte(unquote(quoted))
		}
		if !member(name) {
			return false
		}
	}
	s.depth--
	return true
}

// array reads an array. It calls element to read each of its values.
func (s *scanner) array(element func() bool) bool {
	if s.depth++; s.depth > maxDepth || !s.take('[') {
		return false
	}
	for first := true; !s.take(']'); first = false {
		if !first && !s.take(',') || !element() {
			return false
		}
	}
	s.depth--
	return true
}

// skip reads any value.
func (s *scanner) skip() bool {
	switch s.peek() {
	case '{':
		return s.object(func([]byte) bool { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, _, ok := s.quoted()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, ok := s.number()
	return ok
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// number reads a number.
func (s *scanner) number() ([]byte, bool) {
	s.peek()
	from := s.at
	if s.follows("-") {
		s.at++
	}
	if s.follows("0") {
		s.at++
	} else if !s.digits() {
		return nil, false
	}
	if s.follows(".") {
		if s.at++; !s.digits() {
			return nil, false
		}
	}
	if s.follows("eE") {
		if s.at++; s.follows("+-") {
			s.at++
		}
		if !s.digits() {
			return nil, false
		}
	}
	return s.text[from:s.at], true
}

// follows reports whether the next byte is one of set.
func (s *scanner) follows(set string) bool {
	return s.at < len(s.text) && bytes.IndexByte([]byte(set), s.text[s.at]) >= 0
}

// digits reads one digit or more.
func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

// quoted reads a string and returns it in its quotes. It reports plain where the text between them is the string
// itself: without escapes, and valid UTF-8.
func (s *scanner) quoted() (text []byte, plain, ok bool) {
	if !s.take('"') {
		return nil, false, false
	}
	from := s.at - 1
	plain, ascii := true, true
	for {
		s.at += plainLen(s.text[s.at:])
		if s.at == len(s.text) {
			return nil, false, false
		}
		c := s.text[s.at]
		s.at++
		switch {
		case c == '"':
			text = s.text[from:s.at]
			return text, plain && (ascii || utf8.Valid(text)), true
		case c == '\\':
			if plain = false; !s.escape() {
				return nil, false, false
			}
		case c < ' ':
			return nil, false, false
		default:
			ascii = false
		}
	}
}

// escape reads what follows a backslash.
func (s *scanner) escape() bool {
	if !s.follows(`"\/bfnrtu`) {
		return false
	}
	s.at++
	if s.text[s.at-1] != 'u' {
		return true
	}
	for range 4 {
		if !s.follows("0123456789abcdefABCDEF") {
			return false
		}
		s.at++
	}
	return true
}

// plainLen returns how many bytes of b come before the first quote, backslash, control character or byte that is not
// ASCII. Tokens are most of a record, so eight bytes are looked at together: in each byte of special the highest bit
// is set if that byte is one of these. A subtraction can set it in the bytes after such a byte too, never before.
func plainLen(b []byte) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		special := w | (w - each*' ') | ((w ^ each*'"') - each) | ((w ^ each*'\\') - each)
		if special &= high; special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' && b[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// unquote returns the string that quoted stands for.
func unquote(quoted []byte) (text string) {
	_ = json.Unmarshal(quoted, &text) // a string that quoted returned can be decoded
	return text
}

// raw reads any value and returns it as it stands in the text.
func (s *scanner) raw() ([]byte, bool) {
	s.peek()
	from := s.at
	ok := s.skip()
	return s.text[from:s.at], ok
}

// string reads a string.
func (s *scanner) string() (string, bool) {
	quoted, plain, ok := s.quoted()
	switch {
	case !ok:
		return "", false
	case plain:
		return string(quoted[1 : len(quoted)-1]), true
	}
	return unquote(quoted), true
}

// stringInto reads any value. It sets v to the value where that is a string, else to "".
func (s *scanner) stringInto(v *string) (ok bool) {
	if *v = ""; s.peek() != '"' {
		return s.skip()
	}
	*v, ok = s.string()
	return ok
}

// value reads any value and returns it as encoding/json decodes it into an any, numbers as json.Number.
func (s *scanner) value() (v any, ok bool) {
	switch s.peek() {
	case '{':
		m := map[string]any{}
		ok = s.object(func(name []byte) bool {
			key := string(name)
			member, ok := s.value()
			m[key] = member
			return ok
		})
		return m, ok
	case '[':
		list := []any{}
		ok = s.array(func() bool {
			element, ok := s.value()
			list = append(list, element)
			return ok
		})
		return list, ok
	case '"':
		text, ok := s.string()
		return text, ok
	case 't':
		return true, s.skip()
	case 'f':
		return false, s.skip()
	case 'n':
		return nil, s.skip()
	}
	n, ok := s.number()
	return json.Number(n), ok
}

// secondsInto reads any value. It sets v to the value rounded down where that is a number, else to 0.
func (s *scanner) secondsInto(v *int64) bool {
	*v = 0
	raw, ok := s.raw()
	if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		*v = i
	} else if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
		*v = wholeFloor(f)
	}
	return ok
}
