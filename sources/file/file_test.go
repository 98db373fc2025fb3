package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bifrost-secrets/sources"
)

// canary is in every value; no message may show it.
const canary = "CANARY"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened is a source with the warnings it gave.
type opened struct {
	sources.Source
	warnings []string
}

func openAt(t *testing.T, path string, identity ...string) *opened {
	t.Helper()
	settings := map[string]string{"path": path}
	if len(identity) > 0 {
		settings["identity"] = identity[0]
	}
	o, err := openWith(settings, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, warning := range o.warnings {
			if strings.Contains(warning, canary) || strings.Contains(warning, "\n") {
				t.Errorf("warning %q", warning)
			}
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func openWith(texts map[string]string, dir string) (*opened, error) {
	settings := sources.Settings{}
	for key, text := range texts {
		settings[key] = sources.NewSecret([]byte(text))
	}
	o := &opened{}
	source, err := Backend.Open(context.Background(), settings, sources.Options{
		Getenv: os.LookupEnv,
		Warn:   func(line string) { o.warnings = append(o.warnings, line) },
		Log:    slog.New(slog.DiscardHandler),
		Dir:    dir,
	})
	o.Source = source
	return o, err
}

func (o *opened) one(t *testing.T, name string) sources.Result {
	t.Helper()
	results := o.Fetch(t.Context(), []string{name})
	result, ok := results[name]
	if !ok || len(results) != 1 {
		t.Fatalf("Fetch(%q) answered for %d names", name, len(results))
	}
	return result
}

func (o *opened) wantValue(t *testing.T, name, value string) {
	t.Helper()
	result := o.one(t, name)
	if result.Err != nil {
		t.Fatalf("%q: %v", name, result.Err)
	}
	if got := string(result.Value.Reveal()); got != value {
		t.Errorf("%q = %.80q, want %.80q", name, got, value)
	}
	if _, err := time.Parse(time.RFC3339Nano, result.Version); err != nil {
		t.Errorf("%q: version %q is not a time", name, result.Version)
	}
}

func (o *opened) wantError(t *testing.T, name string, kind sources.Kind, parts ...string) {
	t.Helper()
	result := o.one(t, name)
	if result.Value.Len() != 0 {
		t.Errorf("%q: a value beside the error", name)
	}
	wantError(t, result.Err, kind, parts...)
}

// wantError checks the kind of err, that message and hint together hold each of
// parts, and what is true of all errors.
func wantError(t *testing.T, err error, kind sources.Kind, parts ...string) {
	t.Helper()
	var e *sources.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error of kind %q", err, kind)
	}
	shown := e.Message + "\n" + e.Hint
	if e.Kind != kind {
		t.Errorf("kind %q, want %q: %s", e.Kind, kind, shown)
	}
	for _, part := range parts {
		if !strings.Contains(shown, part) {
			t.Errorf("no %q in: %s", part, shown)
		}
	}
	if strings.HasSuffix(e.Message, ".") || strings.HasSuffix(e.Hint, ".") && !strings.HasSuffix(e.Hint, "...") {
		t.Errorf("full stop: %s", shown)
	}
	for chain := err; chain != nil; chain = errors.Unwrap(chain) {
		shown += fmt.Sprintf("\n%v %+v %#v", chain, chain, chain)
	}
	if strings.Contains(shown, canary) {
		t.Errorf("shows a value: %s", shown)
	}
}

func write(t *testing.T, path, data string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name     string
		settings map[string]string
		parts    []string
	}{
		{"nothing", nil, []string{"vault_store.file.path is missing"}},
		{"misspelt", map[string]string{"path": dir, "identiy": canary},
			[]string{"not known: identiy", "identity, path, recipients"}},
		{"empty path", map[string]string{"path": " "}, []string{"vault_store.file.path is empty"}},
		{"empty identity", map[string]string{"path": dir, "identity": ""}, []string{"file.identity is empty"}},
		{"not there", map[string]string{"path": filepath.Join(dir, "gone")},
			[]string{filepath.Join(dir, "gone") + " does not exist", "mounted"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o, err := openWith(test.settings, "")
			if o.Source != nil {
				t.Error("a source beside the error")
			}
			wantError(t, err, sources.BadSettings, test.parts...)
		})
	}
}

func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	key, encrypt := newIdentity(t)
	write(t, filepath.Join(dir, "key.txt"), key)
	write(t, filepath.Join(dir, "secrets", "a"), encrypt(canary))
	o, err := openWith(map[string]string{"path": "./secrets/", "identity": "key.txt"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	o.wantValue(t, "a", canary)
	if got, want := o.Describe(), "file "+filepath.Join(dir, "secrets"); got != want {
		t.Errorf("Describe() = %q, want %q", got, want)
	}
}

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	directory, document := openAt(t, dir), openAt(t, write(t, filepath.Join(dir, "s.json"), `{}`))
	for names, want := range map[int][2]int{0: {0, 0}, 1: {1, 1}, 3: {3, 1}} {
		for i, o := range []*opened{directory, document} {
			if got := o.Plan(make([]string, names)); !reflect.DeepEqual(got, sources.Calls{Single: want[i]}) {
				t.Errorf("%s: %d names: %+v, want %d", o.Describe(), names, got, want[i])
			}
		}
	}
}

func TestPing(t *testing.T) {
	dir := t.TempDir()
	document := openAt(t, write(t, filepath.Join(dir, "s.json"), `{"a":"`+canary+`"}`))
	write(t, filepath.Join(dir, "mount", "a"), canary)
	directory := openAt(t, filepath.Join(dir, "mount"))
	for _, o := range []*opened{document, directory} {
		for _, name := range []string{"", "a"} {
			if err := o.Ping(t.Context(), name); err != nil {
				t.Errorf("Ping(%q): %v", name, err)
			}
		}
		wantError(t, o.Ping(t.Context(), "b"), sources.NotFound)
	}
	write(t, filepath.Join(dir, "s.json"), canary)
	wantError(t, document.Ping(t.Context(), ""), sources.Unusable)
	if err := os.RemoveAll(filepath.Join(dir, "mount")); err != nil {
		t.Fatal(err)
	}
	wantError(t, directory.Ping(t.Context(), ""), sources.Unreachable, "no directory", "mounted")
}

func TestPathGoneAfterOpen(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "s.json"), `{"a":"x"}`)
	mount := filepath.Join(dir, "mount")
	write(t, filepath.Join(mount, "a"), "x")
	directory, document := openAt(t, mount), openAt(t, file)
	if err := errors.Join(os.RemoveAll(mount), os.Remove(file)); err != nil {
		t.Fatal(err)
	}
	directory.wantError(t, "a", sources.Unreachable, "no directory "+mount)
	document.wantError(t, "a", sources.Unreachable, file+" does not exist")

	write(t, mount, "now a file")
	directory.wantError(t, "a", sources.Unreachable, "no directory "+mount)
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	document.wantError(t, "a", sources.Unusable, file+" is a directory")
}

func TestCanceled(t *testing.T) {
	dir := t.TempDir()
	document := openAt(t, write(t, filepath.Join(dir, "s.json"), `{"a":"x","b":"y"}`))
	write(t, filepath.Join(dir, "mount", "a"), "x")
	directory := openAt(t, filepath.Join(dir, "mount"))
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	for _, o := range []*opened{document, directory} {
		results := o.Fetch(ctx, []string{"a", "b"})
		if len(results) != 2 {
			t.Errorf("%d results", len(results))
		}
		for _, result := range results {
			wantError(t, result.Err, sources.Unreachable, "was not read: context canceled")
			if !errors.Is(result.Err, because) {
				t.Errorf("the cause is lost: %v", result.Err)
			}
		}
	}
}

func TestExposure(t *testing.T) {
	dir := t.TempDir()
	chmod := func(name string, mode fs.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		write(t, filepath.Join(dir, name), canary)
		chmod(name, 0o644)
	}
	chmod("a", 0o640)
	chmod("e", 0o611) // others may list and run it, but not read
	o := openAt(t, dir)
	want := []string{}
	expect := func(line string) {
		t.Helper()
		o.Fetch(t.Context(), names)
		if line != "" {
			want = append(want, line)
		}
		if !reflect.DeepEqual(append([]string{}, o.warnings...), want) {
			t.Errorf("warnings %q, want %q", o.warnings, want)
		}
	}
	expect("4 secret files in " + dir +
		` may be read by others: "a" (mode 0640), "b" (mode 0644), "c" (mode 0644), ...`)
	expect("")
	chmod("a", 0o600)
	expect("")
	chmod("a", 0o644)
	expect("1 secret file in " + dir + ` may be read by others: "a" (mode 0644)`)
	expect("")

	document := openAt(t, write(t, filepath.Join(dir, "s.json"), `{"a":"x"}`))
	chmod("s.json", 0o604)
	for range 2 {
		document.one(t, "a")
	}
	if want := []string{"1 secret file in " + dir + ` may be read by others: "s.json" (mode 0604)`}; !reflect.DeepEqual(document.warnings, want) {
		t.Errorf("warnings %q, want %q", document.warnings, want)
	}
}
