package report

import (
	"fmt"
	"strconv"
	"strings"

	"bifrost-secrets/walker"
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

// renderText writes findings for people. The rules are:
//   - the first line is file:line:column: severity: message [rule], as editors
//     and compilers have it; in a database, postgres://host/name: table/row/column:
//   - the snippet is one line, masked, and no wider than a terminal mostly is;
//   - what else is known stands below it, each on a line that begins with =.
func (o *Options) renderText(doc *walker.Document, found []located) Fragment {
	t := textReport{lines: lines{shown: references(doc)}, colour: o.Colour, file: Clean(doc.Name)}
	const each = 400 // bytes of a finding, about; a report that grows step by step is copied over and over
	t.out = make([]byte, 0, each*len(found))
	for i := range found {
		t.finding(&found[i])
	}
	return t.out
}

type textReport struct {
	lines
	out    []byte
	under  []byte // the line with the caret
	colour bool
	file   string
}

func (t *textReport) paint(code, text string) {
	if t.colour {
		t.out = fmt.Appendf(t.out, "\x1b[%sm%s\x1b[0m", code, text)
		return
	}
	t.out = append(t.out, text...)
}

func (t *textReport) finding(f *located) {
	place := t.file + ": " + Clean(f.Path) + ":"
	if f.placed() {
		place = t.file + ":" + strconv.Itoa(f.start.Line) + ":" + strconv.Itoa(f.start.Column) + ":"
	}
	t.paint(bold, place)
	t.out = append(t.out, ' ')
	t.paint(severityColour(f.Severity), severity(f.Severity)+":")
	t.out = append(t.out, ' ')
	t.out = append(t.out, Clean(f.Message)...)
	t.out = append(t.out, " ["...)
	t.out = append(t.out, Clean(f.Rule)...)
	t.out = append(t.out, "]\n"...)
	number := strconv.Itoa(f.start.Line)
	number = spaces[:max(0, 5-len(number))] + number
	margin := spaces[:len(number)]
	path := f.Path
	if f.placed() {
		t.snippet(f, number, margin)
	} else {
		path = "" // it was said
	}
	for _, more := range []struct{ label, text string }{{"", path}, {"hint: ", f.Hint}} {
		if more.text != "" {
			t.paint(faint, margin+" =")
			t.out = append(t.out, ' ')
			t.paint(cyan, more.label)
			t.out = append(t.out, Clean(more.text)...)
			t.out = append(t.out, '\n')
		}
	}
}

// spaces are as many as any number has digits.
const spaces = "                    "

// snippet shows the line that a finding begins in, with a caret below it. The
// line with the caret has the tabs of the line above, so that they meet under
// any width of a tab.
func (t *textReport) snippet(f *located, number, margin string) {
	from, focus, to, cutLeft, cutRight := t.around(f.Span.Start)
	t.paint(faint, number+" |")
	t.out = append(t.out, ' ')
	t.under = t.under[:0]
	if cutLeft {
		t.out, t.under = append(t.out, ellipsis...), append(t.under, ' ')
	}
	caret := byte('^')
	for i, token := range t.tokens[from:to] {
		start := len(t.out)
		var width int
		t.out, width = t.appendShown(t.out, token)
		switch {
		case i+from < focus || token.Start >= max(f.Span.End, f.Span.Start+1):
			t.under = appendPad(t.under, t.out[start:], width, token.kind, ' ', ' ')
		default:
			t.under = appendPad(t.under, t.out[start:], width, token.kind, caret, '~')
			caret = '~'
		}
	}
	if caret == '^' {
		t.under = append(t.under, caret) // the line ends here
	}
	if cutRight {
		t.out = append(t.out, ellipsis...)
	}
	t.out = append(t.out, '\n')
	t.paint(faint, margin+" |")
	t.out = append(t.out, ' ')
	t.paint(green, strings.TrimRight(string(t.under), " \t"))
	t.out = append(t.out, '\n')
}

// appendPad adds what stands below a token that is shown in width columns: first
// and then rest, but tabs below tabs.
func appendPad(dst, shown []byte, width int, k kind, first, rest byte) []byte {
	if k == blank {
		for _, c := range shown {
			if c == ' ' {
				c = first
			}
			dst, first = append(dst, c), rest
		}
		return dst
	}
	for range width {
		dst, first = append(dst, first), rest
	}
	return dst
}

// severity gives the word for a severity, also for one that is none.
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
