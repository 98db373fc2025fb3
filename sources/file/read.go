package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"bifrost-secrets/sources"
)

// opener opens files by name: an [os.Root], or everywhere.
type opener interface {
	Stat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// everywhere opens any file, for a path that stands in the settings.
type everywhere struct{}

func (everywhere) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (everywhere) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

// content is what a file held.
type content struct {
	data      []byte
	version   string
	encrypted bool
	exposed   fs.FileMode // the permissions where others may read the value in the file, else 0
}

// readFile reads a regular file of at most limit bytes, decrypted if need be.
// subject names it in errors, which are all an [sources.Error]: of kind NotFound
// if there is no such file.
func readFile(from opener, name, subject string, limit int64, ids identities) (content, error) {
	// Opening a socket fails obscurely and opening a device may do something,
	// hence a look first.
	info, err := from.Stat(name)
	if err != nil {
		return content{}, failure(subject, err)
	}
	if !info.Mode().IsRegular() {
		return content{}, notRegular(subject, info)
	}
	// What it is may change before it is opened: not waiting for the writer of a
	// pipe makes that harmless.
	f, err := from.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return content{}, failure(subject, err)
	}
	defer func() { _ = f.Close() }()
	// The time is taken before the bytes: of a file that is written meanwhile
	// the version is then too old, never too new, and the next Fetch differs.
	if info, err = f.Stat(); err != nil {
		return content{}, failure(subject, err)
	}
	if !info.Mode().IsRegular() {
		return content{}, notRegular(subject, info)
	}
	data, encrypted, err := plaintext(f, subject, limit, saysEncrypted(name), ids)
	if err != nil {
		return content{}, err
	}
	c := content{data: data, encrypted: encrypted, version: versionOf(info)}
	// Windows has access lists instead, and Go makes up a mode there.
	if perm := info.Mode().Perm(); perm&0o044 != 0 && !encrypted && runtime.GOOS != "windows" {
		c.exposed = perm
	}
	return c, nil
}

// failure puts an error of the file system into words.
func failure(subject string, err error) *sources.Error {
	e := &sources.Error{Err: err}
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e.Kind, e.Message = sources.NotFound, subject+" does not exist"
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Message = sources.Denied, "no permission to read "+subject
		e.Hint = fmt.Sprintf("see the owner and mode of it and of its folders; this process runs as user %d", os.Geteuid())
	case errors.Is(err, syscall.ENAMETOOLONG):
		e.Kind, e.Message = sources.BadName, subject+" has too long a name for a file"
	case errors.As(err, &errno):
		e.Kind, e.Message = sources.Unreachable, fmt.Sprintf("%s cannot be read: %v", subject, errno)
	case strings.HasSuffix(err.Error(), "path escapes from parent"): // package os keeps this error to itself
		e.Kind, e.Message = sources.Unusable, subject+" is a symbolic link out of that directory"
		e.Hint = "a link must be relative and stay inside; an absolute one is refused wherever it leads"
	default:
		e.Kind, e.Message = sources.Unreachable, subject+" cannot be read"
	}
	return e
}

func notRegular(subject string, info fs.FileInfo) error {
	return sources.NewError(sources.Unusable, fmt.Sprintf("%s is %s", subject, kindOf(info.Mode())), "only regular files are read")
}

// kindOf names what is not a regular file.
func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "a directory"
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	default:
		return "a device or another special file"
	}
}

func tooLarge(subject string, limit int64) error {
	return sources.NewError(sources.Unusable, fmt.Sprintf("%s is larger than the limit of %d bytes", subject, limit), "")
}
