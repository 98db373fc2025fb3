package report

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
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
