package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

const licencesName = "licences.txt"

// describe writes what a release says of itself: the bill of materials (CycloneDX,
// made from the program by cyclonedx-gomod), the licences of all that is linked,
// and the completions.
func (r *release) describe(ctx context.Context, work string) error {
	program := filepath.Join(r.built[platform{"linux", "amd64"}], "bifrost-secrets")
	materials := filepath.Join(r.out, "bifrost-secrets_"+r.number()+".cdx.json")
	cmd := exec.CommandContext(ctx, "go", "tool", "cyclonedx-gomod", "bin", "-json", "-noserial", "-notimestamp", "-licenses", "-assert-licenses", "-version", r.version, "-output", materials, program)
	cmd.Dir = filepath.Join(r.root, "deploy", "dist")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cyclonedx-gomod: %w\n%s", err, out)
	}
	if err := r.licences(ctx, materials, filepath.Join(work, licencesName)); err != nil {
		return err
	}

	completions := filepath.Join(work, "completions")
	if err := os.MkdirAll(completions, 0o755); err != nil {
		return err
	}
	// Made by a program that runs here: that of this platform, or go run's.
	run := []string{"go", "run", "./cmd/bifrost-secrets"}
	if to, ok := r.built[platform{runtime.GOOS, runtime.GOARCH}]; ok {
		run = []string{filepath.Join(to, platform{runtime.GOOS, runtime.GOARCH}.file("bifrost-secrets"))}
	}
	for shell, name := range map[string]string{"bash": "bifrost-secrets.bash", "zsh": "_bifrost-secrets", "fish": "bifrost-secrets.fish", "powershell": "bifrost-secrets.ps1"} {
		text, err := r.ask(ctx, run[0], append(run[1:], "completion", shell)...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(completions, name), []byte(text+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// licenceFile is the name of a file whose text has to go with a program.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)(\.(txt|md|code|docs))?$`)

// licences writes the licence of each module that the bill of materials names, in
// its own words. Go's own, which is linked too, comes first.
func (r *release) licences(ctx context.Context, materials, to string) error {
	var bill struct {
		Components []struct {
			Name, Version string
			Licenses      []struct {
				License struct{ ID, Name string }
			}
		}
	}
	text, err := os.ReadFile(materials)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		return err
	}
	goroot, err := r.ask(ctx, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	var list, texts strings.Builder
	fmt.Fprintf(&list, "What is linked into bifrost-secrets %s, each under its own licence, whose text follows.\n\n", r.version)
	add := func(name, kind, dir string) error {
		fmt.Fprintf(&list, "%s: %s\n", name, kind)
		found := 0
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if !licenceFile.MatchString(e.Name()) || e.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			fmt.Fprintf(&texts, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("=", 80), name, e.Name(), strings.TrimSpace(string(text)))
			found++
		}
		if found == 0 {
			return fmt.Errorf("%s has no licence in %s", name, dir)
		}
		return nil
	}
	if err := add("Go "+strings.TrimPrefix(runtime.Version(), "go"), "BSD-3-Clause", goroot); err != nil {
		return err
	}
	for _, c := range bill.Components {
		kind := "see its text"
		if len(c.Licenses) > 0 {
			kind = c.Licenses[0].License.ID + c.Licenses[0].License.Name
		}
		dir, err := r.ask(ctx, "go", "list", "-m", "-f", "{{.Dir}}", c.Name)
		if err != nil {
			return err
		}
		if dir == "" {
			return fmt.Errorf("%s %s is not in the module cache: run `go mod download`", c.Name, c.Version)
		}
		if err := add(c.Name+" "+c.Version, kind, dir); err != nil {
			return err
		}
	}
	return os.WriteFile(to, []byte(list.String()+texts.String()), 0o644)
}
