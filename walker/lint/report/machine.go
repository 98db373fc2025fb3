package report

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// jsonFinding is a finding as JSON has it: a promise to the programs that read
// it, so members are added but never renamed. Lines and columns begin at 1, a
// column is one character, and the end is the place behind the last. A finding in
// a database has zeros there: its path is table/row/column.
type jsonFinding struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Rule      string `json:"rule"`
	Severity  string `json:"severity"`
	Message   string `json:"message"`
	Hint      string `json:"hint"`
	Path      string `json:"path"`
	Fixable   bool   `json:"fixable"`
}

func renderJSON(found []located) Fragment {
	var out []byte
	for i := range found {
		f := &found[i]
		if i > 0 {
			out = append(out, ",\n"...)
		}
		out = append(out, "  "...)
		out = appendJSON(out, jsonFinding{
			File: f.file, Line: f.start.Line, Column: f.start.Column, EndLine: f.end.Line, EndColumn: f.end.Column,
			Rule: f.Rule, Severity: severity(f.Severity), Message: Clean(f.Message), Hint: Clean(f.Hint), Path: Clean(f.Path), Fixable: f.Fix != nil,
		})
	}
	return out
}

// appendJSON adds v as JSON on one line. What a terminal would obey is escaped,
// since people look at JSON too.
func appendJSON(dst []byte, v any) []byte {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // the types here always encode, and a builder always takes it
	}
	for _, r := range strings.TrimSuffix(text.String(), "\n") {
		switch {
		case strconv.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			dst = append(dst, `\ufffd`...)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return dst
}

func renderGitHub(found []located) Fragment {
	var out []byte
	for i := range found {
		f := &found[i]
		command := [...]string{lint.Note: "notice", lint.Warning: "warning", lint.Error: "error"}[min(max(f.Severity, lint.Note), lint.Error)]
		place := "file=" + property(filepath.ToSlash(f.file))
		switch {
		case !f.placed():
		case f.end.Line == f.start.Line:
			place += fmt.Sprintf(",line=%d,col=%d,endColumn=%d", f.start.Line, f.start.Column, f.end.Column)
		default: // GitHub refuses columns where the lines differ
			place += fmt.Sprintf(",line=%d,endLine=%d", f.start.Line, f.end.Line)
		}
		text := Clean(f.Message)
		if f.Path != "" {
			text += "\n" + Clean(f.Path)
		}
		if f.Hint != "" {
			text += "\nhint: " + Clean(f.Hint)
		}
		out = fmt.Appendf(out, "::%s %s,title=%s::%s\n", command, place, property(f.Rule), data(text))
	}
	return out
}

// Failure returns what a document that cannot be read adds to a report: nothing,
// but an annotation for GitHub. People are told on the standard error.
func (o *Options) Failure(err *walker.DocumentError) Fragment {
	if o.Format != GitHub {
		return nil
	}
	place := "file=" + property(filepath.ToSlash(err.Name))
	if err.Position.Line > 0 {
		place += fmt.Sprintf(",line=%d,col=%d", err.Position.Line, err.Position.Column)
	}
	text := Clean(err.Reason)
	if err.Hint != "" {
		text += "\nhint: " + Clean(err.Hint)
	}
	return fmt.Appendf(nil, "::error %s,title=document::%s\n", place, data(text))
}

// data escapes the text of a workflow command, and property the value of one of
// its properties.
func data(text string) string { return dataEscapes.Replace(text) }

func property(text string) string { return propertyEscapes.Replace(text) }

var (
	dataEscapes     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
