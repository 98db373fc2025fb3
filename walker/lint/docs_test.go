package lint_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

var (
	docsExample  = regexp.MustCompile("(?s)```json( env)?\n([^`]*?)\n```\n\n```\n(.*?)\n```\n(?:\nRepaired:\n\n```json(?: env)?\n(.*?)\n```\n)?")
	docsSettings = regexp.MustCompile("(?s)```json settings\n(.*?)\n```\n")
	docsOptions  = regexp.MustCompile("(?s)\n## Settings\n.*?```json\n(.*?)\n```\n")
)

// Every rule has a section in docs/lint.md, and every example there makes lint say just
// what the page says. The repaired one has no finding of that rule, and is what
// the repairs make, where the page says so.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range lint.Rules() {
		_, section, ok := strings.Cut(string(page), "\n## "+r.ID+"\n")
		if !ok {
			t.Errorf("docs/lint.md has no section on %s", r.ID)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		opts := lint.Options{Backends: lint.AllBackends}
		if m := docsSettings.FindStringSubmatch(section); m != nil {
			if opts.Settings, err = lint.ParseSettings([]byte(m[1])); err != nil {
				t.Fatalf("%s: %v", r.ID, err)
			}
		}
		examples := docsExample.FindAllStringSubmatch(section, -1)
		if len(examples) == 0 {
			t.Errorf("%s has no example", r.ID)
		}
		for i, m := range examples {
			opts.Env = m[1] != ""
			if got := ofRule(t, r.ID, m[2], opts); got != m[3] {
				t.Errorf("%s: the page says\n%s\nlint says\n%s", r.ID, m[3], got)
			}
			if m[4] == "" {
				continue
			}
			if got := ofRule(t, r.ID, m[4], opts); got != "" {
				t.Errorf("%s: the repaired example is not: %s", r.ID, got)
			}
			if i == 0 && strings.Contains(section, "`--fix` ") {
				doc, _ := walker.Parse("config.json", []byte(m[2]))
				if got := string(lint.Repair(doc, opts).Document.Bytes()); got != m[4] {
					t.Errorf("%s: --fix makes\n%s\nthe page says\n%s", r.ID, got, m[4])
				}
			}
		}
	}
	settings := docsOptions.FindSubmatch(page)
	if settings == nil {
		t.Fatal("there is no example of the settings")
	}
	if _, err := lint.ParseSettings(settings[1]); err != nil {
		t.Errorf("the example of the settings: %v", err)
	}
}

// ofRule returns what one rule finds, as the first lines of the text output.
func ofRule(t *testing.T, rule, text string, opts lint.Options) string {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	var lines []string
	for _, f := range lint.Check(doc, opts) {
		if pos := doc.Position(f.Span.Start); f.Rule == rule {
			lines = append(lines, fmt.Sprintf("config.json:%d:%d: %s: %s [%s]", pos.Line, pos.Column, f.Severity, f.Message, f.Rule))
		}
	}
	return strings.Join(lines, "\n")
}
