package lintcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// outcome is what came of one call of the command.
type outcome struct {
	out, err string
	failure  error
}

func (o *outcome) code() int {
	var f *Failure
	switch {
	case o.failure == nil:
		return 0
	case errors.As(o.failure, &f):
		return f.Code
	}
	return -1
}

func call(p Program, ctx context.Context, args ...string) outcome {
	var out, err bytes.Buffer
	if p.Stdout == nil {
		p.Stdout = &out
	}
	p.Stderr = &err
	p.Getenv = func(string) (string, bool) { return "", false }
	cmd := New(p)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	failure := cmd.ExecuteContext(ctx)
	return outcome{out.String(), err.String(), failure}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// The report is the same however many workers there are, and in the order of the
// files' names.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		// The first are the largest, so they end last.
		keys := strings.Repeat(`{"name": "a", "value": "hunter2hunter2"},`, max(1, 100-i))
		write(t, filepath.Join(dir, fmt.Sprintf("%03d.json", i)), `{"providers": {"a": {"keys": [`+keys+`{}]}}}`)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one := call(Program{}, t.Context(), dir)
	runtime.GOMAXPROCS(16)
	for range 5 {
		many := call(Program{}, t.Context(), dir)
		if many.out != one.out || many.err != one.err {
			t.Fatal("the report depends on the number of workers")
		}
	}
	last := ""
	for _, line := range strings.Split(one.out, "\n") {
		if name, _, ok := strings.Cut(line, ".json:"); ok {
			if name < last {
				t.Fatalf("%s after %s", name, last)
			}
			last = name
		}
	}
	if one.code() != exitFindings || !strings.HasSuffix(one.err, "in 200 files\n") {
		t.Errorf("code %d: %s", one.code(), one.err)
	}
	// What the workers share.
	known := filepath.Join(t.TempDir(), "lint.baseline")
	if got := call(Program{}, t.Context(), "--write-baseline", known, dir); got.failure != nil {
		t.Fatal(got.failure)
	}
	if got := call(Program{}, t.Context(), "--baseline", known, dir); got.failure != nil || !strings.Contains(got.err, "no findings in 200 files; ") {
		t.Errorf("with its baseline: %v %s", got.failure, got.err)
	}
}

func TestOnline(t *testing.T) {
	dir := t.TempDir()
	a := write(t, filepath.Join(dir, "a.json"), `{"encryption_key": "env.K"}`)
	b := write(t, filepath.Join(dir, "b.json"), `{"encryption_key": "env.K"}`)
	if got := call(Program{}, t.Context(), "--online", a); got.failure == nil || !strings.Contains(got.failure.Error(), "unknown flag") {
		t.Errorf("a flag that cannot do anything: %v", got.failure)
	}
	down := errors.New("the backend cannot be reached")
	var asked atomic.Int32
	p := Program{
		Online: func(_ context.Context, doc *walker.Document, _ bool) ([]lint.Finding, error) {
			asked.Add(1)
			if doc.Name == b {
				return nil, down
			}
			return []lint.Finding{{Rule: "online", Severity: lint.Error, Message: "no such secret", Span: walker.Span{Start: 1, End: 17}}}, nil
		},
	}
	if got := call(p, t.Context(), "--fail-on", "note", a, b); got.failure != nil || asked.Load() != 0 {
		t.Errorf("asked without --online: %v", got.failure)
	}
	if got := call(p, t.Context(), "--online", a); got.code() != exitFindings || !strings.Contains(got.out, "1:2: error: no such secret [online]") {
		t.Errorf("code %d: %s", got.code(), got.out)
	}
	got := call(p, t.Context(), "--online", "--format", "sarif", a, b)
	if !errors.Is(got.failure, down) {
		t.Errorf("got %v, want %v", got.failure, down)
	}
	if !strings.Contains(got.out, `"ruleIndex":`) || !strings.Contains(got.out, `"executionSuccessful": false`) {
		t.Errorf("got %s", got.out)
	}
	if got := call(p, t.Context(), "--list-rules"); !strings.Contains(got.out, "\nonline ") {
		t.Errorf("got %s", got.out)
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestOutputFails(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), "c.json"), `{"encryption_key": "hunter2hunter2"}`)
	for _, args := range [][]string{{name}, {"--json", name}, {"--list-rules"}, {"--format", "sarif", name}} {
		if got := call(Program{Stdout: full{}}, t.Context(), args...); got.code() != exitUsage || !strings.Contains(got.failure.Error(), errFull.Error()) {
			t.Errorf("%v: code %d, %v", args, got.code(), got.failure)
		}
	}
}

// An interrupt ends a wait for the standard input, too.
func TestInterrupted(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome)
	go func() { done <- call(Program{Stdin: r}, ctx, "-") }()
	if _, err := w.Write([]byte("{")); err != nil { // it reads
		t.Fatal(err)
	}
	cancel()
	if got := <-done; got.code() != exitUsage || got.failure.Error() != "interrupted" {
		t.Errorf("code %d, %v", got.code(), got.failure)
	}
	dir := t.TempDir()
	text := `{"encryption_key": "ENV.K"}`
	name := write(t, filepath.Join(dir, "c.json"), text)
	if got := call(Program{}, ctx, "--fix", name); got.code() != exitUsage {
		t.Errorf("code %d, %v", got.code(), got.failure)
	}
	if now, err := os.ReadFile(name); err != nil || string(now) != text {
		t.Errorf("%v: written after the interrupt: %s", err, now)
	}
}

// A folder or a file that may not be read is reported, and the others are
// looked at.
func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("run by root, who may read all")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.json"), `{"encryption_key": "hunter2hunter2"}`)
	write(t, filepath.Join(dir, "b", "b.json"), `{"encryption_key": "hunter2hunter2"}`)
	name := write(t, filepath.Join(dir, "c.json"), `{"encryption_key": "hunter2hunter2"}`)
	if err := os.Chmod(filepath.Join(dir, "b"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "b"), 0o700) })
	got := call(Program{}, t.Context(), dir)
	want, summary := exitUsage, "1 warning in 1 file; 2 files could not be checked"
	if os.Geteuid() == 0 {
		want, summary = exitFindings, "3 warnings in 3 files"
	}
	if got.code() != want || !strings.Contains(got.err, summary) {
		t.Errorf("code %d, want %d: %s", got.code(), want, got.err)
	}
}
