package idp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

var errNotObject = errors.New("not a JSON object")

// members calls f for each member of the JSON object that text must be, in order,
// those with equal names included. Nothing may follow the object. Names are
// compared as they are: encoding/json alone would ignore their case.
func members(text []byte, f func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errNotObject
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return errNotObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return errNotObject
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return errNotObject
	}
	if _, err := dec.Token(); err != io.EOF {
		return errNotObject
	}
	return nil
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
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// text returns a JSON string, and whether value is one.
func text(value json.RawMessage) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(value, &s) == nil
}

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
