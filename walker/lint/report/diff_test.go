package report

import (
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

func diffOf(t testing.TB, doc *walker.Document) string {
	t.Helper()
	r := lint.Repair(doc, lint.Options{})
	return string(Diff(doc, r.Document, r.Changes, false))
}

func TestDiff(t *testing.T) {
	keys := func(values ...string) string {
		var b strings.Builder
		b.WriteString("{\n\"providers\": {\"openai\": {\"keys\": [\n")
		for i, v := range values {
			if i > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, "{\"name\": \"%d\",\n\"value\": %s}", i, v)
		}
		b.WriteString("\n]}}}\n")
		return b.String()
	}
	for _, tt := range []struct{ name, doc, want string }{
		{"nothing to do", `{"encryption_key": "env.X"}`, ""},
		{"one line without an end", `{"encryption_key": "ENV.X", "other": "hunter2"}`, `--- config.json
+++ config.json
@@ -1,1 +1,1 @@ reference-syntax
-{"encryption_key": "…", "other": "…"}
\ no newline at the end of the file
+{"encryption_key": "env.X", "other": "…"}
\ no newline at the end of the file
`},
		{"an unchanged line without an end", "{\"encryption_key\": \"ENV.X\",\n\"client\": {}}", `--- config.json
+++ config.json
@@ -1,2 +1,2 @@ reference-syntax
-{"encryption_key": "…",
+{"encryption_key": "env.X",
 "client": {}}
\ no newline at the end of the file
`},
		{"fewer lines", "{\n\"setup_token\": \"hunter2\",\n\"encryption_key\": {\r\n  \"ref\": \"env.X\"\n},\n\"client\": {}\n}\n", `--- config.json
+++ config.json
@@ -1,7 +1,5 @@ object-form
 {
 "setup_token": "…",
-"encryption_key": {
-  "ref": "env.X"
-},
+"encryption_key": "env.X",
 "client": {}
 }
`},
		{"two that are near, one that is far", keys(`"Env.A"`, `"hunter2hunter2"`, `null`, `"hunter3"`, `"hunter4"`, `"hunter5"`, `"hunter6"`, `"vault.a\/b"`), `--- config.json
+++ config.json
@@ -1,11 +1,11 @@ null-secret, reference-syntax
 {
 "providers": {"openai": {"keys": [
 {"name": "…",
-"value": "…"},
+"value": "env.A"},
 {"name": "…",
 "value": "…"},
 {"name": "…",
-"value": null},
+"value": ""},
 {"name": "…",
 "value": "…"},
 {"name": "…",
@@ -15,5 +15,5 @@ json-escape
 {"name": "…",
 "value": "…"},
 {"name": "…",
-"value": "vault.a\/b"}
+"value": "vault.a/b"}
 ]}}}
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := diffOf(t, parse(t, tt.doc)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// On one long line, what lies around each change is shown, and no more.
func TestDiffLongLine(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"providers": {"openai": {"keys": [`)
	for i := range 3000 {
		value := "hunter2"
		if i == 1000 || i == 1001 || i == 2000 {
			value = " env.X"
		}
		fmt.Fprintf(&b, `{"name": "%d", "value": "%s"},`, i, value)
	}
	b.WriteString(`{"name": "last"}]}}}`)
	got := diffOf(t, parse(t, b.String()))
	lines := strings.Split(got, "\n")
	if len(lines) != 8 {
		t.Fatalf("got\n%s", got)
	}
	if n := strings.Count(lines[5], `"env.X"`); n != 3 {
		t.Errorf("%d of 3 repairs are shown: %s", n, lines[5])
	}
	for _, line := range []string{lines[3], lines[5]} {
		if len(line) > 600 || !strings.HasSuffix(line, ellipsis) || strings.Contains(line, ellipsis+ellipsis) {
			t.Errorf("got %q", line)
		}
	}
}

// What is kept of a line does not grow with it, and what is shown is the same.
func TestLineThatIsVeryLong(t *testing.T) {
	const many = 20_000
	text := `{"a": [` + strings.Repeat(`"x", `, many) + `1], "b": "here", "c": [` + strings.Repeat(`2,`, many) + `3]}`
	doc, err := walker.Parse("c", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m, places := mask(doc), []int{strings.Index(text, `"here"`), strings.Index(text, "3]")}
	if n := len(m.line(0, places)); n > 20*window {
		t.Errorf("%d tokens are kept", n)
	}
	const want = `…, "…", "…", "…", "…", "…", "…", "…", …], "b": "…", "c": […,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,……,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…,…]}`
	if got := string(m.appendLine(nil, 0, places)); got != want {
		t.Errorf("shown is %s", got)
	}
}
