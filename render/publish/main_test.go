package publish

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// childEnv makes the test binary play one of children in place of the tests.
const childEnv = "PUBLISH_TEST_CHILD"

var children = map[string]func(args []string){}

func TestMain(m *testing.M) {
	if play := children[os.Getenv(childEnv)]; play != nil {
		play(os.Args[1:])
		return
	}
	goleak.VerifyTestMain(m)
}

// folder makes a directory that nobody else may write in, whatever the umask.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Chmod(dir, 0o700))
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o600))
	must(t, os.Chmod(path, mode))
}

func check(t testing.TB, path string, o Options) *Target {
	t.Helper()
	target, err := Check(path, nil, o)
	must(t, err)
	return target
}

func write(t testing.TB, target *Target, content string) bool {
	t.Helper()
	changed, err := target.Write([]byte(content))
	must(t, err)
	return changed
}

func wantContent(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s has %d bytes that are not the %d wanted", path, len(got), len(want))
	}
}

func wantMode(t testing.TB, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if posix && info.Mode() != want {
		t.Fatalf("%s has mode %v, want %v", path, info.Mode(), want)
	}
}

// wantNames sees that a directory has exactly these entries.
func wantNames(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("%s holds %q, want %q", dir, got, want)
	}
}

// wantError sees that err is a well-formed Error whose text and hint hold what
// is wanted, and that it tells nothing of any content the tests write.
func wantError(t testing.TB, err error, op, message, hint string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v (%T), want an *Error", err, err)
	}
	if e.Op != op || !strings.Contains(e.Error(), message) || !strings.Contains(e.Hint, hint) || hint == "" && e.Hint != "" {
		t.Errorf("got error in %s: %q, hint %q\nwant in %s: %q, hint %q", e.Op, e, e.Hint, op, message, hint)
	}
	for _, s := range []string{e.Message, e.Hint} {
		if strings.HasSuffix(s, ".") || strings.Contains(s, "S3CRET") || strings.Contains(s, tempSuffix) {
			t.Errorf("not fit to be shown: %q", s)
		}
	}
}

// Same reports whether the file is there already with these bytes and with the
// mode and the owner asked for. A file that cannot be read is not the same. The
// error says that the directory cannot be opened.
func (t *Target) Same(content []byte) (bool, error) {
	root, err := t.open()
	if err != nil {
		return false, err
	}
	defer root.Close()
	return t.same(root, content), nil
}
