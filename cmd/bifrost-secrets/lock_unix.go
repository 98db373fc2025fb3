//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"bifrost-secrets/render/publish"

	"golang.org/x/sys/unix"
)

var errLocked = errors.New("locked by another process")

// lockFile locks a file until it is closed. The file that stands at path when it
// returns is the one that is locked: whoever held the lock before may have
// replaced it.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, errLocked
		}
		held, err1 := f.Stat()
		now, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, now) {
			return f, nil // where the file system knows no locks, there is none
		}
		_ = f.Close()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
}

// ownerOf returns the owner of a file, for its successor. A file of our own needs
// none: to set it takes a right that we may lack.
func ownerOf(info fs.FileInfo) *publish.Owner {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() && int(st.Gid) == os.Getegid() {
		return nil
	}
	return &publish.Owner{UID: int(st.Uid), GID: int(st.Gid)}
}
