package report

import (
	"fmt"
	"slices"

	"bifrost-secrets/walker/lint"
)

// The colours of Text, as parameters of the terminal's SGR sequence.
const (
	bold  = "1"
	red   = "31"
	amber = "33"
	cyan  = "36"
	green = "32"
	faint = "2"
)

// paint adds text in a colour, if colour is wanted.
func paint(dst []byte, colour bool, code, text string) []byte {
	if colour {
		return fmt.Appendf(dst, "\x1b[%sm%s\x1b[0m", code, text)
	}
	return append(dst, text...)
}

// renderText writes findings for people. The first line is
// file:line:column: severity: message [rule], as editors and compilers have it; in
// a database, postgres://host/name: table/row/column:. What else is known stands
// below it, each on a line that begins with =.
func (o *Options) renderText(found []located) (out Fragment) {
	const each = 320 // bytes of a finding, about: a report that grows step by step is copied over and over
	out = slices.Grow(out, each*len(found))
	for i := range found {
		f := &found[i]
		place, path := Clean(f.file)+": "+Clean(f.Path)+":", ""
		if f.placed() {
			place, path = fmt.Sprintf("%s:%d:%d:", Clean(f.file), f.start.Line, f.start.Column), f.Path
		}
		out = append(paint(out, o.Colour, bold, place), ' ')
		out = append(paint(out, o.Colour, severityColour(f.Severity), severity(f.Severity)+":"), ' ')
		out = append(append(append(append(out, Clean(f.Message)...), " ["...), Clean(f.Rule)...), "]\n"...)
		for _, more := range []struct{ label, text string }{{"", path}, {"hint: ", f.Hint}} {
			if more.text != "" {
				out = append(paint(out, o.Colour, faint, "      ="), ' ')
				out = append(append(paint(out, o.Colour, cyan, more.label), Clean(more.text)...), '\n')
			}
		}
	}
	return out
}

// severity returns the word for a severity, also for one that is none.
func severity(s lint.Severity) string {
	if s < lint.Note || s > lint.Error {
		return lint.Error.String()
	}
	return s.String()
}

func severityColour(s lint.Severity) string {
	switch s {
	case lint.Note:
		return cyan
	case lint.Warning:
		return amber
	}
	return red
}
