package walker

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadRegular returns the content of a regular file of at most limit bytes.
// Anything else is an error and never waited for: a pipe may have no writer, and
// a device no end. Errors are a [*fs.PathError], whose own error can be shown.
//
// (The reader of credentials is sources.ReadFile: the two rooms know nothing of
// each other, and what they share is these few lines.)
func ReadRegular(path string, limit int64) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: "read", Path: path, Err: err} }
	// Opening a device may do something, hence a look first.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return fail(notRegular(info))
	}
	// What it is may change before it is opened: not waiting for the writer of a
	// pipe makes that harmless.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return fail(notRegular(info))
	}
	if info.Size() > limit {
		return fail(tooLarge(limit))
	}
	data, err := readAll(io.LimitReader(f, limit+1), info.Size())
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit: // it grows, or has no size
		return fail(tooLarge(limit))
	}
	return data, nil
}

type tooLarge int64

func (limit tooLarge) Error() string {
	return fmt.Sprintf("it is larger than the limit of %d bytes", int64(limit))
}

const directory kindError = "a directory"

// kindError says what a file is that is not read.
type kindError string

func (what kindError) Error() string {
	return fmt.Sprintf("it is %s, and only regular files are read", string(what))
}

func notRegular(info fs.FileInfo) error {
	what := kindError("a device or another special file")
	switch info.Mode().Type() {
	case fs.ModeDir:
		what = directory
	case fs.ModeNamedPipe:
		what = "a named pipe"
	case fs.ModeSocket:
		what = "a socket"
	}
	return what
}
