package regular_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bifrost-secrets/walker/regular"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, size := range []int{0, 1, 511, 512, 513, 10_000} {
		content := strings.Repeat("x", size)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		data, info, err := regular.ReadFile(path, 10_000)
		if err != nil || string(data) != content || info.Size() != int64(size) {
			t.Errorf("%d bytes: got %d, %v", size, len(data), err)
		}
		if err := regular.CheckFile(path, 10_000); err != nil {
			t.Error(err)
		}
	}
	wants := func(err error, text string) {
		t.Helper()
		var at *fs.PathError
		if !errors.As(err, &at) || at.Err.Error() != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	_, _, err := regular.ReadFile(path, 9_999)
	wants(err, "it is larger than the limit of 9999 bytes")
	wants(regular.CheckFile(path, 9_999), "it is larger than the limit of 9999 bytes")
	_, _, err = regular.ReadFile(dir, 10)
	wants(err, "it is a directory, and only regular files are read")
	wants(regular.CheckFile(dir, 10), "it is a directory, and only regular files are read")
	if _, _, err := regular.ReadFile(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), os.DevNull} {
		if err := regular.CheckFile(path, 10); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if data, _, err := regular.ReadFile("/proc/self/status", 1<<20); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		t.Error("a file without a size:", err)
	}
}

// Files that somebody else names are read by the one reader that waits for
// nothing. What opens a file in another way has its reason here.
func TestOneReader(t *testing.T) {
	reasons := map[string]string{
		"walker/regular/regular.go":      "the reader itself",
		"sources/file/read.go":           "through an os.Root, in the same way",
		"cmd/internal/lintcmd/inputs.go": "the beginning of a file only, without waiting",
		"cmd/internal/lintcmd/write.go":  "a directory, to be synced",
		"watch/control/socket_unix.go":   "the lock, which has no content",
		"watch/child/group_linux.go":     "/proc",
		"watch/child/reap_linux.go":      "/proc",
		"render/publish/lock.go":         "to be locked, without waiting",
		"render/publish/os_unix.go":      "/proc",
	}
	opens := regexp.MustCompile(`\b(os\.(ReadFile|Open|OpenFile|DirFS)|pgpassfile\.ReadPassfile|tls\.LoadX509KeyPair|ioutil\.ReadFile)\(`)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name == "deploy/dist":
			return filepath.SkipDir // no part of the program: it packs what was built
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || strings.HasSuffix(entry.Name(), "test") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if found := opens.FindString(string(text)); found != "" && reasons[name] == "" {
			t.Errorf("%s opens a file with %s): use regular.ReadFile", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
