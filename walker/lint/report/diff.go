package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// context is how many unchanged lines stand around changed ones.
const context = 3

// Diff shows what a repair changes, as a unified diff in which the values are
// masked like in the snippets of Text; each hunk names the rules. It is for the
// eye: with its masks and its shortened lines it cannot be applied.
//
// Where the lines differ is known from the changes, so nothing is searched for,
// and the cost is that of going over the changed lines.
func Diff(old, repaired *walker.Document, changes []lint.Change, colour bool) []byte {
	if len(changes) == 0 {
		return nil
	}
	d := diff{
		old: side{lines: lines{shown: references(old)}, line: 1}, repaired: side{lines: lines{shown: references(repaired)}, line: 1},
		colour: colour,
	}
	name := Clean(old.Name)
	d.paint(bold, "--- "+name)
	d.paint(bold, "+++ "+name)
	blocks := blocksOf(old.Bytes(), changes)
	for len(blocks) > 0 {
		n := 1
		for n < len(blocks) && near(old.Bytes()[blocks[n-1].old.End:blocks[n].old.Start]) {
			n++
		}
		d.hunk(blocks[:n])
		blocks = blocks[n:]
	}
	return d.out
}

// near reports whether so few lines lie between two blocks that their contexts
// would meet.
func near(between []byte) bool {
	for range 2*context + 1 {
		n := bytes.IndexByte(between, '\n')
		if n < 0 {
			return true
		}
		between = between[n+1:]
	}
	return false
}

// block is a run of whole lines that changes touch, in both documents.
type block struct {
	old, repaired walker.Span
	changes       []lint.Change
	shift         int // how much further the first change stands in the repaired document
}

func blocksOf(b []byte, changes []lint.Change) []block {
	var blocks []block
	shift := 0
	for i, c := range changes {
		grown := shift + len(c.Text) - (c.End - c.Start)
		if n := len(blocks); n == 0 || c.Start >= blocks[n-1].old.End {
			start := bytes.LastIndexByte(b[:c.Start], '\n') + 1
			blocks = append(blocks, block{
				old: walker.Span{Start: start, End: start}, repaired: walker.Span{Start: start + shift},
				changes: changes[i:i], shift: shift,
			})
		}
		last := &blocks[len(blocks)-1]
		if c.End >= last.old.End {
			last.old.End = lineEnd(b, c.End)
		}
		last.changes = last.changes[:len(last.changes)+1]
		last.repaired.End = last.old.End + grown
		shift = grown
	}
	return blocks
}

// lineEnd gives the place behind the line that holds i.
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(b)
}

// side is one of the two documents on the way through.
type side struct {
	lines
	at   int // the start of a line
	line int // its number
}

// skip goes to the line that begins at offset.
func (s *side) skip(offset int) {
	s.line += bytes.Count(s.doc.Bytes()[s.at:offset], []byte{'\n'})
	s.at = offset
}

type diff struct {
	old, repaired side
	out           []byte
	colour        bool
}

func (d *diff) paint(code, text string) {
	if d.colour && code != "" {
		d.out = fmt.Appendf(d.out, "\x1b[%sm%s\x1b[0m\n", code, text)
		return
	}
	d.out = append(append(d.out, text...), '\n')
}

// hunk shows neighbouring blocks with what stands around and between them.
func (d *diff) hunk(blocks []block) {
	b := d.old.doc.Bytes()
	first, last := &blocks[0], &blocks[len(blocks)-1]
	start := first.old.Start
	for range context {
		if start > d.old.at {
			start = bytes.LastIndexByte(b[:start-1], '\n') + 1
		}
	}
	stop := last.old.End
	for range context {
		stop = lineEnd(b, stop)
	}
	d.old.skip(start)
	d.repaired.skip(start + first.shift)
	var rules []string
	for _, one := range blocks {
		for _, c := range one.changes {
			rules = append(rules, c.Rules...)
		}
	}
	slices.Sort(rules)
	head, was, is := len(d.out), d.old.line, d.repaired.line
	for _, one := range blocks {
		d.same(one.old.Start)
		d.lines(&d.old, red, "-", one.old.End, one.changes, 0, false)
		d.lines(&d.repaired, green, "+", one.repaired.End, one.changes, one.shift, true)
	}
	d.same(stop)
	body := slices.Clone(d.out[head:])
	d.out = d.out[:head]
	d.paint(cyan, fmt.Sprintf("@@ -%d,%d +%d,%d @@ %s", was, d.old.line-was, is, d.repaired.line-is, Clean(strings.Join(slices.Compact(rules), ", "))))
	d.out = append(d.out, body...)
}

// same shows the lines up to stop, which are alike on both sides.
func (d *diff) same(stop int) {
	at, line := d.old.at, d.old.line
	d.lines(&d.old, "", " ", stop, nil, 0, false)
	d.repaired.at += d.old.at - at
	d.repaired.line += d.old.line - line
}

// lines shows the lines of a side up to stop. Of a long line it shows what lies
// around the changes; moved says that their places are those in the repaired
// document, where the first is shift bytes further on.
func (d *diff) lines(s *side, code, sign string, stop int, changes []lint.Change, shift int, moved bool) {
	b := s.doc.Bytes()
	for s.at < stop {
		next := lineEnd(b, s.at)
		var places []int
		for len(changes) > 0 {
			c := &changes[0]
			start, end := c.Start, c.End
			if moved {
				start = c.Start + shift
				end = start + len(c.Text)
			}
			if start >= next {
				break
			}
			places = append(places, max(start, s.at))
			if end >= next {
				break // it goes on in the next line
			}
			changes = changes[1:]
			shift += len(c.Text) - (c.End - c.Start)
		}
		if places == nil {
			places = []int{s.at}
		}
		d.paint(code, sign+string(s.appendParts(nil, places)))
		if b[next-1] != '\n' {
			d.paint("", `\ no newline at the end of the file`)
			s.line++ // as if there were one, for the count of lines
		}
		s.skip(next)
	}
}

// appendParts adds what lies around several places of one line, which must be in
// rising order.
func (l *lines) appendParts(dst []byte, places []int) []byte {
	shownTo, cut := -1, false
	for _, place := range places {
		from, _, to, cutLeft, cutRight := l.around(place)
		for i, t := range l.tokens[from:to] {
			if t.Start < shownTo {
				continue
			}
			if i == 0 && cutLeft && t.Start > shownTo {
				dst = append(dst, ellipsis...)
			}
			dst, _ = l.appendShown(dst, t)
			shownTo = t.End
		}
		if to > from {
			cut = cutRight
		}
	}
	if cut {
		dst = append(dst, ellipsis...)
	}
	return dst
}
