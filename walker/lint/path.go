package lint

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// pathsOf gives the paths of what stands at the offsets: of a member, be it its
// name or its value, or of an element. The outline keeps no paths, since only
// findings want them.
func pathsOf(doc *walker.Document, offsets ...int) map[int]string {
	p := &pathfinder{doc: doc, b: doc.Bytes(), found: make(map[int]string, len(offsets))}
	for _, offset := range offsets {
		p.found[offset] = ""
	}
	if len(offsets) > 0 {
		p.value(space(p.b, 0))
	}
	return p.found
}

func pathsOfObjects(doc *walker.Document, objects []walker.Object) map[int]string {
	var offsets []int
	for _, o := range objects {
		offsets = append(offsets, o.Start)
	}
	return pathsOf(doc, offsets...)
}

type pathfinder struct {
	doc   *walker.Document
	b     []byte
	steps []step
	found map[int]string
	// called is what elements are called, by their paths; see callElement.
	called map[string]string
}

// step is a member or, where its name is empty, an element of an array.
type step struct {
	name  walker.Span
	index int
}

func (p *pathfinder) at(offset int) {
	if _, ok := p.found[offset]; ok {
		p.found[offset] = p.path()
	}
}

// value goes through the value at i and gives the place behind it.
func (p *pathfinder) value(i int) int {
	p.at(i)
	open := p.b[i]
	if open != '{' && open != '[' {
		return scalar(p.b, i)
	}
	p.steps = append(p.steps, step{})
	own := len(p.steps) - 1
	for i = space(p.b, i+1); p.b[i] != '}' && p.b[i] != ']'; p.steps[own].index++ {
		if open == '{' {
			p.steps[own].name = walker.Span{Start: i, End: text(p.b, i)}
			p.at(i)
			i = space(p.b, space(p.b, p.steps[own].name.End)+1)
		}
		if open == '[' {
			p.callElement(i)
		}
		i = comma(p.b, p.value(i))
	}
	p.steps = p.steps[:own]
	return i + 1
}

// path spells the steps in the way in which walker spells the paths of fields; a
// test holds the two against each other.
func (p *pathfinder) path() string {
	var out []byte
	for _, s := range p.steps {
		if s.name.End == 0 {
			out = append(out, '[')
			out = strconv.AppendInt(out, int64(s.index), 10)
			out = append(out, ']')
			continue
		}
		switch name := p.doc.String(s.name); {
		case !plainName(name):
			out = append(out, '[')
			out = appendQuoted(out, name)
			out = append(out, ']')
		case len(out) > 0:
			out = append(out, '.')
			fallthrough
		default:
			out = append(out, name...)
		}
	}
	return string(out)
}

func plainName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_-/:@$", c) >= 0:
		default:
			return false
		}
	}
	return name != ""
}

// appendQuoted adds s as a JSON string without anything that a terminal could
// be harmed by.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case strconv.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			dst = append(dst, "\ufffd"...)
		default:
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
	}
	return append(dst, '"')
}

// lastName gives the name of the last member in a path, which may be followed
// by the indexes of arrays.
func lastName(path string) string {
	for strings.HasSuffix(path, "]") && !strings.HasSuffix(path, `"]`) {
		path = path[:strings.LastIndexByte(path, '[')]
	}
	if quoted, ok := strings.CutSuffix(path, `"]`); ok {
		// A quote inside of a name has a backslash before it.
		return quoted[strings.LastIndex(quoted, `["`)+2:]
	}
	return path[strings.LastIndexAny(path, ".]")+1:]
}
