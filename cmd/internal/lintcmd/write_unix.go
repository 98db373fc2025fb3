//go:build unix

package lintcmd

import (
	"os"
	"syscall"
)

// keepOwner makes a new file belong to the owner of the one that it replaces.
func keepOwner(temp *os.File, like os.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := temp.Stat()
	if err != nil {
		return err
	}
	if has, ok := info.Sys().(*syscall.Stat_t); ok && has.Uid == want.Uid && has.Gid == want.Gid {
		return nil
	}
	return temp.Chown(int(want.Uid), int(want.Gid))
}
