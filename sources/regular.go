package sources

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// OpenFile opens a regular file for reading, and returns what it is. Anything
// else is an error: a pipe may have no writer, and a device no end. Opening never
// waits. Errors are a [*fs.PathError], whose own error can be shown.
func OpenFile(path string) (*os.File, fs.FileInfo, error) {
	fail := func(err error) (*os.File, fs.FileInfo, error) {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	// Opening a socket fails obscurely and opening a device may do something,
	// hence a look first.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return fail(notRegular(info))
	}
	// What it is may change before it is opened: not waiting for the writer of a
	// pipe makes that harmless.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = notRegular(info)
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
	f, info, err := OpenFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, 0, min(info.Size(), limit)+1)
	for { // some files, as those of /proc, have no size
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return nil, nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than the limit of %d bytes", limit)}
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
		return &fs.PathError{Op: "open", Path: path, Err: notRegular(info)}
	case info.Size() > limit:
		return &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than the limit of %d bytes", limit)}
	}
	return nil
}

// notRegular says what a file is that is not read.
func notRegular(info fs.FileInfo) error {
	what := "a device or another special file"
	switch info.Mode().Type() {
	case fs.ModeDir:
		what = "a directory"
	case fs.ModeNamedPipe:
		what = "a named pipe"
	case fs.ModeSocket:
		what = "a socket"
	}
	return fmt.Errorf("it is %s, and only regular files are read", what)
}
