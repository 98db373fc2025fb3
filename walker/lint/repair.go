package lint

import (
	"cmp"
	"slices"

	"bifrost-secrets/walker"
)

// choose returns the repairs that can be made together, in the order of their
// places: of those that overlap the first. repaired are the findings that they mend.
func choose(size int, findings []Finding) (kept []Edit, repaired int) {
	var all []Edit
	for i := range findings {
		if fix := findings[i].Fix; fix != nil && 0 <= fix.Start && fix.Start <= fix.End && fix.End <= size {
			all = append(all, *fix)
		}
	}
	slices.SortStableFunc(all, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	kept = all[:0]
	for _, e := range all {
		if n := len(kept); n > 0 {
			if last := kept[n-1]; e == last {
				repaired++
				continue
			} else if e.Start < last.End || e.Span == last.Span {
				continue
			}
		}
		kept = append(kept, e)
		repaired++
	}
	return kept, repaired
}

func splice(text []byte, edits []Edit) []byte {
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(out, text[at:e.Start]...)
		out = append(out, e.Text...)
		at = e.End
	}
	return append(out, text[at:]...)
}

// rounds is how often a document is looked at again after a repair. One repair
// may uncover another, but no chain of rules is longer than this.
const rounds = 5

// Result is a repaired document.
type Result struct {
	Document *walker.Document // the same as before if nothing was repaired
	Found    []Finding        // in the document as it was
	Findings []Finding        // what is left to be said of Document
	Repaired int              // findings that were repaired
}

// Repair lints a document and makes all repairs, until there are none to make.
// It never returns a document that is not valid: a repair that would break it is
// not made, and neither are those of the same round.
func Repair(doc *walker.Document, opts Options) Result {
	found := Check(doc, opts)
	r := Result{Document: doc, Found: found, Findings: found}
	for range rounds {
		edits, repaired := choose(len(r.Document.Bytes()), r.Findings)
		if repaired == 0 {
			break
		}
		next, err := walker.Parse(doc.Name, splice(r.Document.Bytes(), edits))
		if err != nil {
			break
		}
		r.Document, r.Findings, r.Repaired = next, Check(next, opts), r.Repaired+repaired
	}
	return r
}
