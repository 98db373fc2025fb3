//go:build unix

package control

import (
	"io/fs"
	"os"
	"syscall"
)

// foreignOwner returns the owner of a file, and reports whether that is neither
// this process's user nor root.
func foreignOwner(info fs.FileInfo) (uid int, foreign bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), st.Uid != 0 && int(st.Uid) != os.Geteuid()
}
