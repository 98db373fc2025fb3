//go:build unix

package publish

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// spied returns a system that calls at with the number and the name of every call
// it is asked for, and with the call itself. at decides what becomes of it.
func spied(at func(n int, name string, call func() error) error) *sys {
	n := 0
	step := func(name string, call func() error) error {
		n++
		return at(n, name, call)
	}
	return &sys{
		create: func(dir *os.Root, name string) (f *os.File, err error) {
			err = step("create", func() error { f, err = system.create(dir, name); return err })
			if err != nil && f != nil {
				f.Close()
				f = nil
			}
			return f, err
		},
		lock: func(f *os.File) error {
			return step("lock", func() error { return system.lock(f) })
		},
		chmod: func(f *os.File, mode fs.FileMode) error {
			return step("chmod", func() error { return system.chmod(f, mode) })
		},
		stat: func(f *os.File) (info fs.FileInfo, err error) {
			err = step("stat", func() error { info, err = system.stat(f); return err })
			return info, err
		},
		chown: func(f *os.File, uid, gid int) error {
			return step("chown", func() error { return system.chown(f, uid, gid) })
		},
		write: func(f *os.File, content []byte) (n int, err error) {
			half := len(content) / 2
			n, err = system.write(f, content[:half])
			if err != nil {
				return n, err
			}
			err = step("write", func() error {
				n, err = system.write(f, content[half:])
				n += half
				return err
			})
			return n, err
		},
		sync: func(f *os.File) error {
			return step("sync", func() error { return system.sync(f) })
		},
		rename: func(dir *os.Root, from, to string) error {
			return step("rename", func() error { return system.rename(dir, from, to) })
		},
		syncDir: func(dir *os.Root) error {
			return step("syncDir", func() error { return system.syncDir(dir) })
		},
		remove: func(dir *os.Root, name string) error {
			return step("remove", func() error { return system.remove(dir, name) })
		},
	}
}

const (
	oldContent = "S3CRET old"
	newContent = "S3CRET and new"
)

// faultOptions make publishing take every step there is: two modes and, where
// we may, an owner.
func faultOptions() Options {
	o := Options{Mode: 0o640}
	if os.Geteuid() == 0 {
		o.Owner = &Owner{1234, 1234}
	}
	return o
}

// wantPrivate sees that nothing in dir can be read by more people than asked
// for: at most 0640, and nothing for the group before the file is its.
func wantPrivate(t *testing.T, dir, when string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		o := faultOptions()
		_, gid := ids(info)
		if mode := info.Mode(); mode&^o.Mode != 0 || mode&0o077 != 0 && o.Owner != nil && gid != o.Owner.GID {
			t.Errorf("%s: %s has mode %v and group %d", when, e.Name(), mode, gid)
		}
	}
}

// Every call fails once, with every error it may give. Each time the old file
// stays, nothing is left behind, and no file was ever open to more people than
// asked for.
func TestEveryCallFails(t *testing.T) {
	errs := []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EPERM, syscall.EBUSY, syscall.EINVAL, io.ErrUnexpectedEOF}
	hints := map[error]string{
		syscall.EIO: "the disk", syscall.ENOSPC: "free some space", syscall.EDQUOT: "free some of the quota", syscall.EROFS: "read-only",
	}
	messages := map[string]string{
		"create": "cannot create a temporary file in ", "lock": "cannot lock", "chmod": "cannot set mode 06", "stat": "cannot look at the temporary file",
		"chown": "cannot give the file to 1234:1234: ", "write": "cannot write the temporary file: ", "sync": "cannot sync the temporary file: ",
		"rename": "cannot put the new file in place: ", "syncDir": "the new file is in place, but its directory ",
	}
	calls := map[string]int{}
	for _, injected := range errs {
		for n := 1; ; n++ {
			dir := folder(t)
			path := filepath.Join(dir, "config.json")
			put(t, path, oldContent, 0o600)
			put(t, filepath.Join(dir, sweepable("config.json")), oldContent, 0o600)
			failed := ""
			target := check(t, path, faultOptions())
			target.sys = spied(func(i int, name string, call func() error) error {
				when := fmt.Sprintf("%v at call %d", injected, n)
				wantPrivate(t, dir, when+", before "+name)
				defer wantPrivate(t, dir, when+", after "+name)
				if i == n {
					failed = name
					return injected
				}
				return call()
			})
			changed, err := target.Write([]byte(newContent))
			if failed == "" {
				must(t, err)
				break
			}
			calls[failed]++
			switch failed {
			case "remove": // of the leftover: it waits for the next time
				must(t, err)
				wantContent(t, path, newContent)
				wantNames(t, dir, sweepable("config.json"), "config.json")
				continue
			case "syncDir":
				wantContent(t, path, newContent)
			default:
				wantContent(t, path, oldContent)
			}
			if changed != (failed == "syncDir") {
				t.Errorf("%v at %s: changed is %v", injected, failed, changed)
			}
			op, hint := "stage", hints[injected]
			if failed == "rename" || failed == "syncDir" {
				op = "commit"
			}
			if hint == "" {
				hint = mustHint(err)
			}
			wantError(t, err, op, messages[failed], hint)
			wantError(t, err, op, injected.Error(), hint)
			wantNames(t, dir, "config.json")
		}
	}
	for name := range messages {
		if calls[name] == 0 && (name != "chown" || os.Geteuid() == 0) {
			t.Errorf("%s was never called", name)
		}
	}
	t.Logf("%v", calls)
}

func mustHint(err error) string { return err.(*Error).Hint }

func TestHints(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	put(t, path, oldContent, 0o600)
	for _, c := range []struct {
		call string
		err  error
		hint string
	}{
		{"rename", syscall.EBUSY, "mount the directory that holds the file"},
		{"rename", syscall.EXDEV, "mount the directory that holds the file"},
		{"rename", syscall.EPERM, "immutable"},
		{"chown", syscall.EPERM, "run as root"},
		{"chown", syscall.EINVAL, "user namespace"},
		{"chmod", syscall.EPERM, "CAP_FOWNER"},
		{"create", syscall.EACCES, "read, write and search " + dir},
	} {
		target := check(t, path, Options{})
		target.owner = Owner{os.Geteuid(), -1}
		target.sys = spied(func(_ int, name string, call func() error) error {
			if name == c.call {
				return c.err
			}
			return call()
		})
		_, err := target.Write([]byte(newContent))
		e, ok := err.(*Error)
		if !ok || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v: got %v, hint %q", c.call, c.err, err, e.Hint)
		}
	}
}

func TestShortWrite(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	put(t, path, oldContent, 0o600)
	target, faulty := check(t, path, Options{}), system
	faulty.write = func(f *os.File, b []byte) (int, error) { return system.write(f, b[:len(b)-1]) }
	target.sys = &faulty
	_, err := target.Write([]byte(newContent))
	wantError(t, err, "stage", "cannot write the temporary file: short write", "")
	wantContent(t, path, oldContent)
	wantNames(t, dir, "config.json")
}

// stubborn is what a filesystem shows that ignores chmod and chown.
type stubborn struct {
	fs.FileInfo
	mode fs.FileMode
}

func (s stubborn) Mode() fs.FileMode { return s.mode }

func TestFilesystemWithoutModes(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.json")
	put(t, path, oldContent, 0o600)
	faulty, written := system, false
	faulty.stat = func(f *os.File) (fs.FileInfo, error) {
		info, err := system.stat(f)
		return stubborn{info, 0o755}, err
	}
	faulty.write = func(*os.File, []byte) (int, error) { written = true; return 0, io.EOF }
	target := check(t, path, Options{Mode: 0o640})
	target.sys = &faulty
	_, err := target.Write([]byte(newContent))
	wantError(t, err, "stage", "does not keep file modes: it shows 0755 where 0600 was set", "tmpfs")

	faulty.stat = system.stat
	faulty.chown = func(*os.File, int, int) error { return nil }
	target.owner = Owner{1234, -1}
	_, err = target.Write([]byte(newContent))
	wantError(t, err, "stage", "does not keep file owners: it does not show 1234", "tmpfs")
	if written {
		t.Error("content was written before the mode and owner were known to hold")
	}
	wantContent(t, path, oldContent)
	wantNames(t, dir, "config.json")
}

func init() {
	// crash PATH N WHEN: publish, and be killed before or after the Nth call.
	children["crash"] = func(args []string) {
		target, err := Check(args[0], nil, faultOptions())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		die := func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		target.sys = spied(func(n int, _ string, call func() error) error {
			if strconv.Itoa(n) == args[1] && args[2] == "before" {
				die()
			}
			err := call()
			if strconv.Itoa(n) == args[1] {
				die()
			}
			return err
		})
		if _, err := target.Write([]byte(newContent)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// A process is killed before and after every call. What it leaves is whole and
// private, and the next one clears it away.
func TestKilledAtEveryCall(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		leftovers, n := 0, 1
		for ; ; n++ {
			dir := folder(t)
			path := filepath.Join(dir, "config.json")
			put(t, path, oldContent, 0o600)
			out, err := child(t, "crash", path, strconv.Itoa(n), when).CombinedOutput()
			if err == nil {
				break // there are fewer calls than n
			}
			if exit, ok := err.(*exec.ExitError); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%s call %d: %v: %s", when, n, err, out)
			}
			wantPrivate(t, dir, fmt.Sprintf("killed %s call %d", when, n))
			got, err := os.ReadFile(path)
			must(t, err)
			if s := string(got); s != oldContent && s != newContent {
				t.Errorf("killed %s call %d: the file is neither old nor new: %d bytes", when, n, len(s))
			}
			if entries, _ := os.ReadDir(dir); len(entries) > 1 {
				leftovers++
			}
			write(t, check(t, path, faultOptions()), newContent)
			wantContent(t, path, newContent)
			wantMode(t, path, 0o640)
			wantNames(t, dir, "config.json")
		}
		if n < 9 || leftovers == 0 {
			t.Errorf("killed %s: %d calls and %d leftovers are too few to be true", when, n-1, leftovers)
		}
	}
}
