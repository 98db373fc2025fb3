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

// Diff shows what a repair changes, as a unified diff in which values are masked;
// each hunk names the rules. It is for the eye: with its masks and its shortened
// lines it cannot be applied.
//
// Where the lines differ is known from the changes, so nothing is searched for,
// and the cost is that of going over the changed lines.
func Diff(old, repaired *walker.Document, changes []lint.Change, colour bool) []byte {
	if len(changes) == 0 {
		return nil
	}
	d := diff{old: mask(old), repaired: mask(repaired), colour: colour}
	name := Clean(old.Name)
	d.line(bold, "--- "+name)
	d.line(bold, "+++ "+name)
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
func near(between []byte) bool { return bytes.Count(between, []byte{'\n'}) <= 2*context }

// block is a run of whole lines that changes touch, in both documents.
type block struct {
	old, repaired walker.Span
	was, is       []walker.Span // the places of the changes
	rules         []string
}

func blocksOf(b []byte, changes []lint.Change) []block {
	var blocks []block
	shift := 0
	for _, c := range changes {
		if n := len(blocks); n == 0 || c.Start >= blocks[n-1].old.End {
			start := bytes.LastIndexByte(b[:c.Start], '\n') + 1
			blocks = append(blocks, block{old: walker.Span{Start: start, End: start}, repaired: walker.Span{Start: start + shift}})
		}
		last := &blocks[len(blocks)-1]
		if c.End >= last.old.End {
			last.old.End = lineEnd(b, c.End)
		}
		is := walker.Span{Start: c.Start + shift, End: c.Start + shift + len(c.Text)}
		last.was, last.is, last.rules = append(last.was, c.Span), append(last.is, is), append(last.rules, c.Rules...)
		shift = is.End - c.End
		last.repaired.End = last.old.End + shift
	}
	return blocks
}

// lineEnd returns the place behind the line that holds i.
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(b)
}

type diff struct {
	old, repaired *masked
	out           []byte
	colour        bool
}

func (d *diff) line(code, text string) {
	if code == "" {
		d.out = append(d.out, text...)
	} else {
		d.out = paint(d.out, d.colour, code, text)
	}
	d.out = append(d.out, '\n')
}

// hunk shows neighbouring blocks with what stands around and between them.
func (d *diff) hunk(blocks []block) {
	b := d.old.doc.Bytes()
	first, last := &blocks[0], &blocks[len(blocks)-1]
	start, stop := first.old.Start, last.old.End
	for range context {
		if start > 0 {
			start = bytes.LastIndexByte(b[:start-1], '\n') + 1
		}
		stop = lineEnd(b, stop)
	}
	was := d.old.doc.Position(start).Line
	is := d.repaired.doc.Position(first.repaired.Start - first.old.Start + start).Line
	var rules []string
	head, same, gone, come, at := len(d.out), 0, 0, 0, start
	for _, one := range blocks {
		same += d.lines(d.old, "", " ", walker.Span{Start: at, End: one.old.Start}, nil)
		gone += d.lines(d.old, red, "-", one.old, one.was)
		come += d.lines(d.repaired, green, "+", one.repaired, one.is)
		at, rules = one.old.End, append(rules, one.rules...)
	}
	same += d.lines(d.old, "", " ", walker.Span{Start: at, End: stop}, nil)
	slices.Sort(rules)
	body := slices.Clone(d.out[head:])
	d.out = d.out[:head]
	d.line(cyan, fmt.Sprintf("@@ -%d,%d +%d,%d @@ %s", was, same+gone, is, same+come, Clean(strings.Join(slices.Compact(rules), ", "))))
	d.out = append(d.out, body...)
}

// lines shows the lines of a span and returns how many they are. Of a long line it
// shows what lies around the places.
func (d *diff) lines(m *masked, code, sign string, span walker.Span, places []walker.Span) (n int) {
	b := m.doc.Bytes()
	for at := span.Start; at < span.End; n++ {
		next := lineEnd(b, at)
		var own []int
		for len(places) > 0 && places[0].Start < next {
			own = append(own, max(places[0].Start, at))
			if places[0].End >= next {
				break // it goes on in the next line
			}
			places = places[1:]
		}
		if own == nil {
			own = []int{at}
		}
		d.line(code, string(m.appendLine([]byte(sign), at, own)))
		if b[next-1] != '\n' {
			d.line("", `\ no newline at the end of the file`)
		}
		at = next
	}
	return n
}
