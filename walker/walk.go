package walker

import (
	"slices"
	"sync"
)

// Walk calls yield for every field of the document, in the order in which they
// stand there, until yield returns false. The Field is the same memory at each
// call: copy it to keep it. The bytes that it refers to are the document's.
//
// A string outside of every field that looks like a reference is yielded too,
// after the fields, with a nil Entry: nothing resolves it, but whoever wrote it
// will have hoped so.
func (d *Document) Walk(yield func(*Field) bool) { d.WalkWith(nil, yield) }

// Matcher finds fields: those of the catalogue, and more that a user names. That
// of the catalogue alone is nil.
type Matcher struct{ root *node }

// NewMatcher compiles the catalogue with more entries, which come first where
// they name the same place.
func NewMatcher(more []Entry) *Matcher {
	if len(more) == 0 {
		return nil
	}
	return &Matcher{buildTrie(append(append([]Entry{}, more...), Catalogue()...))}
}

// WalkWith is Walk with the fields of a matcher.
func (d *Document) WalkWith(m *Matcher, yield func(*Field) bool) {
	all := &d.found
	if m != nil {
		other, _ := scan(d.data, m.root) // the document is known to be valid
		all = &other
	}
	var f Field
	next := func(start, end int, plain bool) bool {
		f.Start, f.End = start, end
		f.read(d.data[start:end], plain)
		return yield(&f)
	}
	for _, part := range all.fields {
		for _, p := range part {
			if f = (Field{Entry: p.entry, Path: p.path}); !next(int(p.start), int(p.end), p.plain) {
				return
			}
		}
	}
	paths := d.Paths(all.strays...)
	for _, start := range all.strays {
		if f = (Field{Path: paths[start]}); !next(start, text(d.data, start), false) {
			return
		}
	}
}

// outside is the line for what no line of the catalogue stands for.
var outside = Entry{Pattern: "**", Kind: Setting, Form: ZoneForm}

// Outside reports whether e stands for the strings outside of every field, as
// [Document.WalkAnywhere] yields them.
func (e *Entry) Outside() bool { return e.Pattern == outside.Pattern }

var withOutside = sync.OnceValue(func() *Matcher { return NewMatcher([]Entry{outside}) })

// WalkAnywhere is Walk, but that every string outside of every field is yielded
// too, in its place, as one of a free-form zone.
func (d *Document) WalkAnywhere(yield func(*Field) bool) { d.WalkWith(withOutside(), yield) }

// References returns about how many fields of the catalogue hold a reference to a
// vault, and as a rule no fewer than do. It goes over nothing.
func (d *Document) References() int { return d.found.refers }

// Visit calls yield for each member and each element of the document, from the
// outermost in, until yield returns false: at is where its value stands, and name
// has a zero End for an element. The path is the same memory at each call.
func (d *Document) Visit(yield func(path []byte, name Span, at int) bool) {
	var path []byte
	var in func(i int) int
	in = func(i int) int {
		if d.data[i] != '{' && d.data[i] != '[' {
			return behind(d.data, i)
		}
		length, index := len(path), -1
		return d.Children(i, func(name Span, at int) int {
			if index++; name.End == 0 {
				path = appendIndex(path[:length], index)
			} else {
				path = appendKey(path[:length], d.inside(name))
			}
			if !yield(path, name, at) {
				return -1
			}
			return in(at)
		})
	}
	in(d.start())
}

// Paths returns the paths of the members and elements at offsets, which are the
// places of their values or names. It goes over the document once.
func (d *Document) Paths(offsets ...int) map[int]string {
	paths := make(map[int]string, len(offsets))
	if offsets = slices.Sorted(slices.Values(offsets)); len(offsets) == 0 {
		return paths
	}
	d.Visit(func(path []byte, name Span, at int) bool {
		for ; len(offsets) > 0 && offsets[0] <= at; offsets = offsets[1:] {
			if start := offsets[0]; start == at || name.End > 0 && start == name.Start {
				paths[start] = string(path)
			}
		}
		return len(offsets) > 0
	})
	return paths
}
