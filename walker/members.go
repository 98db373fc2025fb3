package walker

import "bytes"

// Span is a range of bytes of a document: from Start to before End.
type Span struct{ Start, End int }

// Member is a member of an object: its name and its value as they stand in the
// document.
type Member struct {
	Name, Value Span
}

// Object is an object of a document.
type Object struct {
	Path    string
	Start   int // where its brace stands
	Members []Member
}

// behind returns the place behind the value at i of valid JSON.
func behind(b []byte, i int) int {
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		for depth := 0; ; {
			for !marks[b[i]] {
				i++
			}
			switch b[i] {
			case '"':
				i = text(b, i)
				continue
			case '{', '[':
				depth++
			default:
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(b) && !ends[b[i]] {
		i++
	}
	return i
}

// marks are the bytes that matter on the way to the end of an object or array.
var marks = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true}

// ends marks the bytes that end a number or a word.
var ends = [256]bool{' ': true, '\t': true, '\n': true, '\r': true, ',': true, ']': true, '}': true}

// children calls yield for each member or element of the object or array at i of
// valid JSON: at is where its value stands, and name has a zero End for an
// element. yield returns the place behind the value, 0 where it has not gone
// there, or -1 to stop. The result is the place behind the whole, or -1.
func children(b []byte, i int, yield func(name Span, at int) int) int {
	object := b[i] == '{'
	for i = space(b, i+1); b[i] != '}' && b[i] != ']'; {
		var name Span
		at := i
		if object {
			name = Span{i, text(b, i)}
			at = space(b, space(b, name.End)+1)
		}
		if i = yield(name, at); i == 0 {
			i = behind(b, at)
		}
		if i < 0 {
			return -1
		}
		if i = space(b, i); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	return i + 1
}

// Children calls yield for each member or element of the object or array at i, in
// order: at is where its value stands, and name has a zero End for an element.
// yield returns the place behind the value, if it has gone there, 0 if not, and -1
// to stop. The result is the place behind the object or array, or -1.
func (d *Document) Children(i int, yield func(name Span, at int) int) int {
	if i != d.start() {
		return children(d.data, i, yield)
	}
	for _, m := range d.top { // which are known, so that nothing of them is gone over again
		if yield(m.Name, m.Value.Start) < 0 {
			return -1
		}
	}
	return len(d.data)
}

// Behind returns the place behind the value at i.
func (d *Document) Behind(i int) int { return behind(d.data, i) }

// start is where the object begins that the document is.
func (d *Document) start() int { return space(d.data, 0) }

// members returns the members of the object at i, and the place behind it.
func (d *Document) members(i int) (all []Member, end int) {
	if i == d.start() {
		return d.top, len(d.data)
	}
	end = children(d.data, i, func(name Span, at int) int {
		end := behind(d.data, at)
		all = append(all, Member{name, Span{at, end}})
		return end
	})
	return all, end
}

// Members returns the members at a path of names from the top, each name being
// compared as Bifrost compares it, without regard to case. There is more than
// one where a name is repeated.
func (d *Document) Members(names ...string) (found []Member) {
	for _, all := range d.around(names) {
		for _, m := range all {
			if d.NameIs(m, names[len(names)-1]) {
				found = append(found, m)
			}
		}
	}
	return found
}

// around returns the members, all of them, of each object that may hold what is at
// a path of names.
func (d *Document) around(names []string) (objects [][]Member) {
	if len(names) == 1 {
		return [][]Member{d.top}
	}
	for _, m := range d.Members(names[:len(names)-1]...) {
		if d.data[m.Value.Start] == '{' {
			objects = append(objects, d.ObjectAt(m.Value.Start).Members)
		}
	}
	return objects
}

// Without returns the spans, in rising order, whose removal takes the members at
// that path out of the document and leaves valid JSON: each run of members goes
// with one comma, and the space around what stays is kept.
func (d *Document) Without(names ...string) (cuts []Span) {
	for _, all := range d.around(names) {
		for i := 0; i < len(all); i++ {
			first := i
			for i < len(all) && d.NameIs(all[i], names[len(names)-1]) {
				i++
			}
			if i == first {
				continue
			}
			cut := Span{all[first].Name.Start, all[i-1].Value.End}
			switch {
			case i < len(all):
				cut.End = all[i].Name.Start
			case first > 0:
				cut.Start = all[first-1].Value.End
			}
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// Each calls yield for every object that stands at a pattern such as
// `providers.*.keys[]`, in the order of the document.
func (d *Document) Each(pattern string, yield func(Object)) {
	path := make([]byte, 0, 64)
	var in func(i int, rest []string) int
	in = func(i int, rest []string) int {
		length, index := len(path), -1
		switch {
		case len(rest) == 0 && d.data[i] == '{':
			all, end := d.members(i)
			yield(Object{Path: string(path), Start: i, Members: all})
			return end
		case len(rest) == 0, d.data[i] != '{' && d.data[i] != '[', (d.data[i] == '[') != (rest[0] == "[]"):
			return 0
		}
		return d.Children(i, func(name Span, at int) int {
			switch index++; {
			case rest[0] == "[]":
				path = appendIndex(path[:length], index)
			case rest[0] == "*" || sameName(d.inside(name), rest[0]):
				path = appendKey(path[:length], d.inside(name))
			default:
				return 0
			}
			return in(at, rest[1:])
		})
	}
	in(d.start(), PatternSteps(pattern))
}

// ObjectAt returns the object at i, without its path.
func (d *Document) ObjectAt(i int) Object {
	all, _ := d.members(i)
	return Object{Start: i, Members: all}
}

// Find returns the last member of the object with that name, compared without
// regard to case.
func (d *Document) Find(o Object, name string) (Member, bool) {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if d.NameIs(o.Members[i], name) {
			return o.Members[i], true
		}
	}
	return Member{}, false
}

// NameIs reports whether a member is called name, without regard to case.
func (d *Document) NameIs(m Member, name string) bool { return sameName(d.inside(m.Name), name) }

// sameName reports whether a name, as it stands between its quotes, is name in the
// eyes of encoding/json.
func sameName(raw []byte, name string) bool {
	for _, c := range raw {
		if c == '\\' || c >= 0x80 {
			return foldName(unescape(raw)) == foldName(name)
		}
	}
	// Only case can hide a name that is ASCII without escapes.
	return len(raw) == len(name) && (string(raw) == name || bytes.EqualFold(raw, []byte(name)))
}

// Text returns the bytes of a span. They must not be changed.
func (d *Document) Text(s Span) []byte { return d.data[s.Start:s.End] }

// inside returns what stands between the quotes of a string.
func (d *Document) inside(s Span) []byte { return d.data[s.Start+1 : s.End-1] }

// String returns the text of a span that holds a JSON string, and "" for any
// other value.
func (d *Document) String(s Span) string {
	if d.data[s.Start] != '"' {
		return ""
	}
	return unescape(d.inside(s))
}

// Strings calls yield for every string of the document in turn, the names of
// members included, until yield returns false: wherever it stands, and whether or
// not anything is known of that place. The span has the quotes; text is decoded.
func (d *Document) Strings(yield func(at Span, text string, name bool) bool) {
	d.Visit(func(_ []byte, name Span, at int) bool {
		if name.End > 0 && !yield(name, d.String(name), true) {
			return false
		}
		if d.data[at] != '"' {
			return true
		}
		value := Span{at, behind(d.data, at)}
		return yield(value, d.String(value), false)
	})
}
