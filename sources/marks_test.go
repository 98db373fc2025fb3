package sources

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every mark comes back as it was, in texts that the backend can have.
func FuzzTags(f *testing.F) {
	for _, text := range []string{"", "a.b[0]", "=", "=4", "=ZZ", "ü \x00", "\xff", strings.Repeat("ü", 9), strings.Repeat("=", 40)} {
		f.Add(text, text)
	}
	f.Add("\xd1", "\x8c") // halves of one character
	const most, parts = 7, 3
	escaped := Tags{Owner: "o", Path: "p", Next: ".", Max: most, Parts: parts, Plain: Alphanumeric}
	asItIs := escaped
	asItIs.Plain = nil
	f.Fuzz(func(t *testing.T, owner, path string) {
		for _, tags := range []Tags{escaped, asItIs} {
			texts, err := tags.Of(Mark{owner, path})
			if err != nil {
				fits := len(owner) <= most/3 && len(path) <= parts*most/3
				if err.Kind != Refused || err.Hint == "" || fits && utf8.ValidString(owner) && utf8.ValidString(path) {
					t.Errorf("%q of %q: %v (%s)", path, owner, err, err.Hint)
				}
				continue
			}
			for key, text := range texts {
				if key == ToolKey {
					continue
				}
				wrong := func(c rune) bool { return c != '=' && !Alphanumeric(byte(c)) }
				if len(text) > most || !utf8.ValidString(text) || tags.Plain != nil && strings.ContainsFunc(text, wrong) {
					t.Errorf("%s is %q", key, text)
				}
			}
			switch m := tags.Mark(texts); {
			case owner == "":
				if m != nil {
					t.Errorf("nobody's mark is read as %+v", m)
				}
			case m == nil || *m != (Mark{owner, path}):
				t.Errorf("%q of %q came back as %+v", path, owner, m)
			}
			// Whatever stands in a tag is read.
			tags.Mark(map[string]string{ToolKey: Tool, "o": owner, "p": path, "p.2": path})
		}
	})
}

// What bears no mark of ours is nobody's.
func TestNoMark(t *testing.T) {
	tags := Tags{Owner: "o", Path: "p", Next: ".", Max: 9, Parts: 2}
	for _, texts := range []map[string]string{nil, {ToolKey: Tool}, {"o": "x"}, {ToolKey: "terraform", "o": "x", "p": "y"}} {
		if m := tags.Mark(texts); m != nil {
			t.Errorf("%v is the mark %+v", texts, m)
		}
	}
	texts, err := tags.Of(Mark{Owner: "x", Path: "123456789abc"})
	if err != nil || !slices.Equal([]string{texts["p"], texts["p.2"], texts[ToolKey]}, []string{"123456789", "abc", Tool}) {
		t.Errorf("%v, %v", texts, err)
	}
}
