package secret

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// String is a text that shows itself only to [String.Reveal]: printing, logging and
// marshalling it give a placeholder.
type String struct{ value string }

// NewString wraps a secret text.
func NewString(value string) String { return String{value: value} }

// Reveal returns the secret itself. Use it where it is sent or compared, and nowhere else.
func (s String) Reveal() string { return s.value }

// IsZero says whether there is no secret.
func (s String) IsZero() bool { return s.value == "" }

// String implements [fmt.Stringer].
func (String) String() string { return redacted }

// GoString implements [fmt.GoStringer].
func (String) GoString() string { return redacted }

// Format implements [fmt.Formatter], for the verbs that do not ask a Stringer.
func (String) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(redacted))
}

// LogValue implements [slog.LogValuer].
func (String) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], which JSON and YAML ask.
func (String) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText implements [encoding.TextUnmarshaler], so that configuration can hold one.
func (s *String) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}
