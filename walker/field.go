package walker

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// What tells what stands in a field.
type What uint8

// The things that may stand in a field.
const (
	Literal What = iota // a text, in the string form or the object form
	Ref                 // a reference, in the string form or the object form
	Broken              // meant as a reference, but not a valid one: see Field.Err
	Null                // null
	Masked              // a placeholder that Bifrost shows in place of a secret, as in an exported config
	Other               // a number, true or false
)

// String returns the word that `explain` uses.
func (w What) String() string {
	return [...]string{"literal", "reference", "broken reference", "null", "masked", "other"}[w]
}

// Field is one place of a document that may bear a secret, and what stands
// there. Printing a Field shows its path and nothing of its value.
type Field struct {
	Entry *Entry // the catalogue's line; nil for a string outside of every field
	Path  string // `providers.openai.keys[0].value`
	Start int    // the value's first byte in the document
	End   int    // the byte after its last

	What What
	Ref  Reference // if What is Ref
	Err  error     // if What is Broken: a *ReferenceError

	// Object is true where the value is written in the object form.
	Object bool
	// Disputed is true where the versions of Bifrost would read the value in
	// different ways: an object form that some of them take for plain text. The
	// string form of the same thing is read alike by all.
	Disputed bool
	// DisputedOld and DisputedNew say which versions do: those up to 1.5, and some
	// of those above.
	DisputedOld, DisputedNew bool
	// Bare is true where a reference of type env lacks its `env.`: Bifrost resolves
	// it, but has a mere text when it reads its database.
	Bare bool
	// Misread is true where a string of a SecretVar field is escaped in a way
	// that Bifrost cannot decode (`\/`, or a pair of surrogates): it would take
	// the raw token, quotes included, for the value.
	Misread bool

	raw  []byte // the JSON text, part of the document
	text string // the literal of an object form
}

// Text returns the text of a Literal or Masked field, and the JSON text of an
// Other. It may be a secret.
func (f *Field) Text() string {
	switch {
	case f.Object && (f.What == Literal || f.What == Masked):
		return f.text
	case len(f.raw) > 0 && f.raw[0] == '"':
		return unescape(f.raw[1 : len(f.raw)-1])
	}
	return string(f.raw)
}

// Kind returns the kind of the field; a string outside of every field is a setting.
func (f *Field) Kind() Kind {
	if f.Entry == nil {
		return Setting
	}
	return f.Entry.Kind
}

// Format implements [fmt.Formatter]: it shows the path, whatever the verb.
func (f Field) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, f.Path) }

// NewField reads the JSON text raw, which must be valid, as the value of a field
// of e's form at path. It serves values that stand in no Document.
func NewField(e *Entry, path string, raw []byte) Field {
	f := Field{Entry: e, Path: path, End: len(raw)}
	f.read(raw, false)
	return f
}

// read finds out what stands in the field, whose JSON text is raw. Where plain is
// set, it is a string that has no escapes.
func (f *Field) read(raw []byte, plain bool) {
	f.raw = raw
	switch raw[0] {
	case '"':
		f.readString(raw[1:len(raw)-1], plain)
	case '{':
		f.Object = true
		f.readObject()
	case 'n':
		f.What = Null
	default:
		f.What = Other
	}
}

func (f *Field) readString(inner []byte, plain bool) {
	if !plain && bytes.IndexByte(inner, '\\') >= 0 {
		f.Misread = f.Entry != nil && f.Entry.Form == SecretVarForm && misread(inner)
	} else if len(inner) > 0 && inner[0] != 'v' && inner[0] != 'e' && !maybeMasked(inner) {
		f.What = Literal // by far the most common case, decided without a copy
		return
	}
	f.settle(unescape(inner))
}

// settle decides what a text means in a field of the string form.
func (f *Field) settle(text string) {
	switch ref, err := ParseReference(text); {
	case err != nil:
		f.What, f.Err = Broken, err
	case !ref.IsZero():
		f.What, f.Ref = Ref, ref
	case IsMasked(text):
		f.What = Masked
	default:
		f.What = Literal
	}
}

// misread reports whether Bifrost, which decodes the string form of a SecretVar
// with Go's strconv.Unquote and not as JSON, fails on the escapes of s. s is
// known to be valid JSON, so these are the only two that it can fail on.
func misread(s []byte) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if s[i] == '/' || s[i] == 'u' && (s[i+1]|0x20) == 'd' && s[i+2] >= '8' {
			return true
		}
	}
	return false
}

// maybeMasked is a quick test that every masked text passes.
func maybeMasked(s []byte) bool {
	c := s[0]
	return c == '*' || c == '<' || c == '[' || len(s) == maskedLen && s[len(s)/2] == '*'
}

// maskedLen is the length of the mask of a value that has more than eight
// characters: its first four, 24 asterisks, its last four.
const maskedLen = 32

// IsMasked reports whether text is a placeholder that Bifrost shows in place of
// a secret, and takes for "no change" when it reads one.
func IsMasked(text string) bool {
	if strings.EqualFold(text, "<redacted>") || strings.EqualFold(text, "[redacted]") {
		return true
	}
	n := strings.Count(text, "*")
	if n == len(text) {
		return n >= 1 && n <= 8
	}
	runes := []rune(text)
	return len(runes) == maskedLen && string(runes[4:28]) == strings.Repeat("*", 24)
}
