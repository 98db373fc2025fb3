package lint

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// piece is a part of a text that is made out of another: a span of that, or new.
type piece struct {
	from  walker.Span
	text  string
	rules []string // of what is new; empty for a span
}

func (p *piece) size() int {
	if len(p.rules) > 0 {
		return len(p.text)
	}
	return p.from.End - p.from.Start
}

// pieces are a whole text. They remember over several rounds where in the first
// text everything stood.
type pieces []piece

// take cuts off what makes up the first n bytes.
func (all *pieces) take(n int) pieces {
	var out pieces
	for n > 0 {
		p := &(*all)[0]
		if size := p.size(); size <= n {
			out = append(out, *p)
			*all, n = (*all)[1:], n-size
			continue
		}
		head := *p
		if len(p.rules) > 0 {
			head.text, p.text = p.text[:n], p.text[n:]
		} else {
			head.from.End = p.from.Start + n
			p.from.Start += n
		}
		return append(out, head)
	}
	return out
}

// replace makes changes, which are places of the text as it is now. What was new
// before and goes into a change hands its rules on.
func (all pieces) replace(changes []Change) pieces {
	all = slices.Clone(all)
	var out pieces
	at := 0
	for _, c := range changes {
		out = append(out, all.take(c.Start-at)...)
		rules := slices.Clone(c.Rules)
		for _, old := range all.take(c.End - c.Start) {
			rules = append(rules, old.rules...)
		}
		out = append(out, piece{text: c.Text, rules: rules})
		at = c.End
	}
	return append(out, all...)
}

// changes tells how the text differs from the first, which has size bytes.
func (all pieces) changes(size int) []Change {
	var out []Change
	at := 0
	var text strings.Builder
	var rules []string
	flush := func(until int) {
		if len(rules) > 0 {
			slices.Sort(rules)
			out = append(out, Change{walker.Span{Start: at, End: until}, text.String(), slices.Compact(rules)})
		}
		text.Reset()
		rules = nil
	}
	for _, p := range all {
		if len(p.rules) > 0 {
			text.WriteString(p.text)
			rules = append(rules, p.rules...)
			continue
		}
		flush(p.from.Start)
		at = p.from.End
	}
	flush(size)
	return out
}
