package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	management "bifrost-secrets/watch/bifrost"
)

// TestReleases holds what version --json and the pages say of Bifrost against the table.
func TestReleases(t *testing.T) {
	all, page := management.Releases(), pages(t)
	var out, said bytes.Buffer
	if code := run([]string{"version", "--json"}, strings.NewReader(""), &out, &said, nil); code != 0 {
		t.Fatalf("status %d: %s", code, said.String())
	}
	var got struct{ Bifrost []management.Proven }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Bifrost) != len(all) {
		t.Errorf("version --json has %d releases, want %d", len(got.Bifrost), len(all))
	}
	var versions []string
	for i, r := range all {
		versions = append(versions, r.Version)
		if line := fmt.Sprintf("| %s | %s | %s |", r.Line, r.Version, strings.Join(r.Run, ", ")); !strings.Contains(page["docs/bifrost.md"], line) {
			t.Errorf("docs/bifrost.md has no line %s", line)
		}
		if i < len(got.Bifrost) && got.Bifrost[i].Version != r.Version {
			t.Errorf("version --json has %s there, want %s", got.Bifrost[i].Version, r.Version)
		}
	}
	last := len(versions) - 1
	if said := "Bifrost " + strings.Join(versions[:last], ", ") + " and " + versions[last]; !strings.Contains(page["README.md"], said) {
		t.Errorf("README does not say that it was run with %s", said)
	}
}

// TestRestingFields has SECURITY.md name where Bifrost's database keeps the value
// of a variable, and explain say so of each field.
func TestRestingFields(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range walker.Catalogue() {
		if !e.Rests() {
			continue
		}
		n++
		if in := e.Pattern[:strings.LastIndex(e.Pattern, ".")]; !strings.Contains(string(text), "`"+in+"`") {
			t.Errorf("SECURITY.md does not name %s", in)
		}
	}
	if n < 10 {
		t.Errorf("%d fields", n)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"providers": {"bedrock": {"keys": [{"name": "a", "value": "env.A", "bedrock_key_config": {"endpoints": {"runtime": "env.B"}}}]}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	if code := run([]string{"explain", "--mode", "env", "--config", file}, strings.NewReader(""), &out, &said, nil); code != 0 {
		t.Fatalf("status %d: %s", code, said.String())
	}
	for line := range strings.Lines(out.String()) {
		if rests := strings.Contains(line, "into its database"); rests != strings.Contains(line, "endpoints.runtime") {
			t.Errorf("explain says %q", line)
		}
	}
}
