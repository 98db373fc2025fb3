package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The README shows commands with their output as console blocks. Each command
// is run here, in a copy of testdata, and must print just what the README says.
// Of a make command it is only checked that the target is there: the tests are
// themselves run by one.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(root, "testdata"))); err != nil {
		t.Fatal(err)
	}
	// A checkout's modes are the umask's; the secrets of a user are private.
	if out, err := exec.Command("chmod", "-R", "go-rwx", filepath.Join(dir, "testdata")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/migrate.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			for _, one := range strings.Split("\n"+block[1], "\n$ ")[1:] {
				command, want, _ := strings.Cut(strings.TrimSuffix(one, "\n"), "\n")
				ran++
				if target, ok := strings.CutPrefix(command, "make "); ok {
					target, _, _ = strings.Cut(target, " ")
					if !strings.Contains(string(makefile), "\n"+target+":") {
						t.Errorf("%s: the Makefile has no target %s", page, target)
					}
					continue
				}
				if got := console(t, dir, command); strings.TrimSpace(got) != strings.TrimSpace(want) {
					t.Errorf("%s says that %s prints\n%s\nbut it prints\n%s", page, command, want, got)
				}
			}
		}
	}
	if ran < 5 {
		t.Errorf("only %d commands were found", ran)
	}
}

func console(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	return shown(t, cmd)
}

// shown gives what a command prints and how it ends, as the pages show it.
func shown(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out = fmt.Appendf(out, "[exit status %d]\n", exit.ExitCode())
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// What a page links to in the repository is there.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), string(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if links < 5 {
		t.Errorf("only %d links were found", links)
	}
}
