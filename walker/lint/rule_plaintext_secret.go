package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var plaintextSecret = Rule{
	ID: "plaintext-secret", Severity: Warning,
	Summary: "a secret that stands in the file itself",
	field: func(c *checker, f *walker.Field) {
		l := &c.look.leak
		if !l.found() {
			return
		}
		if l.hashed {
			c.at(f, "", "a bcrypt hash, from which the password cannot be read, but can be guessed").Severity = Note
			return
		}
		kind := ""
		if !l.fake {
			kind = shapeOf(l.text)
		}
		found := c.at(f, l.hint, c.said(l, kind))
		switch {
		case l.fake:
			found.Severity = Note
		case kind != "":
			found.Severity = Error
		}
	},
	document: (*checker).strayLeaks,
}

// strayLeaks reports the secrets outside of every field: nothing but what they
// look like tells that they are any.
func (c *checker) strayLeaks() {
	leaks := map[int]leak{}
	var offsets []int
	for _, span := range c.facts.strays {
		if l := strayLeak(c.doc.String(span)); l.found() && !l.fake {
			leaks[span.Start] = l
			offsets = append(offsets, span.Start)
		}
	}
	paths := pathsOf(c.doc, offsets...)
	for _, span := range c.facts.strays {
		l, ok := leaks[span.Start]
		if !ok {
			continue
		}
		kind := shapeOf(l.text)
		found := c.report(paths[span.Start], span, "take it out of the file; if a field was meant, check the spelling of the members above", l.message(kind)+", outside of every field that is known")
		if kind != "" {
			found.Severity = Error
		}
	}
}

// strayLeak finds a secret in a text of which nothing else is known. The path of
// a URL may have parameters too.
func strayLeak(text string) leak {
	if strings.HasPrefix(text, "/") {
		text = "https://host" + text
	}
	return openLeak(text)
}
