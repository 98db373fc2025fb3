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
// of a variable, and explain and render say so of each field.
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
	const vaulted = `{"config_store": {"enabled": true, "vault_store": {"enabled": true, "type": "file", "file": {"path": "secrets"}}},
		"providers": {"bedrock": {"keys": [{"name": "a", "value": "vault.secret", "bedrock_key_config": {"endpoints": {"runtime": "env.B", "s3": "vault.secret"}}}]}},
		"mcp": {"client_configs": [{"name": "m", "oauth_config": {"client_id": "public", "client_secret": "vault.secret"}}]}}`
	folder := filepath.Dir(file)
	if err := os.Mkdir(filepath.Join(folder, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"config.json": vaulted, "secrets/secret": "a-value"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for mode, want := range map[string][]string{
		"env":    {"bedrock_key_config.endpoints.runtime: ", "bedrock_key_config.endpoints.s3: ", "oauth_config.client_secret: "},
		"inline": nil,
	} {
		said.Reset()
		args := []string{"render", "--mode", mode, "--config", file, "--out", filepath.Join(folder, "out.json")}
		if mode == "env" {
			args = append(args, "--env-file", filepath.Join(folder, "out.env"))
		}
		if code := run(args, strings.NewReader(""), &out, &said, nil); code != 0 {
			t.Fatalf("%s: status %d: %s", mode, code, said.String())
		}
		var got []string
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, "in its database") {
				got = append(got, line)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d notes, want %d: %q", mode, len(got), len(want), got)
		}
		for _, w := range want {
			if n := strings.Count(strings.Join(got, ""), w); n != 1 {
				t.Errorf("%s: %d notes of %s in %q", mode, n, w, got)
			}
		}
	}
}
