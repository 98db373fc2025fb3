// Package report shows findings: to people, and to the programs that read them
// for people. It shows where a finding is and what is there, but never a value
// that could be a secret: of the document itself a diff has the names of members,
// references and punctuation, and nothing else.
package report

import (
	"bufio"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// The formats: ways to write findings.
const (
	Text  = "text"  // for people: a line, the path, a hint
	JSON  = "json"  // an array of objects
	SARIF = "sarif" // a SARIF 2.1.0 log with one run
)

// Formats are all formats, the default first.
var Formats = []string{Text, JSON, SARIF}

// Options say how to write findings.
type Options struct {
	Format string
	Colour bool // of Text alone
	// Rules are described in a SARIF log. They should be all that findings may
	// name.
	Rules []lint.Rule
	// Version is that of the program; empty where it is not known.
	Version string
}

// Fragment is what one document adds to a report.
type Fragment []byte

// located is a finding with its places as people count them. The end is the
// place behind the last character. What stands in no text has none.
type located struct {
	*lint.Finding
	file       string
	start, end walker.Position
}

func (l *located) placed() bool { return l.start.Line > 0 }

// Render writes the findings of one document, in the order in which they come. It
// may be called for many documents at once; [Options.Write] puts the fragments
// together.
func (o *Options) Render(doc *walker.Document, findings []lint.Finding) Fragment {
	found := make([]located, len(findings))
	size := len(doc.Bytes())
	for i := range findings {
		f := &findings[i]
		start := min(max(f.Span.Start, 0), size)
		found[i] = located{f, doc.Name, doc.Position(start), doc.Position(min(max(f.Span.End, start), size))}
	}
	return o.render(doc, findings, found)
}

// RenderRows writes findings that stand in no text: in a database of that name.
// Their paths say where; they have neither lines nor columns.
func (o *Options) RenderRows(name string, findings []lint.Finding) Fragment {
	found := make([]located, len(findings))
	for i := range findings {
		found[i] = located{Finding: &findings[i], file: name}
	}
	return o.render(nil, findings, found)
}

func (o *Options) render(doc *walker.Document, findings []lint.Finding, found []located) Fragment {
	switch o.Format {
	case JSON:
		return renderJSON(found)
	case SARIF:
		return o.renderSARIF(found, lint.Fingerprints(doc, findings))
	}
	return o.renderText(found)
}

// Clean keeps what comes from outside from moving the cursor, changing a colour,
// turning the direction of writing or beginning a line of its own.
func Clean(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return text // as nearly every text is
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// Write puts the fragments of a report together. failed says that some document could
// not be looked at. An error is that of w's Flush.
func (o *Options) Write(w *bufio.Writer, fragments []Fragment, failed bool) {
	head, between, end := "", "", ""
	switch o.Format {
	case JSON:
		head, between, end = "[\n", ",\n", "\n]\n"
	case SARIF:
		head, between, end = o.sarifHead(), ",\n", sarifTail(failed)
	}
	fragments = slices.DeleteFunc(fragments, func(f Fragment) bool { return len(f) == 0 })
	if o.Format == JSON && len(fragments) == 0 {
		head, end = "[]\n", ""
	}
	_, _ = w.WriteString(head)
	for i, f := range fragments {
		if i > 0 {
			_, _ = w.WriteString(between)
		}
		_, _ = w.Write(f)
	}
	_, _ = w.WriteString(end)
}
