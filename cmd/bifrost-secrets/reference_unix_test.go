//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/cmd/internal/help"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// allCommands returns every command of the program that is shown.
func allCommands(t *testing.T) (all []*cobra.Command) {
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				add(sub)
			}
		}
	}
	p := &program{ctx: t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, screen: newScreen(io.Discard, nil)}
	add(p.root(nil))
	return all
}

func TestHelp(t *testing.T) {
	for _, cmd := range allCommands(t) {
		for _, g := range help.Groups(cmd) {
			if g.Title == "" {
				t.Errorf("%s: flags without a group:\n%s", cmd.CommandPath(), g.Flags.FlagUsages())
			}
		}
		var out bytes.Buffer
		cmd.Root().SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := len(strings.TrimSuffix(line, "\n")); n > help.Width {
				t.Errorf("%s --help: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(out.String(), "--"+f.Name) {
				t.Errorf("%s --help does not show --%s", cmd.CommandPath(), f.Name)
			}
		})
	}
}

// The help of the program begins with its three jobs, as command lines that it takes.
func TestJobs(t *testing.T) {
	var jobs []string
	for line := range strings.Lines(strings.ReplaceAll(wholeProgram().Example, "\\\n", "")) {
		if args := strings.Fields(line); args[0] == "bifrost-secrets" {
			cmd, _ := accepted(t, args[1:])
			jobs = append(jobs, cmd.Name())
		}
	}
	if !slices.Equal(jobs, []string{"exec", "watch", "lint"}) {
		t.Errorf("the jobs are %q", jobs)
	}
	var out bytes.Buffer
	run([]string{"--help"}, nil, &out, io.Discard, nil)
	if long, rest, _ := strings.Cut(out.String(), "\n\n"); long == "" || !strings.HasPrefix(rest, "  # as Bifrost's entrypoint") {
		t.Errorf("help begins otherwise:\n%s", out.String())
	}
}

// TestReference holds the pages of docs/reference and docs/man to the commands.
func TestReference(t *testing.T) {
	want := map[string][]byte{}
	for _, cmd := range allCommands(t) {
		if cmd.Name() == "help" {
			continue
		}
		cmd.DisableAutoGenTag = true
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		want[filepath.Join("reference", name+".md")] = referencePage(t, cmd)
		var man bytes.Buffer
		if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Date: &time.Time{}, Source: "bifrost-secrets", Manual: "bifrost-secrets"}, &man); err != nil {
			t.Fatal(err)
		}
		made := strings.Replace(man.String(), "\n.SH SEE ALSO", "\n.SH ENVIRONMENT\n.EX\n"+strings.ReplaceAll(help.Variables(cmd), "-", `\-`)+".EE\n\n\n.SH SEE ALSO", 1)
		// A page that is made again says the same.
		want[filepath.Join("man", name+".1")] = []byte(strings.Replace(made, `"Jan 0001"`, `""`, 1))
	}
	for _, folder := range []string{"reference", "man"} {
		folder = filepath.Join("..", "..", "docs", folder)
		if *update {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		there, err := os.ReadDir(folder)
		if err != nil {
			t.Fatalf("%v (make docs writes it)", err)
		}
		for _, file := range there {
			if path := filepath.Join(filepath.Base(folder), file.Name()); want[path] == nil {
				t.Errorf("docs/%s is of no command (make docs)", path)
			}
		}
	}
	for path, page := range want {
		file := filepath.Join("..", "..", "docs", path)
		if *update {
			if err := os.WriteFile(file, page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, page) {
			t.Errorf("docs/%s is not what the command says: run make docs (%v)", path, err)
		}
	}
}

// referencePage is cobra's, with the flags in the groups of --help.
func referencePage(t *testing.T, cmd *cobra.Command) []byte {
	var made bytes.Buffer
	if err := doc.GenMarkdownCustom(cmd, &made, func(link string) string { return strings.ReplaceAll(link, "_", "-") }); err != nil {
		t.Fatal(err)
	}
	page, rest, _ := strings.Cut(made.String(), "### Options\n")
	_, others, _ := strings.Cut(rest, "### SEE ALSO\n\n")
	for _, g := range help.Groups(cmd) {
		page += fmt.Sprintf("### %s\n\n```\n%s```\n\n", g.Title, g.Flags.FlagUsagesWrapped(help.Width))
	}
	page += "### Variables\n\n```\n" + help.Variables(cmd) + "```\n\n"
	return []byte(page + "### See also\n\n" + strings.TrimSpace(strings.ReplaceAll(others, "\t - ", ": ")) + "\n")
}
