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
