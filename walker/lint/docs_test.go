package lint

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// Every rule has a section in docs/lint.md, and every example there gives just
// what the page says; the repaired one gives nothing of that rule.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	found := func(rule, doc string) string {
		d, err := walker.Parse("config.json", []byte(doc+"\n"))
		if err != nil {
			t.Fatalf("%s: %v", rule, err)
		}
		var lines []string
		for _, f := range Check(d, Options{}) {
			if pos := d.Position(f.Span.Start); f.Rule == rule {
				lines = append(lines, fmt.Sprintf("config.json:%d:%d: %s: %s [%s]", pos.Line, pos.Column, f.Severity, f.Message, f.Rule))
			}
		}
		return strings.Join(lines, "\n")
	}
	example := regexp.MustCompile("(?s)```json\n(.*?)\n```\n\n```\n(.*?)\n```\n")
	repaired := regexp.MustCompile("(?s)Repaired:\n\n```json\n(.*?)\n```\n")
	examples := 0
	for _, r := range Rules() {
		_, section, ok := strings.Cut(string(text), "\n## "+r.ID+"\n")
		if !ok {
			t.Errorf("docs/lint.md has no section on %s", r.ID)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, m := range example.FindAllStringSubmatch(section, -1) {
			examples++
			if got := found(r.ID, m[1]); got != m[2] {
				t.Errorf("%s: the page says\n%s\nlint says\n%s", r.ID, m[2], got)
			}
		}
		for _, m := range repaired.FindAllStringSubmatch(section, -1) {
			if got := found(r.ID, m[1]); got != "" {
				t.Errorf("%s: the repaired example is not: %s", r.ID, got)
			}
		}
	}
	if examples < len(rules)-2 {
		t.Errorf("only %d examples were found", examples)
	}
	settings := regexp.MustCompile("(?s)## Settings.*?```json\n(.*?)\n```").FindSubmatch(text)
	if settings == nil {
		t.Fatal("there is no example of the settings")
	}
	if _, err := ParseSettings(settings[1]); err != nil {
		t.Errorf("the example of the settings: %v", err)
	}
}
