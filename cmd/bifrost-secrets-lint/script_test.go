package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes a program of the test binary, which the scripts run.
func TestMain(m *testing.M) {
	// With the race detector a program would sleep a second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"bifrost-secrets-lint": main})
}

// TestScript runs the scripts of testdata/script. With UPDATE_SCRIPTS set, what
// `cmp` compares is written into them, to be reviewed.
func TestScript(t *testing.T) {
	goEnv, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(goEnv))
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOCACHE", caches[0])
			env.Setenv("GOMODCACHE", caches[1])
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": doExits, "raw": doRaw, "mode": doMode, "checkout": doCheckout,
		},
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
		RequireUniqueNames: true,
	})
}

// doExits runs a program and checks the code that it ends with:
//
//	exits 2 bifrost-secrets-lint --nope
//
// No secret may be in what it says; each has the word CANARY in it.
func doExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [argument...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), "CANARY") {
			ts.Fatalf("a secret in %s", stream)
		}
	}
}

// doRaw writes a text with Go's escapes into a file:
//
//	raw file '\ufeff{}'
func doRaw(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: raw file text")
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\"`) + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// doMode checks the mode of a file:
//
//	mode 640 file
func doMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode mode file")
	}
	info, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// doCheckout copies this repository as it stands, without what is built or
// hidden but for what pre-commit looks for:
//
//	checkout folder
func doCheckout(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: checkout folder")
	}
	root, err := filepath.Abs("../..")
	ts.Check(err)
	to := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		switch base := entry.Name(); {
		case entry.IsDir() && rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || rel == "bin" || rel == "demo"):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasPrefix(base, ".") && base != ".pre-commit-hooks.yaml":
			return nil // in a worktree, .git is a file: with it, git would write to this very repository
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !entry.Type().IsRegular() || strings.HasSuffix(base, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, info.Mode().Perm())
	}))
}
