package walker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// check makes sure that the document is one JSON object that the rest of the
// package can walk without looking right or left. gjson validates fast but
// recursively, and a stack that overflows cannot be recovered, so the depth is
// looked at first; what gjson lets through is looked at after it.
func (d *Document) check() error {
	if len(bytes.TrimLeft(d.data, " \t\r\n")) == 0 {
		return &DocumentError{Name: d.Name, Reason: "the document is empty", Hint: "an empty config is written {}"}
	}
	at := -1
	if at, d.sections = tooDeep(d.data); at >= 0 {
		return d.failAt(at, fmt.Sprintf("nested more than %d levels deep", MaxDepth), "is this a Bifrost config.json?")
	}
	if !gjson.ValidBytes(d.data) {
		if what, hint := resembles(d.data); what != "" {
			if !strings.Contains(what, "JSON") {
				what += ", and not JSON"
			}
			return &DocumentError{Name: d.Name, Reason: what, Hint: hint}
		}
		return d.syntaxError()
	}
	if !utf8.Valid(d.data) {
		return d.failAt(invalidUTF8(d.data), "not valid UTF-8", "save the file as UTF-8")
	}
	if at = loneSurrogate(d.data); at >= 0 {
		return d.failAt(at, `a \u escape for one half of a surrogate pair`, "write the whole character, or both halves")
	}
	if start := space(d.data, 0); d.data[start] != '{' {
		if what, hint := resembles(d.data); what != "" {
			return &DocumentError{Name: d.Name, Reason: what, Hint: hint}
		}
		return d.failAt(start, "the document is not a JSON object", "a config.json begins with {")
	}
	return nil
}

// tooDeep gives the place where data, which may be anything, is nested too
// deeply, and -1 where it is not. Since it goes over everything, it also gives
// the spans of the objects and arrays that stand right under the top: with them
// the members of the document are found without going over it again.
func tooDeep(data []byte) (at int, sections []Span) {
	depth := 0
	for i := 0; i < len(data); i++ {
		if !marks[data[i]] {
			continue
		}
		switch data[i] {
		case '"':
			for {
				if i = quote(data, i+1); i == len(data) {
					return -1, sections
				}
				if data[i-1] != '\\' || !escaped(data, i) {
					break
				}
			}
		case '{', '[':
			if depth++; depth > MaxDepth {
				return i, nil
			}
			if depth == 2 {
				sections = append(sections, Span{Start: i})
			}
		default:
			if depth--; depth == 1 && len(sections) > 0 {
				sections[len(sections)-1].End = i + 1
			}
		}
	}
	return -1, sections
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate gives the place of the first escape in valid JSON that is one
// half of a surrogate pair without its other half, and -1 where there is none.
func loneSurrogate(data []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(data[i:], '\\')
		if n < 0 {
			return -1
		}
		i += n + 1
		if data[i] != 'u' {
			continue
		}
		r := hex4(data[i+1:])
		if r < 0xd800 || r > 0xdfff {
			continue
		}
		if r >= 0xdc00 || data[i+5] != '\\' || data[i+6] != 'u' {
			return i - 1
		}
		if low := hex4(data[i+7:]); low < 0xdc00 || low > 0xdfff {
			return i - 1
		}
		i += 10
	}
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

// unclosed gives the place and the kind of the innermost thing that is still
// open at the end of data; an empty kind where nothing is.
func unclosed(data []byte) (at int, what string) {
	var open []int
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			open = append(open, i)
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
