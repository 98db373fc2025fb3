package publish

import (
	"errors"
	"os"
)

// ErrLocked is the error of [Lock] where another process has the lock.
var ErrLocked = errors.New("locked by another process")

// Lock locks a file that is there until unlock is called. The file that stands at path
// when it returns is the one that is locked: whoever held the lock before may have
// replaced it. Where the system or the file system knows no locks, there is none.
func Lock(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, openRead, 0)
		if err != nil {
			return nil, err
		}
		if heldElsewhere(f) {
			_ = f.Close()
			return nil, ErrLocked
		}
		held, err1 := f.Stat()
		now, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(held, now) {
			return func() {
				// A program that is being started has every open file of ours until it runs;
				// closing alone would leave the lock to it.
				endLock(f)
				_ = f.Close()
			}, nil
		}
		_ = f.Close()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
}
