package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// What a package makes when the program starts, every command waits for: at most
// so much of it, counted in what does not depend on the machine.
func TestStart(t *testing.T) {
	const most, times = 48 << 10, 150 // bytes, and how often some were asked for
	cmd := exec.Command("bifrost-secrets", "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, trace.String())
	}
	seen := 0
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("the test does not know its module")
	}
	for _, m := range regexp.MustCompile(`(?m)^init (main|`+regexp.QuoteMeta(info.Main.Path)+`/\S+) .*, (\d+) bytes, (\d+) allocs$`).FindAllStringSubmatch(trace.String(), -1) {
		if name := m[1]; strings.HasSuffix(name, "test") || strings.HasSuffix(name, "/cmd/bifrost-secrets") { // the test binary, with what tests have
			continue
		}
		seen++
		bytes, _ := strconv.Atoi(m[2])
		allocs, _ := strconv.Atoi(m[3])
		if bytes > most || allocs > times {
			t.Errorf("%s makes %d bytes in %d pieces at the start, want at most %d and %d", m[1], bytes, allocs, most, times)
		}
	}
	if seen < 5 {
		t.Errorf("only %d packages were seen:\n%s", seen, trace.String())
	}
}

// What a small config needs is made in less memory than Go's first collection of
// garbage waits for, which would take longer than the rest. Each processor that some of
// it runs on sets memory aside: how many there are is the machine's affair.
func TestSmallRenderCollectsNothing(t *testing.T) {
	if !built {
		t.Skip("the program is the test binary")
	}
	cmd := exec.Command("bifrost-secrets", "render", "--quiet", "--config", "../../testdata/demo/config.json", "--out", filepath.Join(t.TempDir(), "out.json"))
	cmd.Env = append(os.Environ(), "GODEBUG=gctrace=1", "GOGC=100", "GOMAXPROCS=2")
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("gc 1 @")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A regular expression or a template is made when it is first needed.
func TestStartCompilesNothing(t *testing.T) {
	early := regexp.MustCompile(`(?m)^(?:var |\t)\w+ += (?:regexp\.MustCompile|template\.(?:Must|New))\(.*`)
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir():
			if name == "testdata" || path == "../../deploy" || // tools of their own
				strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "..") || strings.HasSuffix(name, "test") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for _, line := range early.FindAll(text, -1) {
			t.Errorf("%s compiles at the start: %s", path, bytes.TrimSpace(line))
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files were read: %v", files, err)
	}
}

// What runs templates finds methods by their names, so that the linker keeps each
// one of every type: four megabytes. With -short the program is the test
// binary, which has what tests have.
func TestRunsNoTemplates(t *testing.T) {
	if !built {
		t.Skip("the program is the test binary")
	}
	path, err := exec.LookPath("bifrost-secrets")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(program, []byte("main.main")) {
		t.Fatalf("%d bytes without the names of functions: %v", len(program), err)
	}
	if name := "text/template.(*state).evalField"; bytes.Contains(program, []byte(name)) {
		t.Errorf("%s is linked", name)
	}
}

// The program makes the command that its arguments begin with, and else all.
func TestCommandsByName(t *testing.T) {
	p := &program{}
	all := p.root(nil).Commands()
	for i, c := range p.commands(nil) {
		if cmd := p.root([]string{c.name}).Commands(); len(cmd) != 2 || cmd[0].Name() != c.name && cmd[1].Name() != c.name { // and help
			t.Errorf("%d: %s makes %v", i, c.name, cmd)
		}
	}
	if n := len(p.commands(nil)) + 1; len(all) != n {
		t.Errorf("%d commands, want %d", len(all), n)
	}
	if n := len(p.commands([]string{"-q", "render"})); n+1 != len(all) {
		t.Errorf("%d commands after a flag, want all", n)
	}
}
