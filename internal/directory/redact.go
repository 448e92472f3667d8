package directory

import (
	"fmt"
	"io"
)

// The values that messages carry print nothing of themselves either, when they are printed on their own.

// Format prints e without the session's id.
func (e *Entry) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "tokenward session "+e.Key.String())
}

// MarshalJSON writes e without the session's id.
func (e *Entry) MarshalJSON() ([]byte, error) {
	return []byte(`"tokenward session ` + e.Key.String() + `"`), nil
}

// Format prints nothing of the session.
func (Snapshot) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward snapshot") }

// MarshalJSON writes nothing of the session.
func (Snapshot) MarshalJSON() ([]byte, error) { return []byte(`"tokenward snapshot"`), nil }

// Format prints nothing of the query or its answer.
func (*Flight) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward flight") }

// MarshalJSON writes nothing of the query or its answer.
func (*Flight) MarshalJSON() ([]byte, error) { return []byte(`"tokenward flight"`), nil }

// Format prints no token.
func (Answer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward answer") }

// Format prints nothing of what the caller lends.
func (*Call) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward call") }
