// Package regular reads regular files, and never waits for anything else: a pipe may
// have no writer, and a device no end.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Files opens files by name, as an [*os.Root] does.
type Files interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// Anywhere is [Files] as package os opens them.
type Anywhere struct{}

// Stat implements [Files].
func (Anywhere) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// OpenFile implements [Files].
func (Anywhere) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// OpenFile opens a regular file for reading, and returns what it is. Anything
// else is an error: a pipe may have no writer, and a device no end. Opening never
// waits. Errors are a [*fs.PathError], whose own error can be shown.
func OpenFile(from Files, path string) (*os.File, fs.FileInfo, error) {
	fail := func(err error) (*os.File, fs.FileInfo, error) {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	// Opening a socket fails obscurely and opening a device may do something,
	// hence a look first.
	info, err := from.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return fail(KindOfFile(info))
	}
	// What it is may change before it is opened: not waiting for the writer of a
	// pipe makes that harmless.
	f, err := from.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = KindOfFile(info)
	}
	if err != nil {
		_ = f.Close()
		return fail(err)
	}
	return f, info, nil
}

// ReadFile returns the content of a regular file of at most limit bytes, and what
// the file is. Its errors are like those of [OpenFile].
func ReadFile(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, info, err := OpenFile(Anywhere{}, path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > limit {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: tooLarge(limit)}
	}
	data := make([]byte, 0, info.Size()+1)
	for { // some files, as those of /proc, have no size
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, nil, &fs.PathError{Op: "read", Path: path, Err: tooLarge(limit)}
		case err == io.EOF:
			return data, info, nil
		case err != nil:
			return nil, nil, err
		}
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}

// CheckFile returns the error that [ReadFile] would for a file that a library is
// about to read by itself, without a limit. One that is not there, or that may not
// be read, is left to the library, and so is the null device, by which people say
// that there is to be none.
func CheckFile(path string, limit int64) error {
	info, err := os.Stat(path)
	null, noNull := os.Stat(os.DevNull)
	switch {
	case err != nil, noNull == nil && os.SameFile(info, null):
		return nil
	case !info.Mode().IsRegular():
		return &fs.PathError{Op: "open", Path: path, Err: KindOfFile(info)}
	case info.Size() > limit:
		return &fs.PathError{Op: "read", Path: path, Err: tooLarge(limit)}
	}
	return nil
}

// ErrTooLarge is the cause where a file is larger than a limit.
var ErrTooLarge = errors.New("larger than the limit")

func tooLarge(limit int64) error {
	return fmt.Errorf("it is %w of %d bytes", ErrTooLarge, limit)
}

// Cause returns what the system said, without the path, which the message names
// itself or must not show.
func Cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// NotRegular says what a file is that is not read: `a directory`.
type NotRegular string

// Error implements error.
func (n NotRegular) Error() string {
	return "it is " + string(n) + ", and only regular files are read"
}

// Directory is what a directory is.
const Directory NotRegular = "a directory"

// KindOfFile returns what a file is that is no regular one.
func KindOfFile(info fs.FileInfo) NotRegular {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return Directory
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device or another special file"
}
