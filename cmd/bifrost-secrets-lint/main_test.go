package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/cmd/internal/help"
)

// The small program is small: it has what the linter needs and nothing that
// could reach a network for a secret.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}our {{end}}{{end}}{{.ImportPath}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if name, ours := strings.CutPrefix(name, "our "); ours {
			seen++
			if !regexp.MustCompile(`/(docs|sources|render/publish|walker(/.*)?|cmd/.*)$`).MatchString(name) { // docs: the page that SARIF quotes; publish: for --fix
				t.Errorf("links %s, which is no part of the linter", name)
			}
			continue
		}
		switch {
		case name == "net/http", name == "crypto/tls", strings.Contains(name, "aws"), strings.Contains(name, "cloud.google.com"), strings.Contains(name, "hashicorp"), strings.Contains(name, "azure"):
			t.Errorf("links %s", name)
		}
	}
	if seen < 5 {
		t.Errorf("%d packages of ours were seen", seen)
	}
}

func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	const limit = 6 << 20
	bin := filepath.Join(t.TempDir(), "bifrost-secrets-lint")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > limit {
		t.Errorf("%d bytes, want at most %d", info.Size(), limit)
	}
}

func TestHelp(t *testing.T) {
	var out, failed strings.Builder
	if code := run([]string{"--help"}, strings.NewReader(""), &out, &failed, nil); code != 0 {
		t.Fatalf("%d: %s", code, failed.String())
	}
	if strings.Contains(out.String(), "\n:\n") {
		t.Errorf("flags without a group:\n%s", out.String())
	}
	for line := range strings.Lines(out.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > help.Width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "bifrost-secrets-lint")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	config := filepath.Join(b.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := exec.Command(bin, "-q", config).Run(); err != nil {
			b.Fatal(err)
		}
	}
}
