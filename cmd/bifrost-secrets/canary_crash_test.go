package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/file"
)

// crashing is bifrost-secrets with a source that panics, in the way that $CRASH
// names, when it has the values in its hands.
func crashing() {
	backends = []sources.Backend{{
		Facts: sources.File,
		Open: func(ctx context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
			s, err := file.Open(ctx, set, opts)
			return crasher{s}, err
		},
	}}
	main()
}

type crasher struct{ sources.Source }

func (c crasher) Fetch(ctx context.Context, names []string) map[string]sources.Result {
	results := c.Source.Fetch(ctx, names)
	one := results[names[0]]
	switch os.Getenv("CRASH") {
	case "value":
		panic(one.Value)
	case "pointer":
		panic(&one.Value)
	case "results":
		panic(results)
	case "text":
		panic(fmt.Sprintf("%v %+v %#v %s %q %x %d", results, results, results, one, one, one.Value, one.Value))
	case "error":
		panic(fmt.Errorf("%v: %w", one, errors.New("x")))
	}
	return map[string]sources.Result{names[len(names)]: one} // out of range: a panic of the runtime's own
}

// TestCanaryPanic looks for secrets in what a panic prints.
func TestCanaryPanic(t *testing.T) {
	starts(t)
	a := canary("a")
	for _, way := range []string{"value", "pointer", "results", "text", "error", "fault"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			secrets := filepath.Join(dir, "secrets")
			if err := errors.Join(
				os.Mkdir(secrets, 0o700),
				os.WriteFile(filepath.Join(secrets, "a"), []byte(a), 0o600),
				os.WriteFile(filepath.Join(dir, "config.json"), []byte(keysFor(fileStore, "vault.a")), 0o600),
			); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("bifrost-secrets-crashing", "render", "--config", "config.json", "--out", "out.json", "--verbose")
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOTRACEBACK=all", "GORACE=" + os.Getenv("GORACE"), "CRASH=" + way}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "panic: ") {
				t.Errorf("it did not panic: %v\n%s", err, out)
			}
			if found := marked(a).in(out); found != "" {
				t.Errorf("the panic prints the secret, as %q:\n%s", found, out)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 {
				t.Errorf("the panic left %v: %v", entries, err)
			}
		})
	}
}

// TestCanaryQuit looks for secrets in the dump of all stacks that SIGQUIT asks
// for, and checks that other processes of the same user cannot look into this
// one, which is also what keeps it from leaving a core file.
func TestCanaryQuit(t *testing.T) {
	starts(t)
	a, held := canary("a"), canary("held")
	f := awstest.StartFake(t)
	f.Put("a", a)
	f.Put("held", held)
	f.Hold("held", t.Context().Done())
	f.Set(awstest.Faults{DenyBatch: true}) // so that one comes before the other
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(keysFor(awsStore(""), "vault.a", "vault.held")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unprivileged", "bifrost-secrets", "render", "--config", "config.json", "--out", "out.json", "--verbose")
	cmd.Dir = dir
	cmd.Env = slices.Concat([]string{"PATH=" + os.Getenv("PATH"), "WORK=" + dir, "GOTRACEBACK=system", "GORACE=" + os.Getenv("GORACE")}, awsEnv(f.URL))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	lines := bufio.NewReader(stderr)
	said := ""
	for !strings.Contains(said, "action=GetSecretValue") { // the first secret is there
		line, err := lines.ReadString('\n')
		if said += line; err != nil {
			t.Fatalf("%v:\n%s", err, said)
		}
	}
	if runtime.GOOS == "linux" {
		info, err := os.Stat(fmt.Sprintf("/proc/%d/mem", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		// What may be dumped belongs to its user, what may not to root.
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			t.Errorf("the memory belongs to uid %d", uid)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	said += string(rest)
	if !strings.Contains(said, "SIGQUIT") || !strings.Contains(said, "goroutine ") {
		t.Errorf("there is no dump:\n%s", said)
	}
	if found := marked(a, held, canaryID, canaryKey, canaryToken).in([]byte(said)); found != "" {
		t.Errorf("the dump has a secret, as %q:\n%s", found, said)
	}
}
