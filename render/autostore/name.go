// Package autostore is the way back of render: it takes the secrets that stand
// in a document in plain text into a store, puts references in their places, and
// finds the stored secrets that no field refers to any more.
package autostore

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

//go:embed names.tsv
var namesText string

type template struct{ pattern, name string }

var templates = sync.OnceValue(func() []template {
	all, err := walker.Rows(namesText, 2, func(col []string) (template, error) { return template{col[0], col[1]}, nil })
	if err != nil {
		panic(err) // the file is part of the program, and tested
	}
	return all
})

// templateOf finds the longest template that begins a pattern.
func templateOf(pattern string) (best template) {
	for _, t := range templates() {
		if len(t.pattern) <= len(best.pattern) || !strings.HasPrefix(pattern, t.pattern) {
			continue
		}
		if rest := pattern[len(t.pattern):]; rest == "" || rest[0] == '.' || rest[0] == '[' {
			best = t
		}
	}
	return best
}

type namer struct {
	doc    *walker.Document
	prefix string
	rows   map[string]map[string]walker.Object // the elements at a pattern, by their path
}

func newNamer(doc *walker.Document, prefix string) *namer {
	return &namer{doc: doc, prefix: prefix, rows: map[string]map[string]walker.Object{}}
}

// name returns the name under which the secret of a field is stored. The same
// entity has the same name wherever it stands in its list.
func (n *namer) name(pattern, path string) string {
	taken, ok := walker.SplitPath(path)
	if !ok {
		taken = []walker.Step{{Name: path}}
	}
	parts := walker.PatternSteps(pattern)
	t := templateOf(pattern)
	done := 0
	var segments []string
	if t.pattern != "" {
		done = len(walker.PatternSteps(t.pattern))
		for _, part := range strings.Split(t.name, "/") {
			segments = append(segments, n.fill(part, parts, taken, done))
		}
	}
	for i := done; i < len(taken); i++ {
		segments = append(segments, n.segment(parts, taken, i))
	}
	for i := range segments {
		segments[i] = escape(segments[i])
	}
	return strings.Join(append([]string{n.prefix}, segments...), "/")
}

func (n *namer) fill(part string, parts []string, taken []walker.Step, done int) string {
	inner, ok := strings.CutPrefix(part, "{")
	if !ok {
		return part
	}
	inner = strings.TrimSuffix(inner, "}")
	for i := min(done, len(parts), len(taken)) - 1; i >= 0; i-- {
		switch {
		case inner == "*" && parts[i] == "*":
			return taken[i].Name
		case inner != "*" && parts[i] == "[]":
			return n.element(parts, taken, i, strings.Split(inner, "|"))
		}
	}
	return ""
}

func (n *namer) segment(parts []string, taken []walker.Step, i int) string {
	switch {
	case !taken[i].IsIndex:
		return taken[i].Name
	case i < len(parts) && parts[i] == "[]":
		return n.element(parts, taken, i, []string{"id", "name"})
	}
	return strconv.Itoa(taken[i].Index)
}

// element names the element of a list at step i: by the first of its members
// that has a text, or else by its number.
func (n *namer) element(parts []string, taken []walker.Step, i int, members []string) string {
	pattern := joinPattern(parts[:i+1])
	rows := n.rows[pattern]
	if rows == nil {
		rows = map[string]walker.Object{}
		n.doc.Each(pattern, func(o walker.Object) { rows[o.Path] = o })
		n.rows[pattern] = rows
	}
	if o, ok := rows[walker.JoinPath(taken[:i+1])]; ok {
		for _, member := range members {
			if m, ok := n.doc.Find(o, member); ok {
				if text := n.doc.String(m.Value); text != "" {
					return text
				}
			}
		}
	}
	return strconv.Itoa(taken[i].Index)
}

func joinPattern(steps []string) string {
	return strings.ReplaceAll(strings.Join(steps, "."), ".[]", "[]")
}

// escape writes a text as one segment of a name that every backend allows: of
// letters, digits and _ + . @ -, with any other byte as =XX, in which the equals
// sign is one itself, so that it can be read back. A dot at its beginning and an
// empty segment are written so too: they mean something else in a file system.
func escape(segment string) string {
	if segment == "" {
		return "="
	}
	text := sources.Escape(segment, func(c byte) bool { return sources.Alphanumeric(c) || strings.IndexByte("_+.@-", c) >= 0 })
	if rest, ok := strings.CutPrefix(text, "."); ok {
		return "=2E" + rest
	}
	return text
}

// unescape reads a segment back; false for one that escape cannot have written.
func unescape(segment string) (string, bool) {
	if segment == "=" {
		return "", true
	}
	text := sources.Unescape(segment)
	return text, escape(text) == segment
}

// named reports whether the name of an item tells a key: its own value, or one that
// is known by its form.
func (it *Item) named(isKey func(string) bool) bool {
	const least = 8 // bytes; a shorter value may be in a name by chance
	return isKey != nil && isKey(it.Name) || it.Size() >= least && strings.Contains(it.Name, escape(string(it.value.Reveal())))
}
