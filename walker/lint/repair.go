package lint

import (
	"cmp"
	"slices"

	"bifrost-secrets/walker"
)

// Change is a repair: Text takes the place of a span of the document as it was.
type Change struct {
	walker.Span
	Text  string
	Rules []string // whose findings it repairs, each once, sorted
}

// choose returns the repairs that can be made together, in the order of their
// places: of those that overlap the first.
func choose(size int, findings []Finding) []Change {
	var all []Change
	for i := range findings {
		f := &findings[i]
		if f.Fix != nil && 0 <= f.Fix.Start && f.Fix.Start <= f.Fix.End && f.Fix.End <= size {
			all = append(all, Change{f.Fix.Span, f.Fix.Text, []string{f.Rule}})
		}
	}
	slices.SortStableFunc(all, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	kept := all[:0]
	for _, c := range all {
		if n := len(kept); n > 0 {
			last := &kept[n-1]
			if c.Start < last.End || c.Span == last.Span {
				if c.Span == last.Span && c.Text == last.Text {
					last.Rules = append(last.Rules, c.Rules...)
				}
				continue
			}
		}
		kept = append(kept, c)
	}
	return kept
}

func splice(text []byte, changes []Change) []byte {
	var out []byte
	at := 0
	for _, c := range changes {
		out = append(out, text[at:c.Start]...)
		out = append(out, c.Text...)
		at = c.End
	}
	return append(out, text[at:]...)
}

// rounds is how often a document is looked at again after a repair. One repair
// may uncover another, but no chain of rules is longer than this.
const rounds = 5

// Result is a repaired document.
type Result struct {
	Document *walker.Document // the same as before if there are no Changes
	Changes  []Change         // of the document as it was, in the order of their places
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
		changes := choose(len(r.Document.Bytes()), r.Findings)
		if len(changes) == 0 {
			break
		}
		next, err := walker.Parse(doc.Name, splice(r.Document.Bytes(), changes))
		if err != nil {
			break
		}
		for _, c := range changes {
			r.Repaired += len(c.Rules)
		}
		r.Changes = followed(r.Changes, changes)
		r.Document, r.Findings = next, Check(next, opts)
	}
	return r
}

// followed returns the changes that come of making those of next, which are places
// of the text as it is after all. Neighbours become one.
func followed(all, next []Change) (out []Change) {
	add := func(c Change) {
		if n := len(out) - 1; n >= 0 && out[n].End == c.Start {
			c.Start, c.Text, c.Rules = out[n].Start, out[n].Text+c.Text, slices.Concat(out[n].Rules, c.Rules)
			out = out[:n]
		}
		slices.Sort(c.Rules)
		c.Rules = slices.Compact(c.Rules)
		out = append(out, c)
	}
	shift := 0 // how much further on a place is than before the changes that were passed
	for _, n := range next {
		for ; len(all) > 0 && all[0].Start+shift+len(all[0].Text) <= n.Start; all = all[1:] {
			shift += len(all[0].Text) - (all[0].End - all[0].Start)
			add(all[0])
		}
		made := Change{walker.Span{Start: n.Start - shift, End: n.End - shift}, n.Text, n.Rules}
		for len(all) > 0 && all[0].Start+shift < n.End {
			old := all[0]
			start := old.Start + shift
			if head := n.Start - start; head > 0 { // what it wrote before the new change stays
				made.Start, made.Text = old.Start, old.Text[:head]+made.Text
			}
			rest := old.Text[min(n.End-start, len(old.Text)):]
			if rest != "" { // and so does what it wrote behind
				all[0] = Change{walker.Span{Start: old.End, End: old.End}, rest, old.Rules}
			} else {
				all = all[1:]
			}
			shift += len(old.Text) - len(rest) - (old.End - old.Start)
			made.End = max(old.End, n.End-shift)
			made.Rules = slices.Concat(made.Rules, old.Rules)
		}
		add(made)
	}
	for _, old := range all {
		add(old)
	}
	return out
}
