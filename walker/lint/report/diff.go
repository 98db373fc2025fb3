package report

import (
	"bytes"
	"fmt"

	"bifrost-secrets/walker"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff shows what a repair changes, as a unified diff in which values are masked. It
// is for the eye: with its masks and its folded lines it cannot be applied.
func Diff(old, repaired *walker.Document, colour bool) (out []byte) {
	was, is := mask(old), mask(repaired)
	line := func(code, text string) {
		if code != "" {
			out = append(paint(out, colour, code, text), '\n')
		} else {
			out = append(append(out, text...), '\n')
		}
	}
	i, j, n := 0, 0, 0 // the lines of both, and those of the diff
	for l := range bytes.Lines(diff.Diff("", was.raw, "", is.raw)) {
		switch n++; {
		case n == 1: // the names, for a command line
		case n <= 3:
			line(bold, string(l[:4])+Clean(old.Name))
		case l[0] == '@':
			var left, right int
			_, _ = fmt.Sscanf(string(l), "@@ -%d,%d +%d,%d", &i, &left, &j, &right) // the library writes no other
			i, j = i-1, j-1
			line(cyan, fmt.Sprintf("@@ -%d,%d +%d,%d @@", was.lines[i].number, left, is.lines[j].number, right))
		case l[0] == '-':
			line(red, "-"+was.lines[i].shown)
			i++
		case l[0] == '+':
			line(green, "+"+is.lines[j].shown)
			j++
		case l[0] == ' ':
			line("", " "+was.lines[i].shown)
			i, j = i+1, j+1
		default: // that there is no newline at the end of the file
			out = append(out, l...)
		}
	}
	return out
}
