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
	return string(Diff(doc, r.Document, false))
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
@@ -1,1 +1,1 @@
-{"encryption_key": "…", "other": "…"}
\ No newline at end of file
+{"encryption_key": "env.X", "other": "…"}
\ No newline at end of file
`},
		{"an unchanged line without an end", "{\"encryption_key\": \"ENV.X\",\n\"client\": {}}", `--- config.json
+++ config.json
@@ -1,2 +1,2 @@
-{"encryption_key": "…",
+{"encryption_key": "env.X",
 "client": {}}
\ No newline at end of file
`},
		{"fewer lines", "{\n\"setup_token\": \"hunter2\",\n\"encryption_key\": {\r\n  \"ref\": \"env.X\"\n},\n\"client\": {}\n}\n", `--- config.json
+++ config.json
@@ -1,7 +1,5 @@
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
@@ -1,11 +1,11 @@
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
@@ -15,5 +15,5 @@
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

// A long line is folded, so that what lies around each change is shown, and no more.
func TestDiffLongLine(t *testing.T) {
	var b strings.Builder
	b.WriteString("{\"client\": {},\n\"providers\": {\"openai\": {\"keys\": [")
	for i := range 20_000 {
		value := "hunter2"
		if i == 10_000 || i == 10_001 || i == 15_000 {
			value = " env.X"
		}
		fmt.Fprintf(&b, `{"name": "%d", "value": "%s"},`, i, value)
	}
	b.WriteString("{\"name\": \"last\"}]}},\n\"encryption_key\": \"ENV.KEY\"}")
	got := diffOf(t, parse(t, b.String()))
	const hunk = `@@ -2,%d +2,%[1]d @@
 {"name": "…",
  "value": "…"},
 {"name": "…",
- "value": "…"},
+ "value": "env.X"},
 {"name": "…",
%s`
	want := "--- config.json\n+++ config.json\n" +
		fmt.Sprintf(hunk, 9, `- "value": "…"},
+ "value": "env.X"},
 {"name": "…",
  "value": "…"},
 {"name": "…",
`) + fmt.Sprintf(hunk, 7, `  "value": "…"},
 {"name": "…",
`) + `@@ -2,4 +2,4 @@
 {"name": "…",
  "value": "…"},
 {"name": "…"}]}},
-"encryption_key": "…"}
\ No newline at end of file
+"encryption_key": "env.KEY"}
\ No newline at end of file
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
