//go:build unix

package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// peerWait is how long something that may listen on a socket has to show it.
const peerWait = time.Second

// pathMax is how long a path the kernel takes; a longer one could be bound, in
// the way that it is done here, and never connected to.
const pathMax = len(syscall.RawSockaddrUnix{}.Path) - 1

// socket is a listener on a unix socket that takes its file away when it is
// closed, and no other's.
type socket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
	once sync.Once
}

// listenSocket binds a socket that only its owner, and root, can connect to. A
// file that a dead process left is replaced; one that somebody listens on, and
// what is no socket, is left alone.
func listenSocket(path string) (net.Listener, error) {
	what := "--listen unix:" + path
	if path == "" {
		return nil, &Error{Reason: "--listen unix: names no file", Hint: "write --listen unix:/run/bifrost-secrets/control.sock"}
	}
	if path[0] == '@' {
		return nil, &Error{Reason: what + ": an abstract socket has no mode that would keep others out", Hint: "take a path: --listen unix:/run/bifrost-secrets/control.sock"}
	}
	dir := filepath.Dir(path)
	if len(path) > pathMax {
		return nil, socketError(what, dir, syscall.EINVAL)
	}
	unlock, err := lock(filepath.Join(dir, "."+filepath.Base(path)+".lock"), lockWait)
	if err != nil {
		return nil, socketError(what, dir, err)
	}
	defer unlock()
	if err := vacant(what, path); err != nil {
		return nil, err
	}
	// Between bind and chmod a socket has the mode that the umask leaves. Nobody
	// gets at it there in a folder of ours, and it is moved with its mode.
	private, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, socketError(what, dir, err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	bound := filepath.Join(private, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, socketError(what, dir, err)
	}
	ln.SetUnlinkOnClose(false)
	s := &socket{UnixListener: ln, path: path}
	if err = os.Chmod(bound, 0o600); err == nil {
		s.made, err = os.Lstat(bound)
	}
	if err == nil {
		err = os.Rename(bound, path)
	}
	if err != nil {
		_ = ln.Close()
		return nil, socketError(what, dir, err)
	}
	return s, nil
}

// lockWait is how long to wait for another process that sets up the same socket,
// which takes it no time unless it has been stopped.
const lockWait = 10 * time.Second

var (
	errStarting = errors.New("another process is setting up that socket, and does not get done")
	errNotOurs  = errors.New("the lock beside it belongs to somebody else")
)

// lock keeps two processes that start at once from both finding a socket without
// a listener. It is a file of its own for each socket, which nobody else can open,
// and so hold; it goes with the lock. The kernel ends the lock with the process.
func lock(path string, wait time.Duration) (unlock func(), err error) {
	for late := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		ours, err := f.Stat()
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if st, ok := ours.Sys().(*syscall.Stat_t); !ours.Mode().IsRegular() || ok && int(st.Uid) != os.Geteuid() {
			_ = f.Close()
			return nil, errNotOurs
		}
		// Not every file system has locks; without one, the last to start wins.
		held := errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
		// Who had it before has taken it away, and another may stand there.
		if now, err := os.Lstat(path); !held && err == nil && os.SameFile(ours, now) {
			return func() {
				_ = os.Remove(path)
				_ = f.Close()
			}, nil
		}
		_ = f.Close()
		if time.Now().After(late) {
			return nil, errStarting
		}
	}
}

// vacant checks that path may be replaced.
func vacant(what, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return socketError(what, filepath.Dir(path), err)
	case info.Mode().Type() != fs.ModeSocket:
		return &Error{Reason: what + ": there is a file of that name, and it is no socket", Hint: "take another name, or remove the file"}
	}
	conn, err := net.DialTimeout("unix", path, peerWait)
	switch {
	case err == nil:
		_ = conn.Close()
		return &Error{Reason: what + ": something else listens there", Hint: "stop it, or take another path"}
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return &Error{Reason: what + ": there is a socket of somebody else's", Hint: "stop what listens there, or take another path", Err: err}
}

func socketError(what, dir string, err error) *Error {
	switch {
	case errors.Is(err, errStarting):
		return &Error{Reason: what + ": " + errStarting.Error(), Hint: "see which process has its lock: fuser " + dir + "/.*.lock", Err: err}
	case errors.Is(err, errNotOurs), errors.Is(err, syscall.ELOOP):
		return &Error{Reason: what + ": " + errNotOurs.Error(), Hint: "take a folder that only this user can write to", Err: err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &Error{Reason: what + ": there is no folder " + dir, Hint: "make it, for the user that this process runs as", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &Error{
			Reason: what + ": no permission to make a socket in " + dir, Err: err,
			Hint: fmt.Sprintf("see its owner and mode; this process runs as user %d", os.Geteuid()),
		}
	case errors.Is(err, syscall.EINVAL):
		return &Error{Reason: what + ": the path is too long for a socket", Hint: "take one of at most 90 bytes", Err: err}
	}
	return cannotListen(what, err)
}

// Close ends the listener and removes its file, if it still is ours.
func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
