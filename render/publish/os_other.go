//go:build !unix

package publish

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// posix says that files have no owners and modes in the sense of this package:
// who may read a file is inherited from its directory.
const posix = false

const openRead = os.O_RDONLY

// locate finds where the file itself stands, and what is there, or nil.
func (t *Target) locate(path string) (fs.FileInfo, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, t.refuse("cannot make the path absolute", "", err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, t.refuse("is a link that leads nowhere", "give the path of the file itself", nil)
	}
	t.at(filepath.Dir(path), filepath.Base(path))
	if _, err := os.Stat(t.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, t.refuse("the directory "+t.dir+" does not exist", "make it first", nil)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, t.refuse("cannot look at it", "", err)
	}
	return info, nil
}

func (t *Target) checkOwner() error {
	if t.owner != ours {
		return t.refuse("this system has no file owners that could be set", "leave the owner out", nil)
	}
	return nil
}

func (t *Target) checkAccess(fs.FileInfo) error { return nil }

func (t *Target) keepOwner(fs.FileInfo, Options) {}

func mountPoint(string) bool { return false }

func readOnly(string) bool { return false }

func (t *Target) given(fs.FileInfo) bool { return true }

func (t *Target) owned(fs.FileInfo) bool { return true }

func (t *Target) mayBeOurs(fs.FileInfo) bool { return true }

// Without locks no leftover is ever taken for one.
func lock(*os.File) error { return nil }

func tryLock(*os.File) bool { return false }

func heldElsewhere(*os.File) bool { return false }

func endLock(*os.File) {}

// ownerOf returns nil: a file has no owner that could be set.
func ownerOf(fs.FileInfo) *Owner { return nil }

func syncDir(*os.Root) error { return nil }
