package file

import (
	"os"
	"syscall"
)

// The thousands of files of these tests are in memory where there is room, unless TMPDIR
// says where they are to be: what a disk loses when a system goes down is not tried here.
func init() {
	const memory, tmpfs = "/dev/shm", 0x01021994
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs(memory, &fs) == nil && fs.Type == tmpfs && fs.Bavail*uint64(fs.Bsize) > 1<<30 {
		_ = os.Setenv("TMPDIR", memory)
	}
}
