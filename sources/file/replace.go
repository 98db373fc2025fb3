package file

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Files are replaced as package render/publish does it, which a source may not
// know of: written whole under a hidden name, synced, renamed. Only who has the
// lock does so, hence whatever temporary file is there was left by somebody who
// was killed.

const (
	tempPrefix = ".bifrost-secrets."
	tempSuffix = ".tmp"
)

// staged is a file that waits to be put in place.
type staged struct {
	*directory
	root    *os.Root
	temp    string // its path below root
	version string // the version it will have
}

// errOtherOwner says that the new file cannot be given to the owner of the old one.
var errOtherOwner = errors.New("belongs to another user")

// stage writes content to a temporary file in dir, which is a path below root.
// The file gets mode and owner of old, or 0600 where old is nil, and a time that
// old does not have, since the time is the version. On an error nothing is left.
func (d *directory) stage(root *os.Root, dir string, content []byte, old fs.FileInfo) (*staged, error) {
	d.sweep(root, dir)
	s := &staged{directory: d, root: root, temp: filepath.Join(dir, tempPrefix+rand.Text()+tempSuffix)}
	if err := s.fill(content, old); err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

func (s *staged) fill(content []byte, old fs.FileInfo) error {
	var f *os.File
	err := s.do("create", func() (err error) {
		f, err = s.root.OpenFile(s.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if f == nil {
		return err
	}
	if err == nil && old != nil {
		// While it is empty: what the system refuses is refused before a secret is
		// on the disk.
		if err = s.do("like", func() error { return like(f, old) }); errors.Is(err, fs.ErrPermission) {
			err = errOtherOwner
		}
	}
	if err == nil {
		err = s.do("write", func() error {
			n, err := f.Write(content)
			if err == nil && n < len(content) {
				err = io.ErrShortWrite
			}
			return err
		})
	}
	if err == nil {
		err = s.date(f, old)
	}
	if err == nil {
		err = s.do("sync", f.Sync)
	}
	// Some file systems say that no space is left when a file is closed.
	if closing := s.do("close", f.Close); err == nil {
		err = closing
	}
	return err
}

// coarsest is the unit of time of the coarsest file system, FAT.
const coarsest = 2 * time.Second

// date returns the file its time.
func (s *staged) date(f *os.File, old fs.FileInfo) error {
	at := time.Now()
	if old != nil && !at.After(old.ModTime()) {
		at = old.ModTime().Add(time.Microsecond)
	}
	for range 2 {
		if err := s.do("chtimes", func() error { return s.root.Chtimes(s.temp, at, at) }); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		s.version = versionOf(info)
		if old == nil || s.version != versionOf(old) {
			break
		}
		at = at.Add(coarsest)
	}
	return nil
}

// versionOf returns the version of what a file holds.
func versionOf(info fs.FileInfo) string { return info.ModTime().UTC().Format(time.RFC3339Nano) }

// commit puts the file in place, and reports whether it is there: where it is,
// an error says that this may not outlast the system.
func (s *staged) commit(name string) (placed bool, err error) {
	if err := s.do("rename", func() error { return s.root.Rename(s.temp, name) }); err != nil {
		// The answer of a network's file system may get lost after it was done.
		if _, gone := s.root.Lstat(s.temp); errors.Is(gone, fs.ErrNotExist) {
			return true, err
		}
		s.discard()
		return false, err
	}
	return true, s.syncDir(s.root, filepath.Dir(name))
}

func (d *directory) syncDir(root *os.Root, dir string) error {
	return d.do("syncDir", func() error { return syncDir(root, dir) })
}

// discard removes the temporary file. One that stays is removed by the next
// writer.
func (s *staged) discard() {
	if err := s.do("discard", func() error { return s.root.Remove(s.temp) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		delete(s.swept, filepath.Dir(s.temp))
	}
}

// sweep removes what killed processes left in dir, once.
func (d *directory) sweep(root *os.Root, dir string) {
	if d.swept[dir] {
		return
	}
	d.swept[dir] = true
	entries, err := list(root, dir, -1)
	if err != nil {
		return
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) && e.Type().IsRegular() {
			if d.do("sweep", func() error { return root.Remove(filepath.Join(dir, name)) }) != nil {
				delete(d.swept, dir) // it waits for the next time
			}
		}
	}
}

// reason is what the system said, without the names that package os puts
// around it: they are those of temporary files.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "the system gives no reason"
}
