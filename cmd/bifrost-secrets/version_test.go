package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	management "bifrost-secrets/watch/bifrost"
)

// TestReleases holds what version --json and README say of Bifrost against the table.
func TestReleases(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	if code := run([]string{"version", "--json"}, strings.NewReader(""), &out, &said, nil); code != 0 {
		t.Fatalf("status %d: %s", code, said.String())
	}
	var got struct{ Bifrost []management.Proven }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	all := management.Releases()
	if len(got.Bifrost) != len(all) {
		t.Errorf("version --json has %d releases, want %d", len(got.Bifrost), len(all))
	}
	for i, r := range all {
		if line := fmt.Sprintf("| %s | %s | %s |", r.Line, r.Version, strings.Join(r.Run, ", ")); !strings.Contains(string(readme), line) {
			t.Errorf("README has no line %s", line)
		}
		if i < len(got.Bifrost) && got.Bifrost[i].Version != r.Version {
			t.Errorf("version --json has %s there, want %s", got.Bifrost[i].Version, r.Version)
		}
	}
}
