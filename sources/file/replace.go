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
	root    *os.Root
	temp    string // its path below root
	version string // the version it will have
}

// stage writes content to a temporary file in dir, which is a path below root.
// The file gets mode and owner of old, or 0600 where old is nil, and a time that
// old does not have, since the time is the version.
func (k *keeper) stage(root *os.Root, dir string, content []byte, old fs.FileInfo) (s *staged, err error) {
	k.sweep(root, dir)
	s = &staged{root: root, temp: filepath.Join(dir, tempPrefix+rand.Text()+tempSuffix)}
	k.step()
	f, err := root.OpenFile(s.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
		if err != nil {
			s.discard()
		}
	}()
	if old != nil {
		if err := like(f, old); err != nil {
			return nil, err
		}
	}
	k.step()
	if n, err := f.Write(content); err != nil || n < len(content) {
		return nil, errors.Join(err, io.ErrShortWrite)
	}
	if s.version, err = s.date(f, old); err != nil {
		return nil, err
	}
	return s, f.Sync()
}

// coarsest is the unit of time of the coarsest file system, FAT.
const coarsest = 2 * time.Second

// date gives the file its time.
func (s *staged) date(f *os.File, old fs.FileInfo) (version string, err error) {
	at := time.Now()
	if old != nil && !at.After(old.ModTime()) {
		at = old.ModTime().Add(time.Microsecond)
	}
	for range 2 {
		if err := s.root.Chtimes(s.temp, at, at); err != nil {
			return "", err
		}
		info, err := f.Stat()
		if err != nil {
			return "", err
		}
		version = versionOf(info)
		if old == nil || version != versionOf(old) {
			break
		}
		at = at.Add(coarsest)
	}
	return version, nil
}

// versionOf gives the version of what a file holds.
func versionOf(info fs.FileInfo) string { return info.ModTime().UTC().Format(time.RFC3339Nano) }

// commit puts the file in place.
func (k *keeper) commit(s *staged, name string) error {
	k.step()
	if err := s.root.Rename(s.temp, name); err != nil {
		s.discard()
		return err
	}
	k.step()
	return syncDir(s.root, filepath.Dir(name))
}

func (s *staged) discard() { _ = s.root.Remove(s.temp) }

// sweep removes what killed processes left in dir, once.
func (k *keeper) sweep(root *os.Root, dir string) {
	if k.swept[dir] {
		return
	}
	k.swept[dir] = true
	entries, err := list(root, dir, -1)
	if err != nil {
		return
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) && e.Type().IsRegular() {
			_ = root.Remove(filepath.Join(dir, name))
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
