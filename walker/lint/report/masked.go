package report

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"

	"bifrost-secrets/walker"
)

// ellipsis stands for what is not shown.
const ellipsis = "…"

// A line of more bytes than widest is folded behind each comma. What a name and a
// reference may take of one, in characters.
const (
	widest  = 160
	maxName = 48
	maxText = 80
)

// masked is a document in lines, as they are and as they may be shown.
type masked struct {
	doc   *walker.Document
	refs  []reference // in rising order
	raw   []byte      // the document, with long lines folded
	lines []maskedLine
}

type maskedLine struct {
	shown  string // without values, but for the references
	number int    // of the line in the document
}

type reference struct {
	walker.Span
	ref walker.Reference
}

// mask finds what may be shown of a document. A text that only looks like a
// reference, in the value of an object form perhaps, may not.
func mask(doc *walker.Document) *masked {
	m := &masked{doc: doc}
	doc.Walk(func(f *walker.Field) bool {
		if f.What == walker.Ref && f.Ref.Shown() == f.Ref.String() { // else it may hold the secret itself
			m.refs = append(m.refs, reference{walker.Span{Start: f.Start, End: f.End}, f.Ref})
		}
		return true
	})
	slices.SortFunc(m.refs, func(a, b reference) int { return cmp.Compare(a.Start, b.Start) })
	start, number := 0, 1
	for line := range bytes.Lines(doc.Bytes()) {
		m.line(walker.Span{Start: start, End: start + len(line)}, number)
		start, number = start+len(line), number+1
	}
	return m
}

// line adds the line that takes up a span. No token goes over its end: JSON has no
// raw line break inside a string.
func (m *masked) line(s walker.Span, number int) {
	b := m.doc.Bytes()
	var shown []byte
	for i := s.Start; i < s.End; {
		c, end := b[i], i+1
		switch c {
		case '{', '}', '[', ']', ',', ':', ' ', '\t':
			shown = append(shown, c)
		case '\r', '\n':
		case '"':
			end = m.doc.Behind(i)
			shown = append(shown, m.text(walker.Span{Start: i, End: end})...)
		case 't', 'f', 'n':
			end = m.doc.Behind(i)
			shown = append(shown, b[i:end]...)
		default: // a number
			end = m.doc.Behind(i)
			shown = append(shown, ellipsis...)
		}
		m.raw = append(m.raw, b[i:end]...)
		fold := c == ',' && s.End-s.Start > widest && len(bytes.TrimSpace(b[end:s.End])) > 0
		if fold {
			m.raw = append(m.raw, '\n')
		}
		if fold || end == s.End {
			m.lines = append(m.lines, maskedLine{string(shown), number})
			shown = shown[:0]
		}
		i = end
	}
}

// text returns what is shown of a string: of a name and of a reference the beginning.
func (m *masked) text(s walker.Span) string {
	rest := bytes.TrimLeft(m.doc.Bytes()[s.End:min(len(m.doc.Bytes()), s.End+widest)], " \t\r\n")
	inner, most := string(m.doc.Text(walker.Span{Start: s.Start + 1, End: s.End - 1})), maxText
	hidden := `"` + ellipsis + `"`
	if strings.Contains(inner, `\`) { // which may be what is repaired
		hidden = `"` + ellipsis + `\` + ellipsis + `"`
	}
	switch {
	case bytes.HasPrefix(rest, []byte(":")):
		if most = maxName; walker.ShownName(inner) != inner {
			return hidden
		}
	case inner != "" && !m.refers(s):
		return hidden
	}
	n := 0
	for i := range inner {
		if n++; n > most {
			return `"` + Clean(inner[:i]) + ellipsis + `"`
		}
	}
	return `"` + Clean(inner) + `"`
}

// refers reports whether a string is a reference: all of its field, or the part
// of an object form that spells it.
func (m *masked) refers(s walker.Span) bool {
	i := sort.Search(len(m.refs), func(i int) bool { return m.refs[i].Start > s.Start })
	if i == 0 {
		return false
	}
	r := &m.refs[i-1]
	return r.Span == s || s.Start < r.End && m.doc.String(s) == r.ref.String()
}
