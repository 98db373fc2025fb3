//go:build unix

package porttest

import (
	"runtime"
	"syscall"
)

// Keep returns a port that the system hands out to nobody else until release is called,
// while whoever names it can listen on it, as servers do (with SO_REUSEADDR), and again
// after a stop. Nobody listens there before. On other systems than Linux the port is
// only free.
func Keep() (port int, release func(), err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return 0, nil, err
	}
	release = func() { _ = syscall.Close(fd) }
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at syscall.Sockaddr
	if err == nil {
		at, err = syscall.Getsockname(fd)
	}
	if err != nil {
		release()
		return 0, nil, err
	}
	if runtime.GOOS != "linux" { // a second one could not have it
		release()
		release = func() {}
	}
	return at.(*syscall.SockaddrInet4).Port, release, nil
}
