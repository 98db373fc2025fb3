// Package report shows findings: to people, and to the programs that read them
// for people. It shows where a finding is and what is there, but never a value
// that could be a secret: of the document itself a diff has the names of members,
// references and punctuation, and nothing else.
package report

import (
	"io"
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
// may be called for many documents at once; the fragments are put together by a
// [Writer].
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

// Writer puts the fragments of a report together.
type Writer struct {
	opts  *Options
	w     io.Writer
	begun bool
}

// NewWriter makes a writer. Nothing is written before the first Add or the
// Close.
func NewWriter(w io.Writer, opts *Options) *Writer { return &Writer{opts: opts, w: w} }

// Add writes one fragment.
func (w *Writer) Add(f Fragment) error {
	if len(f) == 0 {
		return nil
	}
	before := ""
	switch {
	case !w.begun:
		before = w.head()
	case w.opts.Format == JSON, w.opts.Format == SARIF:
		before = ",\n"
	}
	w.begun = true
	if _, err := io.WriteString(w.w, before); err != nil {
		return err
	}
	_, err := w.w.Write(f)
	return err
}

// head returns what stands before the first fragment.
func (w *Writer) head() string {
	switch w.opts.Format {
	case JSON:
		return "[\n"
	case SARIF:
		return w.opts.sarifHead()
	}
	return ""
}

// Close ends the report. failed says that some document could not be looked at.
func (w *Writer) Close(failed bool) error {
	var end string
	switch {
	case w.opts.Format == JSON && !w.begun:
		end = "[]\n"
	case w.opts.Format == JSON:
		end = "\n]\n"
	case w.opts.Format == SARIF && !w.begun:
		end = w.head() + sarifTail(failed)
	case w.opts.Format == SARIF:
		end = sarifTail(failed)
	}
	_, err := io.WriteString(w.w, end)
	return err
}
