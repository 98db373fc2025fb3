package file

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

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
func readFile(from regular.Files, name, subject string, limit int64, ids identities) (content, error) {
	// The time is taken before the bytes: of a file that is written meanwhile
	// the version is then too old, never too new, and the next Fetch differs.
	f, info, err := regular.OpenFile(from, name)
	if err != nil {
		return content{}, failure(subject, err)
	}
	defer func() { _ = f.Close() }()
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

// failure puts an error of the file system into words. What is in words already
// stays as it is.
func failure(subject string, err error) *sources.Error {
	var e *sources.Error
	if errors.As(err, &e) {
		return e
	}
	e = &sources.Error{Err: err}
	var errno syscall.Errno
	var what regular.NotRegular
	switch {
	case errors.As(err, &what):
		return notRegular(subject, what)
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

func notRegular(subject string, what regular.NotRegular) *sources.Error {
	return sources.NewError(sources.Unusable, subject+" is "+string(what), "only regular files are read")
}

func tooLarge(subject string, limit int64) error {
	return sources.NewError(sources.Unusable, fmt.Sprintf("%s is larger than the limit of %d bytes", subject, limit), "")
}

// exposure warns of files that others may read, of each once.
type exposure struct {
	warn  func(string)
	mu    sync.Mutex
	known map[string]fs.FileMode
}

// report warns, in one line, of those files in dir that others may read and
// that it did not warn of before, or not with that mode. modes has the files
// just read: with their permissions where others may read them, and with 0 where
// not, which makes report warn again should that change back.
func (e *exposure) report(noun, dir string, modes map[string]fs.FileMode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known == nil {
		e.known = make(map[string]fs.FileMode)
	}
	const shown = 3
	var count int
	var list []string
	for _, name := range slices.Sorted(maps.Keys(modes)) {
		mode, key := modes[name], noun+"\x00"+dir+"\x00"+name
		if mode == e.known[key] {
			continue
		}
		e.known[key] = mode
		if mode == 0 {
			continue
		}
		if count++; count <= shown {
			list = append(list, fmt.Sprintf("%q (mode %04o)", name, mode))
		}
	}
	if count == 0 {
		return
	}
	if count > shown {
		list = append(list, "...")
	}
	if count > 1 {
		noun += "s"
	}
	e.warn(fmt.Sprintf("%d %s in %s may be read by others: %s", count, noun, dir, strings.Join(list, ", ")))
}
