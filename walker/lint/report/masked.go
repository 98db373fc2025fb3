package report

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// ellipsis stands for what is not shown.
const ellipsis = "…"

// The columns of a line that are shown at most around a place, and those before
// it; and what a name and a reference may take of them.
const (
	window  = 100
	before  = 48
	maxName = 48
	maxText = 80
)

// masked shows the lines of a document without its values: but for the
// references, which are in rising order.
type masked struct {
	doc  *walker.Document
	refs []reference
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
	return m
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

// token is a part of a line as it is shown.
type token struct {
	walker.Span
	shown string
	width int // columns; a tab counts as eight, which is the most that it can be
}

// line returns the tokens of the line that begins at start. None goes over its
// end: JSON has no raw line break inside a string. Those that are too far from every
// place to be shown are one, too wide to be shown either: a line may be very long.
func (m *masked) line(start int, places []int) (all []token) {
	const near = 2 * window // tokens; of two neighbours one has a column at least
	b, far := m.doc.Bytes(), 0
	for i := start; i < len(b) && b[i] != '\n'; {
		t := token{Span: walker.Span{Start: i, End: i + 1}}
		switch c := b[i]; c {
		case '{', '}', '[', ']', ',', ':':
			t.shown = string(c)
		case ' ', '\t', '\r':
			for t.End < len(b) && strings.IndexByte(" \t\r", b[t.End]) >= 0 {
				t.End++
			}
			t.shown = strings.ReplaceAll(string(b[i:min(t.End, i+4*window)]), "\r", "")
		case '"':
			t.End = m.doc.Behind(i)
			t.shown = m.text(t.Span)
		case 't', 'f', 'n':
			t.End = m.doc.Behind(i)
			t.shown = string(m.doc.Text(t.Span))
		default: // a number
			t.End = m.doc.Behind(i)
			t.shown = ellipsis
		}
		t.width = utf8.RuneCountInString(t.shown) + 7*strings.Count(t.shown, "\t")
		all = append(all, t)
		i = t.End
		for ; len(places) > 0 && places[0] < i; places = places[1:] {
			far = len(all) + near
		}
		if last := len(all) - near; last > far+near {
			all[far] = token{Span: walker.Span{Start: all[far].Start, End: all[last-1].End}, width: window + 1}
			all = append(all[:far+1], all[last:]...)
		}
	}
	return all
}

// text returns what is shown of a string.
func (m *masked) text(s walker.Span) string {
	const hidden = `"` + ellipsis + `"`
	rest := bytes.TrimLeft(m.doc.Bytes()[s.End:min(len(m.doc.Bytes()), s.End+window)], " \t\r\n")
	inner, most := string(m.doc.Text(walker.Span{Start: s.Start + 1, End: s.End - 1})), maxText
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

// around returns the tokens of a line to show for the one that holds offset: those
// from and before to. The last are the ones that stand at the end of a line.
func around(all []token, offset int) (from, to int) {
	focus := sort.Search(len(all), func(i int) bool { return all[i].End > offset })
	from, to = focus, focus
	total := 0
	left := func(limit int) {
		for from > 0 && total+all[from-1].width <= limit {
			from--
			total += all[from].width
		}
	}
	left(before)
	for to < len(all) && (to == focus || total+all[to].width <= window) {
		total += all[to].width
		to++
	}
	left(window)
	return from, to
}

// appendLine adds what lies around several places of the line at start, which are
// in rising order.
func (m *masked) appendLine(dst []byte, start int, places []int) []byte {
	all := m.line(start, places)
	shown, cut := 0, false
	for _, place := range places {
		from, to := around(all, place)
		if from > shown {
			dst = append(dst, ellipsis...)
		}
		for shown = max(shown, from); shown < to; shown++ {
			dst = append(dst, all[shown].shown...)
		}
		cut = shown < len(all)
	}
	if cut {
		dst = append(dst, ellipsis...)
	}
	return dst
}
