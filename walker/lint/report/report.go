// Package report shows findings: to people, and to the programs that read them
// for people. It shows where a finding is and what is there, but never a value
// that could be a secret: of the document itself it prints the names of members,
// references and punctuation, and nothing else.
package report

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// Format is a way to write findings.
type Format string

// The formats.
const (
	Text   Format = "text"   // for people: a line, a snippet with a caret, the path, a hint
	JSON   Format = "json"   // an array of objects
	SARIF  Format = "sarif"  // a SARIF 2.1.0 log with one run
	GitHub Format = "github" // workflow commands, which GitHub turns into annotations
)

// Formats are all formats, the default first.
var Formats = []Format{Text, JSON, SARIF, GitHub}

// Options say how to write findings.
type Options struct {
	Format Format
	Colour bool // of Text alone
	// Rules are described in a SARIF log. They should be all that findings may
	// name.
	Rules []lint.Rule
	// Version is that of the program; empty where it is not known.
	Version string
}

// Fragment is what one document adds to a report.
type Fragment []byte

// Render writes the findings of one document, sorted by their places. It may be
// called for many documents at once; the fragments are put together by a
// [Writer].
func (o *Options) Render(doc *walker.Document, findings []lint.Finding) Fragment {
	if len(findings) == 0 {
		return nil
	}
	findings = slices.Clone(findings)
	size := len(doc.Bytes())
	for i := range findings {
		s := &findings[i].Span
		s.Start = min(max(s.Start, 0), size)
		s.End = min(max(s.End, s.Start), size)
	}
	inOrder := func(a, b lint.Finding) int {
		return cmp.Or(cmp.Compare(a.Span.Start, b.Span.Start), strings.Compare(a.Rule, b.Rule))
	}
	if !slices.IsSortedFunc(findings, inOrder) {
		slices.SortStableFunc(findings, inOrder)
	}
	found := locate(doc, findings)
	switch o.Format {
	case JSON:
		return renderJSON(found)
	case SARIF:
		return o.renderSARIF(found, lint.Fingerprints(doc, findings))
	case GitHub:
		return renderGitHub(found)
	}
	return o.renderText(doc, found)
}

// RenderRows writes findings that stand in no text: in a database of that name.
// Their paths say where; they have neither lines nor columns.
func (o *Options) RenderRows(name string, findings []lint.Finding) Fragment {
	if len(findings) == 0 {
		return nil
	}
	found := make([]located, len(findings))
	for i := range findings {
		found[i] = located{Finding: &findings[i], file: name}
	}
	switch o.Format {
	case JSON:
		return renderJSON(found)
	case SARIF:
		return o.renderSARIF(found, lint.Fingerprints(nil, findings))
	case GitHub:
		return renderGitHub(found)
	}
	t := textReport{colour: o.Colour, file: Clean(name)}
	for i := range found {
		t.finding(&found[i])
	}
	return t.out
}

// Failure gives what a document that cannot be read adds to a report: nothing,
// but an annotation for GitHub. People are told on the standard error.
func (o *Options) Failure(err *walker.DocumentError) Fragment {
	if o.Format != GitHub {
		return nil
	}
	return gitHubFailure(err)
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
	if !w.begun || w.opts.Format == JSON || w.opts.Format == SARIF {
		if _, err := io.WriteString(w.w, w.joint()); err != nil {
			return err
		}
	}
	w.begun = true
	_, err := w.w.Write(f)
	return err
}

// joint gives what stands before the next fragment.
func (w *Writer) joint() string {
	switch {
	case w.opts.Format == JSON && !w.begun:
		return "[\n"
	case w.opts.Format == SARIF && !w.begun:
		return w.opts.sarifHead()
	case w.opts.Format == JSON || w.opts.Format == SARIF:
		return ",\n"
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
		end = w.opts.sarifHead() + sarifTail(failed)
	case w.opts.Format == SARIF:
		end = sarifTail(failed)
	}
	_, err := io.WriteString(w.w, end)
	return err
}
