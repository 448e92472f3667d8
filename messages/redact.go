package messages

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is embedded in every message. It keeps the contents out of formatted
// text and logs, and the message out of the log of dead letters.
type Redacted struct{}

// Format implements fmt.Formatter.
func (Redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward message") }

// String implements fmt.Stringer.
func (Redacted) String() string { return "tokenward message" }

// LogValue implements slog.LogValuer.
func (Redacted) LogValue() slog.Value { return slog.StringValue("tokenward message") }

// MarshalJSON implements json.Marshaler.
func (Redacted) MarshalJSON() ([]byte, error) { return []byte(`"tokenward message"`), nil }

// IgnoreDeadLetterLogging tells the actor library not to log the message.
func (Redacted) IgnoreDeadLetterLogging() {}

// What messages carry prints as little, where whoever has it in hand prints that.

// Format prints e without the session's id.
func (e *Entry) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "tokenward session "+e.Key.String())
}

// MarshalJSON writes e without the session's id.
func (e *Entry) MarshalJSON() ([]byte, error) {
	return []byte(`"tokenward session ` + e.Key.String() + `"`), nil
}

// Format prints nothing of the question or its answer.
func (*Flight) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward flight") }

// MarshalJSON writes nothing of the question or its answer.
func (*Flight) MarshalJSON() ([]byte, error) { return []byte(`"tokenward flight"`), nil }

// Format prints no token.
func (Answer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward answer") }

// Format prints nothing of what the caller lends.
func (*Call) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "tokenward call") }
