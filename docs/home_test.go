package docs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// copied puts a copy of the repository into a temporary directory, without what
// is hidden or was built, and returns its path.
func copied(t *testing.T) string {
	to := t.TempDir()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel("..", path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "bin" || name == "demo" || name == "dist" || name != "." && name[0] == '.' && name != ".github"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// ran runs a command in a directory, and returns what it prints.
func ran(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// `make home` writes the address of the repository everywhere, also where another
// was written before, and what it writes builds.
func TestHome(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the linter")
	}
	dir := copied(t)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	module := strings.TrimSpace(ran(t, dir, "go", "list", "-m"))
	for _, home := range []struct{ module, image, images string }{
		{"git.example.org/Acme/bifrost-secrets", "git.example.org/acme/bifrost-secrets", ""},
		{"git.example.net/x/secrets", "images.example.net:5000/x/secrets", "IMAGE=images.example.net:5000/x/secrets"},
	} {
		args := []string{"home", "PATH=" + home.module}
		if home.images != "" {
			args = append(args, home.images)
		}
		ran(t, dir, "make", args...)
		if got := strings.TrimSpace(ran(t, dir, "go", "list", "-m")); got != home.module {
			t.Errorf("the module is %s, want %s", got, home.module)
		}
		for name, want := range map[string][]string{
			"README.md":                      {"repo: https://" + home.module + "\n", "image: " + home.image + ":"},
			"docs/lint.md":                   {"repo: https://" + home.module + "\n"},
			"deploy/kubernetes/sidecar.yaml": {"image: " + home.image + ":"},
			"Makefile":                       {"IMAGE ?= " + home.image + "\n", "https://" + home.module + "/blob/", "-X " + home.module + "/walker/lint/report.docs"},
		} {
			for _, want := range want {
				if !strings.Contains(read(name), want) {
					t.Errorf("%s does not hold %q", name, want)
				}
			}
		}
		for name := range strings.Lines(ran(t, dir, "go", "list", "-deps", "-test", "-f", "{{if .Error}}{{.ImportPath}}: {{.Error}}{{end}}", "./...")) {
			t.Error(name)
		}
		if left := ran(t, dir, "sh", "-c", `grep -rlF '"`+module+`/' --include='*.go' . | xargs -r grep -nE '^(import )?[[:space:]]*([A-Za-z_.]+ )?"`+module+`/[a-z/-]*"$' || true`); left != "" {
			t.Errorf("still there:\n%s", left)
		}
		if unformatted := ran(t, dir, "gofmt", "-l", "."); unformatted != "" {
			t.Errorf("not as gofmt has them:\n%s", unformatted)
		}
		module = home.module
	}
	// As the program is built, so that nothing is compiled that was before: no path
	// of the copy is in it.
	ran(t, dir, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-buildvcs=false", "-o", os.DevNull, "./cmd/bifrost-secrets-lint")

	for _, wrong := range []string{"", "nohost/x", "git.example.org", "git.example.org/x/", "git.example.org/a b"} {
		cmd := exec.Command("make", "home", "PATH="+wrong)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "hint: write a host and a path") {
			t.Errorf("PATH=%q: %v\n%s", wrong, err, out)
		}
	}
	if got := strings.TrimSpace(ran(t, dir, "go", "list", "-m")); got != module {
		t.Errorf("a refused address became the module %s", got)
	}
}

// The documentation says which version it is for: the newest of the changelog.
func TestVersion(t *testing.T) {
	t.Parallel()
	changes, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	newest := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\]`).FindSubmatch(changes)
	if newest == nil {
		t.Fatal("CHANGELOG.md has no version")
	}
	if want := "For version " + string(newest[1]) + " "; !strings.Contains(string(index), want) {
		t.Errorf("docs/README.md does not hold %q", want)
	}
}
