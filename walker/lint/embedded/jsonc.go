package embedded

import (
	"bytes"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// Commented returns the document in a text of JSON with comments: those that
// begin with // or are between /* and */, and a comma behind the last member or
// element. Its errors are those of [walker.Parse].
func Commented(name string, text []byte) (Config, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	plain, anchors := uncommented(text)
	doc, err := walker.ParseWithin(name, plain, anchors)
	return Config{Document: doc, Copied: true}, err
}

// uncommented returns the text with spaces in the place of comments and of
// trailing commas. Every byte of JSON keeps its offset; the anchors say where
// characters of several bytes in a comment have moved what follows.
func uncommented(text []byte) ([]byte, []walker.Anchor) {
	out := bytes.Clone(text)
	var anchors []walker.Anchor
	comma := -1 // that no member or element has followed yet
	at, seen := start, 0
	for i := 0; i < len(out); {
		switch c := out[i]; {
		case c == '"':
			comma = -1
			i = behindString(out, i)
		case c == '/' && i+1 < len(out) && (out[i+1] == '/' || out[i+1] == '*'):
			end := behindComment(out, i)
			wide := utf8.RuneCount(out[i:end]) < end-i
			for j := i; j < end; j++ {
				if out[j] != '\n' && out[j] != '\r' {
					out[j] = ' '
				}
			}
			if wide {
				at, seen = at.After(text[seen:end]), end
				anchors = append(anchors, walker.Anchor{Offset: end, Position: at, Text: true})
			}
			i = end
		default:
			switch c {
			case ',':
				comma = i
			case '}', ']':
				if comma >= 0 {
					out[comma] = ' '
				}
				comma = -1
			case ' ', '\t', '\r', '\n':
			default:
				comma = -1
			}
			i++
		}
	}
	if anchors != nil {
		anchors = append([]walker.Anchor{{Position: start, Text: true}}, anchors...)
	}
	return out, anchors
}

func behindString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// behindComment returns the offset behind the comment at i, which for one that
// ends with its line is that of the line's end.
func behindComment(b []byte, i int) int {
	end, skip := "\n", 0
	if b[i+1] == '*' {
		end, skip = "*/", 2
	}
	if n := bytes.Index(b[i+2:], []byte(end)); n >= 0 {
		return i + 2 + n + skip
	}
	return len(b)
}

// start is where a text begins.
var start = walker.Position{Line: 1, Column: 1}
