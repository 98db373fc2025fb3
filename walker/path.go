package walker

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A path names one place of a document: `providers.openai.keys[0].value`.
// A member whose name is not made of letters, digits, `_`, `-`, `/`, `:`, `@`
// and `$` alone stands in brackets, as a JSON string: `headers["x.y"]`.

// appendKey adds the member whose name is still escaped.
func appendKey(path, raw []byte) []byte {
	if plainName(raw) {
		if len(path) > 0 {
			path = append(path, '.')
		}
		return append(path, raw...)
	}
	name := unescape(raw)
	if len(name) != len(raw) && plainName([]byte(name)) {
		return appendKey(path, []byte(name))
	}
	path = append(path, '[')
	path = appendString(path, name)
	return append(path, ']')
}

func appendIndex(path []byte, index int) []byte {
	path = append(path, '[')
	path = strconv.AppendInt(path, int64(index), 10)
	return append(path, ']')
}

// plain marks the bytes that a name may have and stand without brackets.
var plain = func() (t [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/:@$" {
		t[c] = true
	}
	return t
}()

func plainName(raw []byte) bool {
	for _, c := range raw {
		if !plain[c] {
			return false
		}
	}
	return len(raw) > 0
}

// appendString adds s as a JSON string that no terminal can be harmed by:
// control characters, also those that JSON would let through, are escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch high, low := utf16.EncodeRune(r); {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case strconv.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}

// Quote returns text, which must be valid UTF-8, as a JSON string in the way that
// Bifrost reads right: it decodes with Go's strconv.Unquote, which knows neither
// `\/` nor pairs of surrogates.
func Quote(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(err) // a string always encodes, and a builder always takes it
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Step is one step of a path: the name of a member or, where IsIndex is true, the
// number of an element.
type Step struct {
	Name    string
	Index   int
	IsIndex bool
}

// JoinPath spells the path of steps, as a Field or an Object has it.
func JoinPath(steps []Step) string {
	var path []byte
	for _, s := range steps {
		if s.IsIndex {
			path = appendIndex(path, s.Index)
			continue
		}
		quoted := Quote(s.Name)
		path = appendKey(path, []byte(quoted[1:len(quoted)-1]))
	}
	return string(path)
}

// SplitPath takes a path apart, as a Field or an Object has it. It reports false
// for a text that is no path.
func SplitPath(path string) (taken []Step, ok bool) {
	for first := true; path != ""; first = false {
		switch {
		case strings.HasPrefix(path, `["`):
			var name string
			dec := json.NewDecoder(strings.NewReader(path[1:]))
			if err := dec.Decode(&name); err != nil {
				return nil, false
			}
			rest, closed := strings.CutPrefix(path[1+dec.InputOffset():], "]")
			if !closed {
				return nil, false
			}
			taken = append(taken, Step{Name: name})
			path = rest
			continue
		case path[0] == '[':
			digits, rest, closed := strings.Cut(path[1:], "]")
			n, err := strconv.Atoi(digits)
			if !closed || err != nil || n < 0 || strconv.Itoa(n) != digits {
				return nil, false
			}
			taken = append(taken, Step{Index: n, IsIndex: true})
			path = rest
			continue
		case path[0] == '.' && !first:
			path = path[1:]
		case !first:
			return nil, false
		}
		end := 0
		for end < len(path) && plain[path[end]] {
			end++
		}
		if end == 0 {
			return nil, false
		}
		taken = append(taken, Step{Name: path[:end]})
		path = path[end:]
	}
	return taken, true
}
