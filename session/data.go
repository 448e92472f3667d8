package session

import (
	"encoding/json"
	"fmt"
	"time"
)

// Data holds the values that the application keeps in a session, each as JSON under a name of the application's.
type Data map[string]json.RawMessage

// Get decodes the value called name into v, as json.Unmarshal does. It reports whether there is one.
func (d Data) Get(name string, v any) (ok bool, err error) {
	raw, ok := d[name]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(raw, v)
}

// Set encodes v and keeps it as the value called name. It fails where JSON cannot say v, and changes nothing then.
func (d Data) Set(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d[name] = raw
	return nil
}

// Raw returns d as a State keeps it. It fails where a value is no JSON.
func (d Data) Raw() (RawData, error) {
	if len(d) == 0 {
		return "", nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("a value is no JSON: %w", err)
	}
	return RawData(text), nil
}

// RawData is a Data as a State keeps it: a JSON object, or "" where there are no values. Data.Raw makes one.
type RawData string

// Data returns the values, never nil. The caller may change them.
func (r RawData) Data() Data {
	d := Data{}
	_ = json.Unmarshal([]byte(r), &d) // one that cannot be read has no values
	return d
}

// MarshalJSON returns the values.
func (r RawData) MarshalJSON() ([]byte, error) { return json.Marshal(r.Data()) }

// FitData returns s with the values d where AppendState writes that in at most o.MaxBytes: else without token sets,
// which refreshes get again. It reports whether that is enough.
func (s *State) FitData(d RawData, now time.Time, o ApplyOptions) (*State, bool) {
	if s.Data == d {
		return s, true
	}
	next := *s
	next.Data = d
	return &next, next.fit("", now, o)
}
