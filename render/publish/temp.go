package publish

import (
	"crypto/rand"
	"io/fs"
	"os"
	"strings"
)

// create makes an empty temporary file that is ours alone, and locks it.
//
// The lock lasts as long as the process, so an unlocked temporary file is one
// that a killed process left, and sweep may remove it. Between its creation and
// its lock a living one looks the same. So the file is not ours before it is
// locked and, after that, still has its name; if a sweep got in between, there
// is no content in it to lose, and we take another name. From the lock on no
// sweep can remove it. No clock is asked, so none can be wrong.
//
// (An unnamed O_TMPFILE would not spare us this: to replace a file it needs a
// name before the rename, and not every filesystem has it.)
func (s *Staged) create() error {
	t := s.t
	for range 16 {
		name := t.tempPrefix() + rand.Text() + tempSuffix
		f, err := t.sys.create(s.root, name)
		if err != nil {
			return t.fail("stage", "cannot create a temporary file in "+t.dir, "", err)
		}
		s.f, s.name = f, name
		if err := t.sys.lock(f); err != nil {
			return t.fail("stage", "cannot lock the temporary file", "", err)
		}
		if named(s.root, f, name) {
			return nil
		}
		f.Close()
		s.f, s.name = nil, ""
	}
	return t.fail("stage", "other processes keep removing our temporary file", "publish from one process at a time", nil)
}

// sweep removes the temporary files that killed processes left for this
// target. It is content with what it can remove: a filesystem without locks
// keeps its leftovers.
func (t *Target) sweep(root *os.Root) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if t.isTemp(name) {
			t.sweepOne(root, name)
		}
	}
}

func (t *Target) sweepOne(root *os.Root, name string) {
	f, err := root.OpenFile(name, openRead, 0)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !t.mayBeOurs(info) {
		return
	}
	// Named still: while we opened it, it may have been published.
	if tryLock(f) && named(root, f, name) {
		_ = t.sys.remove(root, name)
	}
}

// A temporary file is named after its target: `.config.json.<26 of A-Z2-7>.tmp`.
const (
	tempSuffix = ".tmp"
	tempRandom = 26 // the length of rand.Text
)

func (t *Target) tempPrefix() string { return "." + t.base + "." }

func (t *Target) isTemp(name string) bool {
	random, ok := strings.CutPrefix(name, t.tempPrefix())
	if !ok {
		return false
	}
	random, ok = strings.CutSuffix(random, tempSuffix)
	return ok && len(random) == tempRandom && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// named reports whether name still leads to the open file.
func named(root *os.Root, f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := root.Lstat(name)
	return err == nil && os.SameFile(open, at)
}

// sys is what publishing asks of the system, one entry for each kind of call
// that changes something, so that tests can make each of them fail.
type sys struct {
	create  func(dir *os.Root, name string) (*os.File, error)
	lock    func(*os.File) error
	chmod   func(*os.File, fs.FileMode) error
	stat    func(*os.File) (fs.FileInfo, error)
	chown   func(f *os.File, uid, gid int) error
	write   func(*os.File, []byte) (int, error)
	sync    func(*os.File) error
	rename  func(dir *os.Root, from, to string) error
	syncDir func(*os.Root) error
	remove  func(dir *os.Root, name string) error
}

var system = sys{
	// os.Root adds O_NOFOLLOW and O_CLOEXEC.
	create: func(dir *os.Root, name string) (*os.File, error) {
		return dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	},
	lock:    lock,
	chmod:   (*os.File).Chmod,
	stat:    (*os.File).Stat,
	chown:   (*os.File).Chown,
	write:   (*os.File).Write,
	sync:    (*os.File).Sync,
	rename:  (*os.Root).Rename,
	syncDir: syncDir,
	remove:  (*os.Root).Remove,
}
