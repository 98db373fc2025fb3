package sources

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Tags is how a backend keeps a [Mark] in small texts by key, such as tags or
// custom metadata, which everybody sees who may list secrets.
type Tags struct {
	Owner string // the key of the owner
	Path  string // the key of the path
	Next  string // stands between the key of the path and the number of its second, third part
	Max   int    // the most bytes of one text
	Parts int    // the most parts that a path is cut into
	// Plain reports whether a byte may stand as it is; any other, and the equals
	// sign, is written as =XX. Nil means that every UTF-8 text may.
	Plain func(c byte) bool
}

// The key and the text that say, for people who filter by it, what stored a secret.
const (
	ToolKey = "managed-by"
	Tool    = "bifrost-secrets"
)

// Of returns the texts of a mark by their keys, or an error of kind Refused. The
// text of a part that the path does not need is empty.
func (t Tags) Of(m Mark) (map[string]string, *Error) {
	owner, path := m.Owner, m.Path
	if t.Plain != nil {
		owner, path = Escape(owner, t.Plain), Escape(path, t.Plain)
	}
	refused := func(message, hint string) (map[string]string, *Error) {
		return nil, NewError(Refused, message, hint)
	}
	switch {
	case !utf8.ValidString(owner), !utf8.ValidString(path):
		return refused("the name of the gateway or the JSON path is not utf-8 text", "take another --gateway")
	case len(owner) > t.Max:
		return refused(fmt.Sprintf("the name of the gateway takes %d bytes, and %d are allowed", len(owner), t.Max), "take a shorter --gateway")
	}
	texts := map[string]string{ToolKey: Tool, t.Owner: owner}
	for n := range t.Parts {
		end := min(len(path), t.Max)
		for end < len(path) && !utf8.RuneStart(path[end]) {
			end--
		}
		texts[t.key(n)], path = path[:end], path[end:]
	}
	if path != "" {
		return refused("the JSON path of the field is too long to be kept", "store the value by hand, and write a reference to it")
	}
	return texts, nil
}

// Mark returns the mark that texts hold, and nil where they are not ours.
func (t Tags) Mark(texts map[string]string) *Mark {
	m := Mark{Owner: texts[t.Owner]}
	for n := range t.Parts {
		m.Path += texts[t.key(n)]
	}
	if texts[ToolKey] != Tool || m.Owner == "" {
		return nil
	}
	if t.Plain != nil {
		m.Owner, m.Path = Unescape(m.Owner), Unescape(m.Path)
	}
	return &m
}

// key returns the key of the nth part of a path.
func (t Tags) key(n int) string {
	if n == 0 {
		return t.Path
	}
	return t.Path + t.Next + strconv.Itoa(n+1)
}

// Escape returns a text with =XX in the place of each byte that is not plain, and of
// the equals sign.
func Escape(text string, plain func(c byte) bool) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c != '=' && plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// Unescape reads back what [Escape] has written. What is no escape stays as it is.
func Unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && i+2 < len(text) {
			if c, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
