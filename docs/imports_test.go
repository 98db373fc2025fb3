package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// room is a row of the table of folders in CONTRIBUTING.md.
type room struct {
	folder string
	may    []string // the folders whose packages its own may import
	all    bool     // all but cmd
}

// A row for each folder below sources/ that has none of its own.
const backends = "sources/<backend>"

// rooms reads the table. What stands there is the rule: there is no second list.
func rooms(t *testing.T, table string) (all []room) {
	quoted := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		folder := quoted.FindStringSubmatch(cells[0])
		if len(cells) != 3 || folder == nil {
			continue
		}
		r := room{folder: strings.TrimSuffix(folder[1], "/")}
		switch may := strings.TrimSpace(cells[2]); may {
		case "":
			continue // it has no Go
		case "nothing":
		case "everything":
			r.all, r.may = true, []string{"cmd/internal/lintcmd", "cmd/internal/help", "cmd/internal/variables"}
		case "everything but `cmd`":
			r.all = true
		default:
			for _, name := range quoted.FindAllStringSubmatch(may, -1) {
				r.may = append(r.may, name[1])
			}
			if r.may == nil {
				t.Fatalf("the column of %s is not understood: %q", r.folder, may)
			}
		}
		all = append(all, r)
	}
	return all
}

// roomOf returns the row of a package: its own, or that of the nearest folder
// above it.
func roomOf(all []room, pkg string) *room {
	for folder := pkg; folder != "."; folder = path.Dir(folder) {
		if i := slices.IndexFunc(all, func(r room) bool { return r.folder == folder }); i >= 0 {
			return &all[i]
		}
		if path.Dir(folder) == "sources" && folder != "sources/internal" {
			return roomOf(all, backends)
		}
	}
	return nil
}

// against returns what the imports of each package have against the table.
func against(all []room, imports map[string][]string) (problems []string) {
	for pkg, imported := range imports {
		from := roomOf(all, pkg)
		if from == nil {
			problems = append(problems, fmt.Sprintf("%s has no row in the table of CONTRIBUTING.md", pkg))
			continue
		}
		for _, name := range imported {
			to := roomOf(all, name)
			switch {
			case to == from && (from.folder != backends || sameBackend(pkg, name)),
				from.all && !strings.HasPrefix(name, "cmd/"),
				to != nil && slices.Contains(from.may, to.folder):
			default:
				problems = append(problems, fmt.Sprintf("%s imports %s, which its row in CONTRIBUTING.md does not allow", pkg, name))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// sameBackend reports whether two packages are of one backend.
func sameBackend(a, b string) bool {
	return slices.Equal(strings.SplitN(a, "/", 3)[:2], strings.SplitN(b, "/", 3)[:2])
}

// importsOf returns what each package of ours imports of ours, for every system.
// Those that are made for tests are left out.
func importsOf(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for _, system := range []string{"linux", "windows"} {
		cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Module", "./...")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "GOOS="+system)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		packages := json.NewDecoder(strings.NewReader(string(out)))
		for {
			var p struct {
				ImportPath string
				Imports    []string
				Module     struct{ Path string }
			}
			if err := packages.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			module := p.Module.Path + "/"
			name := strings.TrimPrefix(p.ImportPath, module)
			if strings.HasSuffix(name, "test") {
				continue
			}
			for _, imported := range p.Imports {
				if imported, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(all[name], imported) {
					all[name] = append(all[name], imported)
				}
			}
			if all[name] == nil {
				all[name] = []string{}
			}
		}
	}
	return all
}

// Data goes one way: which folder may import which is a column of the table in
// CONTRIBUTING.md.
func TestImports(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	all := rooms(t, string(text))
	imports := importsOf(t)
	if len(all) < 20 || len(imports) < 25 {
		t.Fatalf("there are %d rows and %d packages: the table or the packages were not found", len(all), len(imports))
	}
	for _, problem := range against(all, imports) {
		t.Error(problem)
	}
	for _, r := range all {
		if _, err := os.Stat("../" + r.folder); err != nil && r.folder != backends {
			t.Errorf("%s has a row in CONTRIBUTING.md, and is not there", r.folder)
		}
	}

	// No row leads back to itself.
	var leads func(from string, through []string)
	leads = func(from string, through []string) {
		if slices.Contains(through, from) {
			t.Fatalf("CONTRIBUTING.md has a circle: %s", strings.Join(append(through, from), " -> "))
		}
		if i := slices.IndexFunc(all, func(r room) bool { return r.folder == from }); i >= 0 {
			for _, to := range all[i].may {
				leads(to, append(slices.Clip(through), from))
			}
		}
	}
	for _, r := range all {
		leads(r.folder, nil)
	}
}

// The test above would find what it is there for.
func TestImportsFindsThem(t *testing.T) {
	t.Parallel()
	all := []room{
		{folder: "walker"}, {folder: "sources"}, {folder: backends, may: []string{"sources"}},
		{folder: "render", may: []string{"walker", "sources"}}, {folder: "watch/service", all: true},
	}
	for _, test := range []struct{ from, to, want string }{
		{"render", "walker", ""},
		{"render/inner", "render", ""},
		{"sources/aws", "sources", ""},
		{"sources/aws", "sources/aws/inner", ""},
		{"watch/service", "walker", ""},
		{"watch/service", "cmd/x", "watch/service imports cmd/x, which its row in CONTRIBUTING.md does not allow"},
		{"walker", "sources", "walker imports sources, which its row in CONTRIBUTING.md does not allow"},
		{"sources", "sources/aws", "sources imports sources/aws, which its row in CONTRIBUTING.md does not allow"},
		{"sources/aws", "sources/gcp", "sources/aws imports sources/gcp, which its row in CONTRIBUTING.md does not allow"},
		{"extra", "walker", "extra has no row in the table of CONTRIBUTING.md"},
	} {
		if got := strings.Join(against(all, map[string][]string{test.from: {test.to}}), "; "); got != test.want {
			t.Errorf("%s imports %s: got %q, want %q", test.from, test.to, got, test.want)
		}
	}
}

// What few lines of ours could do is not linked: these are many packages, and all
// their advisories.
func TestLinked(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-deps", "./cmd/bifrost-secrets")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "cloud.google.com/go/auth/credentials\n") {
		t.Fatalf("%v: %d bytes of packages", err, len(out))
	}
	for name := range strings.Lines(string(out)) {
		if strings.HasPrefix(name, "google.golang.org/grpc") || strings.HasPrefix(name, "go.opentelemetry.io/") || strings.HasPrefix(name, "google.golang.org/api/") {
			t.Errorf("%s is linked", strings.TrimSpace(name))
		}
	}
}
