//go:build unix

package publish

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNotAFile(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir) // a socket's path must be short
	must(t, os.Mkdir("sub", 0o700))
	must(t, os.Mkdir("folder.json", 0o700))
	must(t, unix.Mkfifo("fifo", 0o600))
	socket, err := net.Listen("unix", "socket")
	must(t, err)
	defer socket.Close()
	put(t, "file", "x", 0o600)
	must(t, os.Symlink("fifo", "link"))
	must(t, os.Symlink("sub", "sublink"))
	must(t, os.Symlink("new/", "newlink"))
	must(t, os.Symlink("loop", "loop"))
	long := strings.Repeat("x", 224)

	for path, want := range map[string][2]string{
		"":                        {"no file is named", "give a regular file"},
		"-":                       {"standard output cannot be published to", "give a regular file: publishing replaces the file by a rename"},
		"sub":                     {"sub: is a directory", "name of a file in it: sub/config.json"},
		"folder.json":             {"folder.json: is a directory", "remove it: a mount has made it where its file was missing"},
		"sublink":                 {"sublink: is a directory", "name of a file in it"},
		".":                       {"is a directory", "name of a file in it"},
		"..":                      {"is a directory", "name of a file in it"},
		"/":                       {"names a directory, not a file", "name of a file in it"},
		"sub/":                    {"sub/: names a directory, not a file", "name of a file in it"},
		"absent/":                 {"names a directory, not a file", "name of a file in it"},
		"fifo":                    {"fifo: is a pipe, not a file", "by a rename"},
		"link":                    {"link: is a pipe, not a file", "by a rename"},
		"socket":                  {"is a socket, not a file", "by a rename"},
		"/dev/null":               {"is a device, not a file", "by a rename"},
		"/dev/stdout":             {"no place for a file", "by a rename"},
		"/dev/fd/1":               {"leads to /dev/fd, which is no place for a file", "by a rename"},
		"/dev/fd/../fd/9999":      {"leads to /dev/fd", "by a rename"},
		"file/config.json":        {"is not a directory", ""},
		"absent/config.json":      {"absent does not exist", "mkdir -p -m 700 absent"},
		"absent/deep/config.json": {"absent does not exist", "mkdir -p -m 700 absent/deep"},
		"newlink":                 {"new does not exist", "mkdir -p -m 700 " + filepath.Join(dir, "new")},
		"loop":                    {"leads through too many links", "namei -l loop"},
		long:                      {"the file's name is too long: 224 bytes", "at most 223 bytes"},
	} {
		_, err := Check(path, nil, Options{})
		wantError(t, err, "check", want[0], want[1])
	}
	write(t, check(t, long[1:], Options{}), "x") // the longest name that goes
}

func TestTargetIsAnInput(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir)
	put(t, "input.json", "vault.S3CRET", 0o600)
	must(t, os.Link("input.json", "hard"))
	must(t, os.Symlink("input.json", "soft"))
	must(t, os.Symlink(filepath.Join(dir, "soft"), "chain"))
	must(t, os.Mkdir("sub", 0o700))
	must(t, os.Symlink("..", "sub/up"))
	must(t, os.Symlink("out.json", "fresh"))
	other, err := os.Stat(dir)
	must(t, err)
	input, err := os.Stat("soft") // as an input that is itself a link
	must(t, err)
	for _, path := range []string{"input.json", "./input.json", "hard", "soft", "chain", "sub/up/input.json", "sub/../chain", filepath.Join(dir, "hard")} {
		_, err := Check(path, []fs.FileInfo{other, input}, Options{})
		wantError(t, err, "check", "is the file soft that is read", "publish to another file")
	}
	for _, path := range []string{"fresh", "out.json", "sub/input.json"} {
		if _, err := Check(path, []fs.FileInfo{other, input}, Options{}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	wantContent(t, "input.json", "vault.S3CRET")
}

func TestLinksAreFollowed(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir)
	// The layout of a Kubernetes volume, and links in the middle of the path.
	must(t, os.MkdirAll("vol/..2026_01", 0o755))
	must(t, os.Symlink("..2026_01", "vol/..data"))
	must(t, os.Symlink("..data/config.json", "vol/config.json"))
	must(t, os.Symlink(filepath.Join(dir, "vol"), "abs"))
	must(t, os.Symlink("abs/config.json", "chain"))
	must(t, os.Symlink("vol/..2026_01", "deep"))
	file := filepath.Join(dir, "vol", "..2026_01", "config.json")
	for i, path := range []string{
		"vol/config.json", "abs/config.json", "chain", filepath.Join(dir, "chain"), "./vol//./..data/config.json",
		"deep/../..data/config.json", // the link's parent, not the parent of the link
	} {
		target := check(t, path, Options{})
		if target.Path != file {
			t.Errorf("%s leads to %s, want %s", path, target.Path, file)
		}
		content := fmt.Sprint("content ", i) // the first one makes the file
		write(t, target, content)
		wantContent(t, file, content)
	}
	for path, want := range map[string]string{"vol/config.json": "..data/config.json", "vol/..data": "..2026_01", "chain": "abs/config.json"} {
		if to, err := os.Readlink(path); to != want || err != nil {
			t.Errorf("the link %s leads to %q now: %v", path, to, err)
		}
	}
	wantNames(t, filepath.Dir(file), "config.json")

	// Forty links are followed, and no more.
	put(t, "l0", "x", 0o600)
	for i := range 41 {
		must(t, os.Symlink(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	check(t, "l40", Options{})
	_, err := Check("l41", nil, Options{})
	wantError(t, err, "check", "too many links", "namei")
}

// A link is refused wherever somebody else could have set it, at each hop.
func TestLinksThatOthersCouldMake(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir)
	must(t, os.Mkdir("open", 0o700))
	put(t, "victim", "old", 0o600)
	must(t, os.Symlink("../victim", "open/link"))
	must(t, os.Symlink("..", "open/dirlink"))
	must(t, os.Symlink("open/link", "hop"))
	for _, mode := range []fs.FileMode{0o777, 0o770, 0o702, 0o777 | fs.ModeSticky} {
		must(t, os.Chmod("open", mode))
		by := "is writable by everybody"
		if mode == 0o770 {
			by = "is writable by its group"
		}
		for _, path := range []string{"open/link", "open/dirlink/victim", "hop"} {
			_, err := Check(path, nil, Options{})
			wantError(t, err, "check", by, "give the path that the link leads to")
		}
	}
	must(t, os.Chmod("open", 0o755))
	for _, path := range []string{"open/link", "open/dirlink/victim", "hop"} {
		check(t, path, Options{})
	}
	wantContent(t, "victim", "old")
}

func TestWarnings(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir)
	must(t, os.MkdirAll("a/b", 0o700))
	base := check(t, "a/b/config.json", Options{}).Warnings // of where the tests run
	for _, c := range []struct {
		path string
		mode fs.FileMode
		want string
	}{
		{"a/b", 0o755, ""},
		{"a/b", 0o777, "writable by everybody"},
		{"a/b", 0o770, "writable by its group"},
		{"a/b", 0o777 | fs.ModeSticky, ""},
		{"a", 0o777, "writable by everybody"}, // it could be replaced as a whole
	} {
		must(t, os.Chmod(c.path, c.mode))
		got := check(t, "a/b/config.json", Options{}).Warnings
		got = slices.DeleteFunc(got, func(s string) bool { return slices.Contains(base, s) })
		text := strings.Join(got, "\n")
		want := ""
		if c.want != "" {
			want = "a/b/config.json: others could replace this file: the directory " + filepath.Join(dir, c.path) + " is " + c.want
		}
		if text != want {
			t.Errorf("%s %v: got %q, want %q", c.path, c.mode, text, want)
		}
		must(t, os.Chmod(c.path, 0o700))
	}
}

func TestWarningsOfOwners(t *testing.T) {
	rootOnly(t)
	dir := folder(t)
	sub := filepath.Join(dir, "sub")
	path := filepath.Join(sub, "config.json")
	must(t, os.Mkdir(sub, 0o700))
	must(t, os.Chown(sub, 1234, -1))
	base := len(check(t, filepath.Join(dir, "x"), Options{}).Warnings)
	got := check(t, path, Options{}).Warnings
	if len(got) != base+1 || !strings.Contains(got[base], "writable by uid 1234, its owner") {
		t.Errorf("got %q", got)
	}
	if got := check(t, path, Options{Owner: &Owner{1234, -1}}).Warnings; len(got) != base {
		t.Errorf("the file's own owner is warned of: %q", got)
	}
}
