package lint

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// shortestKey is less than the length, in bytes, of any key that is known by its
// form or its mixture.
const shortestKey = 20

// shownName returns a name for messages. A key may have been typed in its place:
// then only the length is shown.
func shownName(name string) string {
	if len(name) >= shortestKey && keyIn(name) != "" {
		return "(" + strconv.Itoa(utf8.RuneCountInString(name)) + " characters that look like a key)"
	}
	return walker.ShownName(name)
}

// IsKey reports whether a text has a key in it that is known by its form. The id of a
// virtual key may look like one, and is none.
func IsKey(text string) bool {
	kind := keyIn(text)
	return kind != "" && kind != virtualKey
}

// keyIn returns what the first key in a text is, by its form; "" where there is none.
func keyIn(text string) string {
	for _, p := range partsOf(text) {
		if kind := shapeOf(text[p.start:p.end]); p.of == "" && kind != "" {
			return kind
		}
	}
	return ""
}

// shownPath returns a path for reports, with each name in it as [shownName] has it.
func shownPath(path string) string {
	word := 0 // the length of the longest name there may be
	for from, rest := 0, path; from >= 0; rest = rest[from+1:] {
		if from = strings.IndexAny(rest, ".[]"); from < 0 {
			word = max(word, len(rest))
			break
		}
		word = max(word, from)
	}
	steps, ok := walker.SplitPath(path)
	if word < shortestKey || !ok {
		return path
	}
	hidden := false
	for i := range steps {
		if shown := shownName(steps[i].Name); shown != steps[i].Name {
			steps[i].Name, hidden = shown, true
		}
	}
	if !hidden {
		return path
	}
	return walker.JoinPath(steps)
}

// keysAsNames reports what is a key by its form and stands in the place of a name.
func (c *checker) keysAsNames() {
	var offsets []int
	for _, name := range c.outline.names {
		offsets = append(offsets, name.Start)
	}
	paths := c.doc.Paths(offsets...)
	for _, name := range c.outline.names {
		text := c.doc.String(name)
		kind := keyIn(text)
		if kind == "" {
			continue
		}
		l := leak{text: text, what: inPlainText}
		found := c.report(paths[name.Start], name, "take it out of the file; a value stands behind the colon", l.message(kind)+", in the place of a name")
		if found.Severity = Error; kind == virtualKey {
			found.Severity = Note // it may be the id of one
		}
	}
}
