package sources

import (
	"fmt"
	"io"
	"log/slog"
)

// masked is what every printer shows in place of a value.
const masked = "[secret]"

// Secret holds the value of a secret. However it is printed (any fmt verb,
// encoding/json, encoding.TextMarshaler, log/slog, a panic), it shows
// "[secret]"; the value is had only by asking for it with [Secret.Reveal].
//
// The value sits in a closure, since a printer that walks a struct by reflection
// (which fmt does with unexported fields, without asking their methods) can
// follow a pointer, but not a function.
type Secret struct {
	reveal func() []byte
}

// NewSecret takes ownership of b: the caller must not change it afterwards.
func NewSecret(b []byte) Secret { return Secret{reveal: func() []byte { return b }} }

// Reveal returns the value itself. The result must not be changed, logged or put
// into an error. The zero Secret reveals nil.
func (s Secret) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Len returns the length of the value in bytes.
func (s Secret) Len() int { return len(s.Reveal()) }

// Format implements [fmt.Formatter], which wins over every other way that the
// fmt package knows to print a value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// String implements [fmt.Stringer] for callers that do not go through fmt.
func (Secret) String() string { return masked }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return masked }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalText implements [encoding.TextMarshaler].
func (Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// Error makes a Secret that is passed to panic print its mask: the runtime
// prints an error by calling Error, and any other struct as an address.
func (Secret) Error() string { return masked }
