package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bifrost-secrets/sources"
)

// cost is what one call did to a directory.
type cost struct {
	Events int   // files opened, made, renamed or removed
	Files  int   // files that are there afterwards and were not, as they are now
	Bytes  int64 // in those files
}

// costOf counts what do does to the files in dir, which has all of its folders.
func costOf(t *testing.T, dir string, do func()) (c cost) {
	t.Helper()
	const what = unix.IN_OPEN | unix.IN_CREATE | unix.IN_MOVE | unix.IN_DELETE
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	was := snapshot(t, dir)
	for path, info := range was {
		if info.IsDir() {
			if _, err := unix.InotifyAddWatch(fd, path, what); err != nil {
				t.Fatal(err)
			}
		}
	}
	do()
	b := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, b)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < n; {
			switch mask := binary.NativeEndian.Uint32(b[at+4:]); {
			case mask&unix.IN_Q_OVERFLOW != 0:
				t.Fatal("too many events to count")
			case mask&unix.IN_ISDIR == 0:
				c.Events++
			}
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[at+12:]))
		}
	}
	for path, info := range snapshot(t, dir) {
		if old, ok := was[path]; !info.IsDir() && (!ok || !os.SameFile(old, info) || old.ModTime() != info.ModTime()) {
			c.Files++
			c.Bytes += info.Size()
		}
	}
	return c
}

func snapshot(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	all := map[string]fs.FileInfo{}
	for _, path := range files(t, dir, "") {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = info
	}
	return all
}

// What a call costs does not depend on how many secrets there are.
func TestDirectoryCost(t *testing.T) {
	t.Parallel()
	costs := func(t *testing.T, secrets int) map[string]cost {
		dir := t.TempDir()
		s := storeAt(t, map[string]string{"path": dir})
		for i := range secrets {
			mustPut(t, s, fmt.Sprintf("app/other%03d", i), "1", "")
		}
		all := map[string]cost{}
		note := func(what string, do func()) { all[what] = costOf(t, dir, do) }
		version := ""
		note("create", func() { version = mustPut(t, s, "app/key", "1", "") })
		note("change", func() { version = mustPut(t, s, "app/key", "2", version) })
		note("inspect", func() {
			if item := s.Inspect(t.Context(), []string{"app/key"})["app/key"]; item.Mark == nil || item.Version != version {
				t.Errorf("%+v", item)
			}
		})
		note("list", func() {
			if items, err := s.List(t.Context(), "app/key"); err != nil || len(items) != 1 {
				t.Errorf("%v, %v", items, err)
			}
		})
		note("delete", func() {
			if err := s.Delete(t.Context(), "app/key", "prod", sources.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
		// The first write of a process looks where the secrets are, and reads none.
		note("first", func() { mustPut(t, storeAt(t, map[string]string{"path": dir}), "app/key", "1", "") })
		// A list of all reads each mark once.
		listed := costOf(t, dir, func() {
			if items, err := s.List(t.Context(), ""); err != nil || len(items) != secrets+1 {
				t.Errorf("%d listed, %v", len(items), err)
			}
		})
		marks := 0
		for path := range snapshot(t, filepath.Join(dir, marksFolder)) {
			if strings.HasSuffix(path, settled) {
				marks++
			}
		}
		if marks != secrets+1 {
			t.Errorf("%d marks of %d secrets", marks, secrets+1)
		}
		if listed.Events != marks {
			t.Errorf("a list opened %d files for %d marks", listed.Events, marks)
		}
		return all
	}
	few, many := costs(t, 2), costs(t, 150)
	for what, c := range few {
		t.Logf("%s: %+v", what, c)
		// The zeros at the end of a time are left out of a mark.
		more := many[what].Bytes - c.Bytes
		if with := many[what]; with.Events != c.Events || with.Files != c.Files || max(more, -more) > 2*int64(len("000000000")) {
			t.Errorf("%s: %+v with 2 other secrets, %+v with 150", what, c, many[what])
		}
		if c.Events == 0 {
			t.Errorf("%s: nothing was counted", what)
		}
	}
}
