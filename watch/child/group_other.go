//go:build unix && !linux

package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithUs does nothing: these systems have no such thing.
func dieWithUs(*syscall.SysProcAttr) {}

// killGroup does nothing: the child is in our own group.
func killGroup(int) {}

// endGroup does nothing, for the same reason.
func (*Process) endGroup() {}

// momentary are the signals that are passed on to a process that is there, and
// dropped where there is none. Those of a terminal go to the whole group by
// themselves.
func momentary() []os.Signal { return []os.Signal{syscall.SIGALRM} }

// sentByTerminal reports whether the child, which is in our group, has a signal
// from the terminal already.
func sentByTerminal(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// terminal is left to the group that the child shares with us.
type terminal struct{}

func (*terminal) open(*syscall.SysProcAttr) {}
func (*terminal) handed()                   {}
func (*terminal) takeBack(int)              {}
func (*terminal) close()                    {}

// awaitEnd leaves it to Wait.
func (p *Process) awaitEnd() {}
