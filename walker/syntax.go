package walker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// refusal returns why the document is none: the first thing that is wrong with it,
// in the order in which people would want to know. It need not be fast.
func (d *Document) refusal() error {
	if len(bytes.TrimLeft(d.data, " \t\r\n")) == 0 {
		return &DocumentError{Name: d.Name, Reason: "the document is empty", Hint: "an empty config is written {}"}
	}
	if at, what := unclosed(d.data); what == "too deep" {
		return d.failAt(at, fmt.Sprintf("nested more than %d levels deep", MaxDepth), "is this a Bifrost config.json?")
	}
	if !json.Valid(d.data) {
		if what, hint := Resembles(d.data); what != "" {
			if !strings.Contains(what, "JSON") {
				what += ", and not JSON"
			}
			return &DocumentError{Name: d.Name, Reason: what, Hint: hint}
		}
		return d.syntaxError()
	}
	for i := 0; i < len(d.data); {
		r, n := utf8.DecodeRune(d.data[i:])
		if r == utf8.RuneError && n == 1 {
			return d.failAt(i, "not valid UTF-8", "save the file as UTF-8")
		}
		i += n
	}
	for i := 0; i < len(d.data); i++ {
		if d.data[i] != '\\' {
			continue
		}
		end := escape(d.data, i)
		if end < 0 {
			return d.failAt(i, `a \u escape for one half of a surrogate pair`, "write the whole character, or both halves")
		}
		i = end - 1
	}
	if what, hint := Resembles(d.data); what != "" {
		return &DocumentError{Name: d.Name, Reason: what, Hint: hint}
	}
	return d.failAt(d.start(), "the document is not a JSON object", "a config.json begins with {")
}

// syntaxError finds where and why the document is not valid JSON. It names no
// character of the document, since that may be one of a secret.
func (d *Document) syntaxError() error {
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(d.data, new(json.RawMessage)), &syntax) {
		return d.failAt(0, "not valid JSON", "")
	}
	at := int(syntax.Offset) - 1
	if syntax.Error() == "unexpected end of JSON input" {
		open, what := unclosed(d.data)
		pos := d.Position(open)
		return d.failAt(len(d.data), "the document ends too early", fmt.Sprintf("the %s that begins at %d:%d is not closed", what, pos.Line, pos.Column))
	}
	before := bytes.TrimRight(d.data[:at], " \t\r\n")
	_, what := unclosed(d.data[:at])
	c := d.data[at]
	switch {
	case c == 0:
		return d.failAt(at, "a NUL byte", "is the file text, in UTF-8?")
	case what == "string" && c < ' ':
		return d.failAt(at, "a line break or control character inside a string", `write it as an escape such as \n`)
	case what == "string":
		return d.failAt(at, "an escape that JSON does not have", `write a backslash itself as \\`)
	case c == '/' || c == '#':
		return d.failAt(at, "a comment, which JSON does not have", "remove it")
	case (c == '}' || c == ']') && bytes.HasSuffix(before, []byte(",")):
		return d.failAt(len(before)-1, "a comma after the last element", "remove it")
	case bytes.HasPrefix(d.data[at:], []byte("<<<<<<< ")), bytes.HasPrefix(d.data[at:], []byte("=======")), bytes.HasPrefix(d.data[at:], []byte(">>>>>>> ")):
		return d.failAt(at, "a conflict marker of Git", "resolve the conflict")
	case what == "" && len(before) == 0:
		return d.failAt(at, "not JSON", writeJSON)
	case c == '{' && bytes.HasSuffix(d.data[:at], []byte("{")):
		return d.failAt(at-1, "a template, {{…}}, which nothing has filled in", "fill it in before Bifrost reads the file")
	case c >= 0x80 && isQuote(d.data[at:]):
		return d.failAt(at, "a typographic quote where a value or a name should be", "JSON strings stand in plain double quotes")
	case what == "object" && letter(c) && (bytes.HasSuffix(before, []byte("{")) || bytes.HasSuffix(before, []byte(","))):
		return d.failAt(at, "a name without quotes", "write names in double quotes")
	case what == "":
		return d.failAt(at, "something follows the end of the document", "remove it")
	case c == '\'':
		return d.failAt(at, "a single quote where a value or a name should be", "JSON strings stand in double quotes")
	}
	return d.failAt(at, "not valid JSON: unexpected character", "")
}

func isQuote(data []byte) bool {
	r, _ := utf8.DecodeRune(data)
	return TypographicQuote(r)
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' }

// unclosed returns the place and the kind of the innermost thing that is still
// open at the end of data, which may be anything; an empty kind where nothing is.
// Where data is nested too deeply, the place is that where it becomes so.
func unclosed(data []byte) (at int, what string) {
	var open []int
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if open = append(open, i); len(open) > MaxDepth {
				return i, "too deep"
			}
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case '"':
			start := i
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if i >= len(data) {
				return start, "string"
			}
		}
	}
	if len(open) == 0 {
		return 0, ""
	}
	at = open[len(open)-1]
	if data[at] == '[' {
		return at, "array"
	}
	return at, "object"
}
