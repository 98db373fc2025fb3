// Package render turns a document with references into one with values: it
// plans what to fetch, fetches each secret once, checks the values and puts them
// in their places.
package render

import (
	"fmt"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// Place is where a field stands.
type Place struct {
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Column int    `json:"column"`

	Span walker.Span `json:"-"` // of the value; empty where the place is none of the document's
}

// Problem is one reason why a document cannot be rendered, or one remark about
// it. It never holds a value of a secret.
type Problem struct {
	Reference string       `json:"reference,omitempty"` // as it is shown: see walker.Reference.Shown
	Reason    string       `json:"reason"`              // lower case, no full stop
	Hint      string       `json:"hint,omitempty"`
	Code      string       `json:"code,omitempty"` // the backend's error code
	Kind      sources.Kind `json:"kind,omitempty"` // the kind of the source's failure
	Places    []Place      `json:"places,omitempty"`
	Warning   bool         `json:"warning,omitempty"` // a remark that people must see, --quiet or not
	Invalid   bool         `json:"-"`                 // the document or the settings are wrong, not a reference
	Several   bool         `json:"-"`                 // it stands for failures of several secrets: see Merged
	Secret    string       `json:"-"`                 // the secret of which another value would mend it; empty where none would
}

// ShownSecret returns the name of the secret for messages.
func (p *Problem) ShownSecret() string { return walker.ShownName(p.Secret) }

// Problems are all the reasons at once. As an error it prints one a line.
type Problems struct {
	Document string // what messages call the document
	List     []Problem
}

// placesShown is how many of the fields that want one secret a message names.
const placesShown = 5

// Error returns every problem on a line of its own, without hints.
func (p *Problems) Error() string {
	list := Merged(p.List)
	lines := make([]string, len(list))
	for i := range list {
		lines[i] = p.Line(&list[i])
	}
	return strings.Join(lines, "\n")
}

// Advice is empty: each problem has its own.
func (p *Problems) Advice() string { return "" }

// ExitCode is that of the worst: a fault of the document itself, then a backend that
// cannot be used.
func (p *Problems) ExitCode() int {
	switch {
	case p.Invalid():
		return 2
	case p.Retryable():
		return 3
	}
	return 1
}

// Merged returns the problems with those as one that are the same fault of the
// backend as a whole, for people: a backend that does not answer, or a region that
// is not set, is one cause, however many secrets were asked for. The list itself stays
// as it is.
func Merged(list []Problem) []Problem {
	type cause struct{ reason, hint string }
	at := map[cause]int{}
	out := make([]Problem, 0, len(list))
	for _, one := range list {
		key := cause{one.Reason, one.Hint}
		i, seen := at[key]
		if whole := one.Kind.Retryable() || one.Kind == sources.BadSettings; !whole || !seen {
			if whole {
				at[key] = len(out)
			}
			one.Places = slices.Clip(one.Places) // what is appended goes elsewhere
			out = append(out, one)
			continue
		}
		if first := &out[i]; first.Reference != one.Reference {
			first.Reference, first.Several = "", true
		}
		out[i].Places = append(out[i].Places, one.Places...)
	}
	return out
}

// Line returns a problem as one line: where, what and why.
func (p *Problems) Line(one *Problem) string {
	var b strings.Builder
	b.WriteString(p.Document)
	if len(one.Places) > 0 {
		first := one.Places[0]
		if first.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", first.Line, first.Column)
		}
		b.WriteString(": " + first.Path)
	}
	if one.Reference != "" {
		b.WriteString(": " + one.Reference)
	}
	b.WriteString(": " + one.Reason)
	if len(one.Places) > 1 {
		if one.Several {
			b.WriteString("; the same for ")
		} else {
			b.WriteString("; also wanted by ")
		}
		for i, place := range one.Places[1:min(len(one.Places), placesShown)] {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(place.Path)
		}
		if more := len(one.Places) - placesShown; more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	return b.String()
}

// Retryable reports whether trying again may mend all of them: the backend cannot
// be used.
func (p *Problems) Retryable() bool {
	for i := range p.List {
		if !p.List[i].Kind.Retryable() {
			return false
		}
	}
	return len(p.List) > 0
}

// Invalid reports whether one of the problems is a fault of the document or of
// the settings themselves.
func (p *Problems) Invalid() bool {
	for i := range p.List {
		if p.List[i].Invalid {
			return true
		}
	}
	return false
}

// orNil returns the problems as an error, and nil where there are none.
func (p *Problems) orNil() error {
	if len(p.List) == 0 {
		return nil
	}
	return p
}

func (p *Problems) add(one Problem) { p.List = append(p.List, one) }

// placeOf returns the place of a field in the document; one that stands beside it
// has no more than its path.
func placeOf(doc *walker.Document, path string, start, end int) Place {
	if end == 0 {
		return Place{Path: path}
	}
	pos := doc.Position(start)
	return Place{Path: path, Line: pos.Line, Column: pos.Column, Span: walker.Span{Start: start, End: end}}
}

func exemptHint(hint, path string) string {
	if hint != "" {
		hint += "; "
	}
	return hint + fmt.Sprintf("if it is no reference, exempt it with --literal '%s'", path)
}

func hintOf(err error) string {
	if e, ok := err.(*walker.ReferenceError); ok {
		return e.Hint
	}
	return ""
}
