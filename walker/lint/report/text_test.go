package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

func parse(t testing.TB, text string) *walker.Document {
	t.Helper()
	d, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// finding makes a finding at the first place where part stands.
func finding(t testing.TB, doc *walker.Document, part string) lint.Finding {
	t.Helper()
	i := strings.Index(string(doc.Bytes()), part)
	if i < 0 {
		t.Fatalf("%q is not in the document", part)
	}
	return lint.Finding{Rule: "rule", Severity: lint.Error, Message: "message", Span: walker.Span{Start: i, End: i + len(part)}}
}

func render(o Options, doc *walker.Document, findings ...lint.Finding) string {
	var b strings.Builder
	w := bufio.NewWriter(&b)
	o.Write(w, []Fragment{o.Render(doc, findings)}, false)
	_ = w.Flush() // a builder always takes it
	return b.String()
}

func TestText(t *testing.T) {
	doc := parse(t, `{
  "providers": {
    "openai": {"keys": [
      {
        "name": "a",
          "value": "sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789wxyz"
      }
    ]}
  }
}
`)
	f := finding(t, doc, `"sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789wxyz"`)
	f.Rule, f.Message = "plaintext-secret", "a secret in plain text (an OpenAI key, 52 characters)"
	f.Path, f.Hint = "providers.openai.keys[0].value", `store it, and write "vault.path#key" or "env.NAME" here`
	got := render(Options{Format: Text}, doc, f)
	want := `config.json:6:20: error: a secret in plain text (an OpenAI key, 52 characters) [plaintext-secret]
      = providers.openai.keys[0].value
      = hint: store it, and write "vault.path#key" or "env.NAME" here
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := render(Options{Format: Text}, doc); got != "" {
		t.Errorf("no findings, but %q", got)
	}
}

func TestColour(t *testing.T) {
	doc := parse(t, `{"encryption_key": "x"}`)
	f := finding(t, doc, `"x"`)
	f.Hint = "hint"
	plain, coloured := render(Options{Format: Text}, doc, f), render(Options{Format: Text, Colour: true}, doc, f)
	if strings.Contains(plain, "\x1b") {
		t.Errorf("colour that was not asked for: %q", plain)
	}
	if !strings.Contains(coloured, "\x1b[31merror:\x1b[0m") || !strings.Contains(coloured, "\x1b[2m      =\x1b[0m \x1b[36mhint: \x1b[0mhint\n") {
		t.Errorf("got %q", coloured)
	}
	for _, format := range []string{JSON, SARIF} {
		if got := render(Options{Format: format, Colour: true}, doc, f); strings.Contains(got, "\x1b") {
			t.Errorf("%s has colour: %q", format, got)
		}
	}
}

// Each case is a document, a part of it, and how the line with it is shown in a
// diff.
func TestMasked(t *testing.T) {
	long := strings.Repeat("x", 500)
	for _, tt := range []struct{ name, doc, part, line string }{
		{"a member's name", `{"encryption_key": "hunter2"}`, `"encryption_key"`, `{"encryption_key": "…"}`},
		{"a whole object", `{"encryption_key": {"value": "hunter2"}}`, `{"value": "hunter2"}`, `{"encryption_key": {"value": "…"}}`},
		{"the first byte", `{"encryption_key": 1234567}`, `{`, `{"encryption_key": …}`},
		{"a number", `{"encryption_key": -1234.5e6, "x": true}`, `-1234.5e6`, `{"encryption_key": …, "x": true}`},
		{"null stays", `{"encryption_key": null}`, `null`, `{"encryption_key": null}`},
		{"an empty string stays", `{"encryption_key": ""}`, `""`, `{"encryption_key": ""}`},
		{"a reference stays", `{"encryption_key": "vault.kv/app#key"}`, `"vault.kv/app#key"`, `{"encryption_key": "vault.kv/app#key"}`},
		{"a reference behind a secret", `{"a": "hunter2", "encryption_key": "env.KEY"}`, `"env.KEY"`, `{"a": "…", "encryption_key": "env.KEY"}`},
		{"the reference of an object form", `{"encryption_key": {"value": "hunter2", "ref": "env.KEY", "type": "env"}}`, `{"value": "hunter2", "ref": "env.KEY", "type": "env"}`,
			`{"encryption_key": {"value": "…", "ref": "env.KEY", "type": "…"}}`},
		{"a literal that looks like a reference", `{"encryption_key": {"value": "vault.hunter2"}}`, `"vault.hunter2"`, `{"encryption_key": {"value": "…"}}`},
		{"a broken reference", `{"encryption_key": "env. hunter2"}`, `"env. hunter2"`, `{"encryption_key": "…"}`},
		{"tabs", "{\n\t\t\"encryption_key\":\t\"hunter2\"}", `"hunter2"`, "\t\t\"encryption_key\":\t\"…\"}"},
		{"tabs inside", "{\"encryption_key\":\t{\"value\":\t\"hunter2\"}}", "{\"value\":\t\"hunter2\"}", "{\"encryption_key\":\t{\"value\":\t\"…\"}}"},
		{"wide characters", `{"鍵と値": {"encryption_key": "hunter2"}}`, `"hunter2"`, `{"鍵と値": {"encryption_key": "…"}}`},
		{"characters without a width", "{\"e\u0301e\u0301\": {\"encryption_key\": \"hunter2\"}}", `"hunter2"`, "{\"e\u0301e\u0301\": {\"encryption_key\": \"…\"}}"},
		{"CRLF", "{\r\n  \"encryption_key\": \"hunter2\"\r\n}\r\n", `"hunter2"`, `  "encryption_key": "…"`},
		{"over lines", "{\"encryption_key\": {\n\"value\": \"hunter2\"\n}}", "{\n\"value\": \"hunter2\"\n}", `{"encryption_key": {`},
		{"what a terminal would obey", "{\"\u009b2J\u202ekey\": {\"encryption_key\": \"hunter2\"}}", `"hunter2"`, "{\"\ufffd2J\ufffdkey\": {\"encryption_key\": \"…\"}}"},
		{"several secrets", `{"a": "hunter1", "encryption_key": "hunter2", "b": "hunter3"}`, `"hunter2"`, `{"a": "…", "encryption_key": "…", "b": "…"}`},
		{"a long name", `{"` + long + `": "hunter2"}`, `"hunter2"`, `{"` + long[:48] + `…": "…"}`},
		{"a long line", `{"a": [` + strings.Repeat(`"hunter1", `, 300) + `"hunter2"` + strings.Repeat(`, -3`, 300) + `]}`, `"hunter2"`,
			`{"a": ["…",` + strings.Repeat("\n "+`"…",`, 300) + strings.Repeat("\n …,", 299) + "\n …]}"},
		{"a long line that ends with a comma", `{"a": [` + strings.Repeat(" ", 160) + "1,\n2]}", `1`, `{"a": [` + strings.Repeat(" ", 160) + "…,"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := parse(t, tt.doc)
			at := strings.Index(tt.doc, tt.part)
			var shown []string
			for _, l := range mask(doc).lines {
				if l.number == doc.Position(at).Line {
					shown = append(shown, l.shown)
				}
			}
			if line := strings.Join(shown, "\n"); line != tt.line {
				t.Errorf("got  %q\nwant %q", line, tt.line)
			}
		})
	}
}

// Places are counted by characters, also where many findings lie on one line, or
// several at the same place.
func TestPlaces(t *testing.T) {
	doc := parse(t, "{\"äöü\": [\n 1,22,\"日本\"]}")
	all := []lint.Finding{
		finding(t, doc, `"日本"`), finding(t, doc, `22`), finding(t, doc, "[\n 1,22"), finding(t, doc, `22`), {Rule: "top", Severity: lint.Note},
		{Rule: "end", Severity: lint.Note, Span: walker.Span{Start: 1 << 40, End: -5}}, {Rule: "before", Span: walker.Span{Start: -7, End: -9}},
	}
	var got []string
	var found []jsonFinding
	if err := json.Unmarshal([]byte(render(Options{Format: JSON}, doc, all...)), &found); err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		got = append(got, fmt.Sprintf("%d:%d-%d:%d", f.Line, f.Column, f.EndLine, f.EndColumn))
	}
	want := "2:7-2:11 2:4-2:6 1:9-2:6 2:4-2:6 1:1-1:1 2:13-2:13 1:1-1:1"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}
