package idp

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

var errNotObject = errors.New("not a JSON object")

// members calls f for each member of the JSON object that text must be, in order,
// those with equal names included. Nothing may follow the object. Names are
// compared as they are: encoding/json alone would ignore their case. A value is a
// piece of text.
func members(text []byte, f func(name string, value json.RawMessage) error) error {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !json.Valid(text) {
		return errNotObject
	}
	// From here on it is enough to see where things end.
	rest := skipSpace(text)
	if rest[0] != '{' {
		return errNotObject
	}
	for rest = skipSpace(rest[1:]); rest[0] != '}'; {
		quoted := rest[:valueLen(rest)]
		name, ok := unquote(quoted)
		if !ok {
			return errNotObject
		}
		rest = skipSpace(skipSpace(rest[len(quoted):])[1:]) // the colon
		value := rest[:valueLen(rest):valueLen(rest)]
		if err := f(name, value); err != nil {
			return err
		}
		if rest = skipSpace(rest[len(value):]); rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
	}
	return nil
}

func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// valueLen returns the length of the value that well-formed JSON begins with.
func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i // of what holds the value
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// unquote returns a JSON string, and whether value is one.
func unquote(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	for _, c := range inner {
		if c == '\\' || c >= utf8.RuneSelf {
			var s string
			return s, json.Unmarshal(value, &s) == nil
		}
	}
	return string(inner), true
}

// object returns the members of a JSON object; of equal names the last counts.
func object(text []byte) (map[string]json.RawMessage, error) {
	m := make(map[string]json.RawMessage)
	err := members(text, func(name string, value json.RawMessage) error {
		m[name] = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// decode returns a JSON value, numbers as json.Number.
func decode(value json.RawMessage) (any, error) {
	if s, ok := unquote(value); ok {
		return s, nil
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// text returns a JSON string, and whether value, which is well formed, is one.
func text(value json.RawMessage) (string, bool) { return unquote(value) }

// texts returns a JSON string, or the strings of a JSON array of strings, as the
// aud claim may be either (RFC 7519 section 4.1.3).
func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		all := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			all = append(all, s)
		}
		return all, true
	}
	return nil, false
}
