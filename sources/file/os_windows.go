package file

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// lock takes the lock of a file, and reports whether it could: false means that
// another process has it. It lasts until the file is closed.
func lock(f *os.File) (taken bool, err error) {
	const how = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// like does nothing: who may use a file is inherited from its directory.
func like(*os.File, fs.FileInfo) error { return nil }

// syncDir does nothing: Windows syncs no directories.
func syncDir(*os.Root, string) error { return nil }

func readOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
func noSpace(err error) bool  { return errors.Is(err, windows.ERROR_DISK_FULL) }
func busy(err error) bool     { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }
