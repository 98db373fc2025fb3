//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// otherOwner returns the owner of a file, and reports whether that is neither
// this process's user nor root.
func otherOwner(info fs.FileInfo) (uid int, other bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), st.Uid != 0 && int(st.Uid) != os.Geteuid()
}
