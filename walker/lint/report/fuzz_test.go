package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// Whatever the document and whatever the findings, nothing panics, what is for
// programs can be read by them, and no value of a secret field is shown.
func FuzzRender(f *testing.F) {
	f.Add([]byte(`{"encryption_key": "hunter2-hunter2", "providers": {"a": {"keys": [{"value": "ENV.X"}]}}}`), 3, 9, 10, 2)
	f.Add([]byte("{\r\n\t\"encryption_key\": {\"ref\":\r\n \"vault.a\\/b\"},\r\n \"plugins\": [{\"name\": \"otel\", \"config\": {\"headers\": {\"authorization\": \"Bearer hunter2hunter2\"}}}]}"), 0, 0, 1, 1)
	f.Add([]byte("{\"鍵\u0301\u202e\": [1, -2e9, null, {\"x\": \"env.X\"}], \"encryption_key\": \"vault.kv\\/hunter2#hunter3\"}"), -5, 1<<40, 7, 7)
	f.Fuzz(func(t *testing.T, data []byte, a, b, c, d int) {
		doc, err := walker.Parse("f.json", data)
		if err != nil {
			return
		}
		edit := &lint.Edit{Span: walker.Span{Start: c, End: d}, Text: "x"}
		findings := append(lint.Check(doc, lint.Options{}),
			lint.Finding{Rule: "fuzz", Severity: lint.Severity(a), Span: walker.Span{Start: a, End: b}, Fix: edit},
			lint.Finding{Rule: "fuzz", Path: "p", Hint: "h", Span: walker.Span{Start: c, End: d}},
		)
		secrets := values(doc)
		hidden := func(where, out string) {
			for _, s := range secrets {
				if strings.Contains(out, s) {
					t.Errorf("%s shows %q:\n%s", where, s, out)
				}
			}
		}
		for _, format := range Formats {
			out := render(Options{Format: format, Rules: lint.Rules()}, doc, findings...)
			hidden(format, out)
			if strings.ContainsAny(out, "\x1b\u009b\u202e\r\x00") {
				t.Errorf("%s has what a terminal would obey: %q", format, out)
			}
			var v any
			if (format == JSON || format == SARIF) && json.Unmarshal([]byte(out), &v) != nil {
				t.Errorf("%s cannot be read: %s", format, out)
			}
			if format == SARIF {
				if faults := validate(sarifSchema, v, ""); faults != nil {
					t.Error(faults)
				}
			}
		}
		r := lint.Repair(doc, lint.Options{})
		out := string(Diff(doc, r.Document, false))
		hidden("the diff", out)
		countLines(t, out)
	})
}

// countLines holds the heads of a diff's hunks against what follows them.
func countLines(t *testing.T, out string) {
	var was, is, line int
	for _, l := range strings.Split(strings.TrimSuffix(out, "\n"), "\n") {
		if strings.HasPrefix(l, "@@") {
			if was != 0 || is != 0 {
				break
			}
			if _, err := fmt.Sscanf(l, "@@ -%d,%d +%d,%d @@", &line, &was, &line, &is); err != nil {
				t.Errorf("%v: %q", err, l)
			}
			continue
		}
		switch l[:min(len(l), 1)] {
		case " ":
			was, is = was-1, is-1
		case "-":
			if !strings.HasPrefix(l, "--- f.json") {
				was--
			}
		case "+":
			if !strings.HasPrefix(l, "+++ f.json") {
				is--
			}
		}
	}
	if was != 0 || is != 0 {
		t.Errorf("a hunk's head is %d and %d lines off:\n%s", was, is, out)
	}
}

// values returns the texts of the secret fields that stand in the document this
// once and so cannot have come from elsewhere, raw and decoded.
func values(doc *walker.Document) (out []string) {
	text := string(doc.Bytes())
	doc.Walk(func(f *walker.Field) bool {
		if f.Kind() != walker.SecretKind || f.What == walker.Ref || f.What == walker.Null {
			return true
		}
		forms := []string{f.Text()}
		if !f.Object {
			forms = append(forms, strings.Trim(text[f.Start:f.End], `"`))
		}
		for _, s := range forms {
			// A short one may be part of a word of ours.
			// Of an object that stands for its text the names are shown.
			if len(s) > 8 && s[0] != '{' && strings.ContainsAny(s, "0123456789") && strings.Count(text, s) <= 1 && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}
