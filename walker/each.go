package walker

import "sync"

// Matcher finds fields: those of the catalogue, and more that a user names.
type Matcher struct{ root *node }

// NewMatcher compiles the catalogue with more entries, which come first where
// they name the same place.
func NewMatcher(more []Entry) (*Matcher, error) {
	all := append(append([]Entry{}, more...), Catalogue()...)
	root, err := buildTrie(all)
	if err != nil {
		return nil, err
	}
	return &Matcher{root}, nil
}

// WalkWith is Walk with the fields of a matcher.
func (d *Document) WalkWith(m *Matcher, yield func(*Field) bool) { d.walk(m.root, yield) }

// outside is the line for what no line of the catalogue stands for.
var outside = Entry{Pattern: "**", Kind: Setting, Form: ZoneForm}

// Outside reports whether e stands for the strings outside of every field, as
// [Document.WalkAnywhere] yields them.
func (e *Entry) Outside() bool { return e.Pattern == outside.Pattern }

var anywhereMatcher = sync.OnceValue(func() *Matcher {
	m, err := NewMatcher([]Entry{outside})
	if err != nil {
		panic("walker: " + err.Error()) // the catalogue itself compiles
	}
	return m
})

// WalkAnywhere is Walk, but that every string outside of every field is yielded
// too, in its place, as one of a free-form zone.
func (d *Document) WalkAnywhere(yield func(*Field) bool) { d.walk(anywhereMatcher().root, yield) }

// Object is an object of a document.
type Object struct {
	Path    string
	Start   int // where its brace stands
	Members []Member
}

// Each calls yield for every object that stands at a pattern such as
// `providers.*.keys[]`, in the order of the document.
func (d *Document) Each(pattern string, yield func(Object)) {
	e := eacher{d: d, yield: yield, path: make([]byte, 0, 64)}
	e.at(space(d.data, 0), PatternSteps(pattern))
}

type eacher struct {
	d     *Document
	path  []byte
	yield func(Object)
}

func (e *eacher) at(i int, rest []string) {
	b, length := e.d.data, len(e.path)
	switch {
	case len(rest) == 0 && b[i] == '{':
		e.yield(Object{Path: string(e.path), Start: i, Members: e.d.members(i)})
	case len(rest) == 0:
	case rest[0] == "[]" && b[i] == '[':
		i = space(b, i+1)
		for index := 0; b[i] != ']'; index++ {
			e.path = appendIndex(e.path, index)
			e.at(i, rest[1:])
			e.path = e.path[:length]
			if i = space(b, skipValue(b, i)); b[i] == ',' {
				i = space(b, i+1)
			}
		}
	case rest[0] != "[]" && b[i] == '{':
		for _, m := range e.d.members(i) {
			name := b[m.Name.Start+1 : m.Name.End-1]
			if rest[0] != "*" && !sameName(name, rest[0]) {
				continue
			}
			e.path = appendKey(e.path, name)
			e.at(m.Value.Start, rest[1:])
			e.path = e.path[:length]
		}
	}
}

// Find gives the last member of the object with that name, compared without
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
func (d *Document) NameIs(m Member, name string) bool {
	return sameName(d.data[m.Name.Start+1:m.Name.End-1], name)
}

// String gives the text of a span that holds a JSON string, and "" for any
// other value.
func (d *Document) String(s Span) string {
	if d.data[s.Start] != '"' {
		return ""
	}
	return unescape(d.data[s.Start+1 : s.End-1])
}

// Duplicates calls yield for each member whose object has had a member of the
// very same name before, first being that one.
func (d *Document) Duplicates(yield func(first, again Member)) {
	dup := duplicates{d: d, yield: yield}
	dup.value(space(d.data, 0))
}

type duplicates struct {
	d     *Document
	yield func(first, again Member)
	keys  []Member // of the objects that are open, the innermost last
}

// value goes through the value at i and gives the place behind it.
func (u *duplicates) value(i int) int {
	b := u.d.data
	switch b[i] {
	case '[':
		for i = space(b, i+1); b[i] != ']'; {
			if i = space(b, u.value(i)); b[i] == ',' {
				i = space(b, i+1)
			}
		}
		return i + 1
	case '{':
		return u.object(i)
	}
	return skipValue(b, i)
}

func (u *duplicates) object(i int) int {
	b, base := u.d.data, len(u.keys)
	var index map[string]Member // only for objects with many members
	for i = space(b, i+1); b[i] != '}'; {
		m := Member{Name: Span{i, skipString(b, i)}}
		m.Value.Start = space(b, space(b, m.Name.End)+1)
		m.Value.End = u.value(m.Value.Start)
		name := b[m.Name.Start+1 : m.Name.End-1]
		if own := u.keys[base:]; len(own) < 24 {
			for _, k := range own {
				if m.Name.End-m.Name.Start == k.Name.End-k.Name.Start && string(name) == string(b[k.Name.Start+1:k.Name.End-1]) {
					u.yield(k, m)
					break
				}
			}
		} else {
			if index == nil {
				index = make(map[string]Member, 64)
				for i := len(own) - 1; i >= 0; i-- { // the first of a name stays
					index[string(b[own[i].Name.Start+1:own[i].Name.End-1])] = own[i]
				}
			}
			if first, ok := index[string(name)]; ok {
				u.yield(first, m)
			} else {
				index[string(name)] = m
			}
		}
		u.keys = append(u.keys, m)
		if i = space(b, m.Value.End); b[i] == ',' {
			i = space(b, i+1)
		}
	}
	u.keys = u.keys[:base]
	return i + 1
}
