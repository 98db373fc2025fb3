package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/cmd/internal/lintcmd"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

const root = "../.."

// elsewhere are the pages whose commands need a server, and what runs them.
var elsewhere = map[string]string{
	"docs/backends/hashicorp-vault.md": "sources/hashivault",
	"docs/configstore.md":              "TestConfigStoreDocs",
	"docs/postgres.md":                 "TestPostgresDocs",
	"docs/troubleshooting.md":          "TestTroubleshooting",
}

// pages returns the text of every page of the repository, by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	read := func(path string) {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	for _, page := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		read(page)
	}
	err := fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			read(path)
		}
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d pages: %v", len(all), err)
	}
	return all
}

// docBlocks are the blocks of a page: a file of a name, or commands.
var docBlocks = regexp.MustCompile("(?s)```(?:json ([a-z.]+)|(console))\n(.*?)```\n")

// The pages show commands with their output as console blocks. Each command is run
// here, in a directory of its page with a copy of testdata and the files that the
// page names, and prints just what the page shows; … stands for what differs each
// time. Of a make command it is only checked that the target is there: the tests
// are themselves run by one.
func TestReadme(t *testing.T) {
	starts(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for page, text := range pages(t) {
		blocks := docBlocks.FindAllStringSubmatch(text, -1)
		if elsewhere[page] != "" || len(blocks) == 0 {
			continue
		}
		dir := t.TempDir()
		if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(root, "testdata"))); err != nil {
			t.Fatal(err)
		}
		// A checkout's modes are the umask's; the secrets of a user are private.
		if out, err := exec.Command("chmod", "-R", "go-rwx", filepath.Join(dir, "testdata")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, block := range blocks {
			if block[1] != "" {
				write(t, filepath.Join(dir, block[1]), block[3])
				continue
			}
			for _, one := range strings.Split("\n"+block[3], "\n$ ")[1:] {
				command, want, _ := strings.Cut(strings.TrimSuffix(one, "\n"), "\n")
				ran++
				if target, ok := strings.CutPrefix(command, "make "); ok {
					target, _, _ = strings.Cut(target, " ")
					if !strings.Contains(string(makefile), "\n"+target+":") {
						t.Errorf("%s: the Makefile has no target %s", page, target)
					}
					continue
				}
				if got := console(t, dir, command); !pattern(want).MatchString(strings.TrimSpace(got)) {
					t.Errorf("%s says that %s prints\n%s\nbut it prints\n%s", page, command, want, got)
				}
			}
		}
	}
	if ran < 20 {
		t.Errorf("only %d commands were found", ran)
	}
}

func console(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	return shown(t, cmd)
}

// shown returns what a command prints and how it ends, as the pages show it.
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

// pattern matches a text in which … stands for anything within a line.
func pattern(text string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(text)), "…", ".*") + "$")
}

// README stays one screen and a half.
func TestReadmeSize(t *testing.T) {
	if n := len(pages(t)["README.md"]); n > 6144 {
		t.Errorf("README.md has %d bytes, and may have 6144: what goes into detail goes into docs/", n)
	}
}

var (
	links    = regexp.MustCompile(`\]\(([^)#: ]*)(?:#([^) ]*))?\)`)
	headings = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fences   = regexp.MustCompile("(?s)```.*?```")
	unspoken = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// What a page links to in the repository is there, the heading too; and every page
// below docs/ can be reached from its index, those that are written by hand by one
// link.
func TestLinks(t *testing.T) {
	all := pages(t)
	to := map[string][]string{}
	n := 0
	for page, text := range all {
		for _, m := range links.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
			n++
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			to[page] = append(to[page], target)
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
			if m[2] != "" && !slices.Contains(anchors(all[target]), m[2]) {
				t.Errorf("%s links to %s#%s, and there is no such heading", page, m[1], m[2])
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d links were found", n)
	}
	const index = "docs/README.md"
	reached := map[string]bool{index: true}
	for next := []string{index}; len(next) > 0; next = next[1:] {
		for _, page := range to[next[0]] {
			if !reached[page] {
				reached[page] = true
				next = append(next, page)
			}
		}
	}
	for page := range all {
		if !reached[page] {
			t.Errorf("%s cannot be reached from %s", page, index)
		}
		if written := !strings.HasPrefix(page, "docs/reference/"); written && page != index && !slices.Contains(to[index], page) {
			t.Errorf("%s has no line in %s", page, index)
		}
	}
}

// anchors returns what the headings of a page are linked to by.
func anchors(page string) (all []string) {
	for _, m := range headings.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		all = append(all, strings.ReplaceAll(unspoken.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

var (
	flagNames      = regexp.MustCompile("--[a-z][a-z-]*[a-z]")
	flagsOfCommand = regexp.MustCompile(`\b([a-z]+) (--[a-z][a-z-]*[a-z])`)
	// Flags of the programs that the pages show beside ours.
	otherFlags = strings.Fields(`--build-arg --client-request-token --decrypt --from --install --move-to-version-id --remove-from-version-id
		--secret-id --secret-string --service-account --set --target --token --user --version-stage --version-stages`)
)

// A flag that a page names is one that a command has, and right behind the name of
// a command it is one of that command.
func TestFlagsOfPages(t *testing.T) {
	all, known := pages(t), map[string]bool{}
	for _, name := range otherFlags {
		known[name] = true
	}
	for page, text := range all {
		for _, name := range flagNames.FindAllString(text, -1) {
			known[name] = known[name] || strings.HasPrefix(page, "docs/reference/")
		}
	}
	of := 0
	for page, text := range all {
		for _, name := range flagNames.FindAllString(text, -1) {
			if !known[name] {
				t.Errorf("%s names %s, which no command has", page, name)
			}
		}
		for _, m := range flagsOfCommand.FindAllStringSubmatch(text, -1) {
			reference, ok := all["docs/reference/bifrost-secrets-"+m[1]+".md"]
			if of++; ok && !strings.Contains(reference, m[2]) {
				t.Errorf("%s says %s %s, a flag that this command does not have", page, m[1], m[2])
			}
		}
	}
	if of < 10 {
		t.Errorf("only %d flags were found behind a command", of)
	}
}

// backendBlocks are the JSON blocks of a page.
var backendBlocks = regexp.MustCompile("(?s)```json[^\n]*\n(.*?)```")

// Every backend has a page with a vault_store block to paste, in which lint finds
// nothing wrong, and the page and the table of all name each of its settings.
func TestBackendPages(t *testing.T) {
	all := pages(t)
	for _, b := range backends {
		page := "docs/backends/" + b.Type + ".md"
		if b.Type == "postgres" {
			page = "docs/postgres.md"
		}
		n := 0
		for _, m := range backendBlocks.FindAllStringSubmatch(all[page], -1) {
			text := strings.TrimSpace(m[1])
			if !strings.Contains(text, `"type": "`+b.Type+`"`) {
				continue
			}
			n++
			if !strings.HasPrefix(text, "{") { // a member
				text = "{" + text + "}"
			}
			if !strings.Contains(text, `"vault_store"`) {
				text = `{"vault_store": ` + text + `}`
			}
			if !strings.Contains(text, `"config_store"`) {
				text = `{"config_store": ` + text + `}`
			}
			doc, err := walker.Parse(page, []byte(text))
			if err != nil {
				t.Fatalf("%s: %v", page, err)
			}
			for _, f := range lint.Check(doc, lint.Options{Backends: lintcmd.Backends}) {
				if f.Severity != lint.Note {
					t.Errorf("%s: lint says of %s: %s", page, text, f.Message)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s has no block with the type %s", page, b.Type)
		}
		for _, key := range b.Keys {
			for _, page := range []string{page, "docs/backends/README.md"} {
				if !strings.Contains(all[page], "`"+key+"`") {
					t.Errorf("%s does not name the setting %s of %s", page, key, b.Type)
				}
			}
		}
	}
}
