package report

import (
	"cmp"
	"slices"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// located is a finding with its places as people count them. The end is the
// place behind the last character. What stands in no text has none.
type located struct {
	*lint.Finding
	file       string
	start, end walker.Position
}

// placed reports whether the finding has a place in a text.
func (l *located) placed() bool { return l.start.Line > 0 }

// locate finds the places of all findings in one pass over the document, however
// many findings there are and however long its lines.
func locate(doc *walker.Document, findings []lint.Finding) []located {
	type mark struct {
		offset int
		at     *walker.Position
	}
	found := make([]located, len(findings))
	marks := make([]mark, 0, 2*len(findings))
	for i := range findings {
		f := &found[i]
		f.Finding, f.file = &findings[i], doc.Name
		marks = append(marks, mark{f.Span.Start, &f.start}, mark{f.Span.End, &f.end})
	}
	inOrder := func(a, b mark) int { return cmp.Compare(a.offset, b.offset) }
	if !slices.IsSortedFunc(marks, inOrder) { // they are, unless findings share a place
		slices.SortFunc(marks, inOrder)
	}
	for _, m := range marks {
		*m.at = doc.Position(m.offset)
	}
	return found
}
