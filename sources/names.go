package sources

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Names maps names to the ids of a backend that allows fewer characters in
// them. A name that is an id stays as it is. In any other, each byte that the
// backend does not allow is written as -xHH-, with its two hexadecimal digits:
// a/b is a-x2F-b.
//
// The map goes both ways: an id that is how another name is written is no name
// itself, and [Names.ID] refuses it.
type Names struct {
	Allowed func(c byte) bool // the hyphen, the letters and the digits are to be among them
	Max     int               // the most characters of an id
	Fold    bool              // ids that differ in case alone are the same
	System  string            // whose ids they are, for messages: `gcp`
}

// Alphanumeric reports whether c is a letter or a digit of ASCII.
func Alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// ID returns the id of a name, or an error of kind BadName.
func (n Names) ID(name string) (string, *Error) {
	bad := func(hint, format string, args ...any) (string, *Error) {
		return "", NewError(BadName, fmt.Sprintf("%q ", Shorten(name))+fmt.Sprintf(format, args...), hint).Of(name)
	}
	if name == "" {
		return bad("write the name of a secret after `vault.`", "is not the name of a secret")
	}
	if unwritable(name) {
		return bad("leave out control characters and what is not utf-8", "cannot be the name of a secret")
	}
	id := n.encode(name)
	if len(id) > n.Max {
		return bad(fmt.Sprintf("%s allows ids of %d characters; each character but letters, digits and what %s allows beside them takes five", n.System, n.Max, n.System),
			"is too long for %s: its id would have %d characters", n.System, len(id))
	}
	if other := n.Name(id); id == name && other != id {
		return bad("write "+Shorten(other)+" instead", "is the id that %s has for the name %q", n.System, Shorten(other))
	}
	return id, nil
}

// unwritable reports whether a text cannot be a name, whatever its id would be.
func unwritable(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
}

// Name returns the name of an id, which may be any id that the backend has.
func (n Names) Name(id string) string {
	name, escaped := decode(id)
	if !escaped || unwritable(name) {
		return id
	}
	if again := n.encode(name); again != id && !(n.Fold && strings.EqualFold(again, id)) {
		return id
	}
	return name
}

func (n Names) encode(name string) string {
	plain := true
	for i := range len(name) {
		plain = plain && n.Allowed(name[i])
	}
	if plain {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if n.Allowed(c) && !n.escapeLike(name[i:]) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "-x%02X-", c)
		}
	}
	return b.String()
}

// escapeLike reports whether what begins a name would look like an escape once it
// is written: its last hyphen may be the first of the next escape.
func (n Names) escapeLike(text string) bool {
	if len(text) < escapeLength {
		return false
	}
	_, ok := escapeAt(text[:escapeLength-1] + "-")
	return ok && (text[escapeLength-1] == '-' || !n.Allowed(text[escapeLength-1]))
}

const escapeLength = len("-xHH-")

// escapeAt returns the byte that an escape at the beginning of text stands for.
func escapeAt(text string) (byte, bool) {
	if len(text) < escapeLength || text[0] != '-' || text[1] != 'x' && text[1] != 'X' || text[4] != '-' {
		return 0, false
	}
	c, err := strconv.ParseUint(text[2:4], 16, 8)
	return byte(c), err == nil
}

func decode(id string) (name string, escaped bool) {
	var b strings.Builder
	for i := 0; i < len(id); {
		if c, ok := escapeAt(id[i:]); ok {
			b.WriteByte(c)
			i += escapeLength
			escaped = true
			continue
		}
		b.WriteByte(id[i])
		i++
	}
	return b.String(), escaped
}

// Shorten returns the beginning of a name that is too long for a message.
func Shorten(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "..."
	}
	return s
}

// Prefix returns what the ids of names begin with that begin with prefix and have
// a byte in it that the backend does not allow, such as a slash.
func (n Names) Prefix(prefix string) string { return n.encode(prefix) }
