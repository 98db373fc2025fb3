package report

import (
	"cmp"
	"slices"

	"bifrost-secrets/walker"
)

// kind is what a token is. No token goes over the end of a line: JSON has no
// raw line break inside a string.
type kind uint8

const (
	blank  kind = iota // spaces, tabs and carriage returns
	mark               // one of {}[],:
	key                // the name of a member
	text               // a string that is a value
	number             // a number
	word               // true, false or null
	end                // of the line, or of the document
)

type token struct {
	walker.Span
	kind  kind
	width int // columns that it takes when it is shown
}

// shown are the references of a document, the only values that may be shown, in
// rising order.
type shown struct {
	doc  *walker.Document
	refs []reference
}

type reference struct {
	walker.Span
	ref walker.Reference
}

// references finds what may be shown. A text that only looks like a reference,
// in the value of an object form perhaps, is none of them.
func references(doc *walker.Document) *shown {
	s := &shown{doc: doc}
	doc.Walk(func(f *walker.Field) bool {
		if f.What == walker.Ref && f.Ref.Shown() == f.Ref.String() { // else it may hold the secret itself
			s.refs = append(s.refs, reference{walker.Span{Start: f.Start, End: f.End}, f.Ref})
		}
		return true
	})
	slices.SortFunc(s.refs, func(a, b reference) int { return cmp.Compare(a.Start, b.Start) })
	return s
}

// has reports whether the string at t is a reference: all of its field, or the
// part of an object form that spells it.
func (s *shown) has(t token) bool {
	i, exact := slices.BinarySearchFunc(s.refs, t.Start, func(r reference, start int) int { return cmp.Compare(r.Start, start) })
	if exact {
		return true
	}
	if i == 0 || s.refs[i-1].End <= t.Start {
		return false
	}
	r := &s.refs[i-1]
	return t.End-t.Start <= 4*(r.End-r.Start) && s.doc.String(t.Span) == r.ref.String()
}

// lex gives the token at i, which is the start of one.
func lex(b []byte, i int) token {
	if i >= len(b) {
		return token{Span: walker.Span{Start: len(b), End: len(b)}, kind: end}
	}
	at := func(k kind, stop int) token { return token{Span: walker.Span{Start: i, End: stop}, kind: k} }
	switch c := b[i]; c {
	case '\n':
		return at(end, i+1)
	case '{', '}', '[', ']', ',', ':':
		return at(mark, i+1)
	case ' ', '\t', '\r':
		j := i + 1
		for j < len(b) && (b[j] == ' ' || b[j] == '\t' || b[j] == '\r') {
			j++
		}
		return at(blank, j)
	case '"':
		j := closing(b, i)
		k := j
		for k < len(b) && b[k] <= ' ' {
			k++
		}
		if k < len(b) && b[k] == ':' {
			return at(key, j)
		}
		return at(text, j)
	default:
		j := i + 1
		for j < len(b) && b[j] > ' ' && b[j] != ',' && b[j] != ']' && b[j] != '}' {
			j++
		}
		if c == 't' || c == 'f' || c == 'n' {
			return at(word, j)
		}
		return at(number, j)
	}
}

// closing gives the place behind the string that begins at i.
func closing(b []byte, i int) int {
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

// The columns that a name and a reference may take.
const (
	maxKey  = 48
	maxText = 80
)

// appendShown adds what is shown of a token, and gives the columns that it takes
// (a tab counts as eight, which is the most that it can be).
func (s *shown) appendShown(dst []byte, t token) ([]byte, int) {
	b := s.doc.Text(t.Span)
	switch t.kind {
	case blank:
		width := 0
		for _, c := range b[:min(len(b), 4*window)] {
			switch c {
			case ' ':
				dst, width = append(dst, ' '), width+1
			case '\t':
				dst, width = append(dst, '\t'), width+8
			}
		}
		return dst, width
	case key:
		if name := string(b); walker.ShownName(name) != name {
			return append(dst, `"…"`...), 3
		}
		return appendQuoted(dst, b, maxKey)
	case text:
		if len(b) == 2 || s.has(t) {
			return appendQuoted(dst, b, maxText)
		}
		return append(dst, `"…"`...), 3
	case number:
		return append(dst, ellipsis...), 1
	case end:
		return dst, 0
	}
	return append(dst, b...), len(b)
}

func appendQuoted(dst, b []byte, limit int) ([]byte, int) {
	dst, width := appendClean(append(dst, '"'), b[1:len(b)-1], limit)
	return append(dst, '"'), width + 2
}
