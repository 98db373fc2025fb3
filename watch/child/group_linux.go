package child

import (
	"bytes"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dieWithUs has the kernel kill the child when we end without stopping it.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// killGroup kills a child's group, which has the number of the child.
func killGroup(pid int) { _ = unix.Kill(-pid, unix.SIGKILL) }

const (
	// killWait is how long those who were killed are waited for.
	killWait = time.Second
	// deafWait is how long those who ignore SIGTERM have where nobody else is left: their
	// standard input has ended, which some of them go by.
	deafWait = time.Second
	// leftWait is the stop timeout of those whom a process has left that ended by itself:
	// its place is empty until they are gone.
	leftWait = 2 * time.Second
)

// endGroup asks those to end whom an ended process has left in its group, and waits
// for them: a script that runs its program without exec ends alone, and the program
// would go on with what it was started with, and with its port. They have what is left
// of the stop timeout. The process is still to be waited for, so that its number is
// nobody else's.
func (p *Process) endGroup() {
	left := members(p.PID(), nil)
	if len(left) == 0 {
		return
	}
	p.mu.Lock()
	if p.asked || p.stopping {
		p.hurry(p.stopTimeout)
	} else {
		p.hurry(min(p.stopTimeout, leftWait))
	}
	p.mu.Unlock()
	asked := time.Now()
	_ = unix.Kill(-p.PID(), unix.SIGTERM)
	_ = unix.Kill(-p.PID(), unix.SIGCONT)
	for wait := time.Millisecond; len(left) > 0; wait = min(2*wait, 50*time.Millisecond) {
		p.mu.Lock()
		killed := p.killed
		p.mu.Unlock()
		switch {
		case !killed.IsZero() && time.Since(killed) > killWait:
			return
		case killed.IsZero() && time.Since(asked) > deafWait && !slices.ContainsFunc(left, hears):
			p.kill()
		}
		time.Sleep(wait)
		if left = members(p.PID(), left); len(left) == 0 { // unless one has started another
			left = members(p.PID(), nil)
		}
	}
}

// hears reports whether a process does not ignore SIGTERM, or cannot be looked at.
func hears(pid string) bool {
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	_, line, _ := bytes.Cut(status, []byte("SigIgn:\t"))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	ignored, err := strconv.ParseUint(string(line), 16, 64)
	return err != nil || ignored>>(unix.SIGTERM-1)&1 == 0
}

// members returns those of a group, of some or of all processes, that have not ended.
// Without a /proc of ours there are none.
func members(group int, of []string) (pids []string) {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return nil
	}
	if of == nil {
		dir, err := os.Open("/proc")
		if err != nil {
			return nil
		}
		defer dir.Close()
		of, _ = dir.Readdirnames(-1)
	}
	for _, pid := range of {
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		// Behind the name, which may be anything: the state, the parent and the group.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(group) && string(fields[0]) != "Z" && string(fields[0]) != "X" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// sentByTerminal is never so: the terminal's signals reach one group only.
func sentByTerminal(os.Signal) bool { return false }

// The real-time signals that are passed on. Those before are used by the C libraries
// themselves (SIGRTMIN, which is 34, by musl), and Go leaves them to them.
const firstRealTime, lastRealTime = 35, 64

// momentary are the signals that are passed on to a process that is there, and
// dropped where there is none. Where there is a controlling terminal, SIGTSTP and
// SIGCONT are left to its job control: a SIGCONT that is passed on late would wake a
// child that was stopped again meanwhile.
func momentary() []os.Signal {
	all := []os.Signal{syscall.SIGWINCH, syscall.SIGALRM}
	for n := firstRealTime; n <= lastRealTime; n++ {
		all = append(all, syscall.Signal(n))
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return append(all, syscall.SIGTSTP, syscall.SIGCONT)
	}
	_ = unix.Close(fd)
	return all
}

// terminal is our controlling terminal, if we have one.
type terminal struct {
	fd int // 0 means none: that one is taken by the standard input
}

// open makes the child the leader of a group, in the foreground if we are.
func (t *terminal) open(attr *syscall.SysProcAttr) {
	attr.Setpgid = true
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return
	}
	t.fd = fd
	signal.Reset(syscall.SIGTTOU) // not for the child
	if t.foreground() == unix.Getpgrp() {
		attr.Foreground, attr.Ctty = true, fd
	}
}

// handed is called when the child was started. From here on our own writes to
// the terminal, and taking it back, come from the background, and must not stop
// us.
func (t *terminal) handed() {
	if t.fd != 0 {
		signal.Ignore(syscall.SIGTTOU)
	}
}

func (t *terminal) close() {
	if t.fd != 0 {
		_ = unix.Close(t.fd)
	}
}

// foreground returns the group in the foreground, and 0 if there is none.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

func (t *terminal) give(group int) { _ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) }

// takeBack puts our group in the foreground where the child's was.
func (t *terminal) takeBack(pid int) {
	if t.fd != 0 && t.foreground() == pid {
		t.give(unix.Getpgrp())
	}
}

// stopped does what a shell's job control needs when the child's group was
// stopped: our group stops too, so that the shell takes over, and the child goes
// on when we do.
func (t *terminal) stopped(pid int, by syscall.Signal) {
	if t.fd == 0 || by == unix.SIGSTOP { // somebody wants just this process to stand still
		return
	}
	ours := unix.Getpgrp()
	if by == unix.SIGTSTP || t.foreground() != ours {
		_ = unix.Kill(0, unix.SIGTSTP)
		// The one above may be taken by another thread in its own time; this one
		// stops us before the call returns, at worst a second time. Linux drops
		// both where no shell is left that could continue us, as in a container.
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTSTP)
	}
	if t.foreground() == ours {
		t.give(pid)
	}
	_ = unix.Kill(-pid, unix.SIGCONT)
}

// childInfo is a siginfo_t as waitid(2) fills it.
type childInfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0)) - 4]byte // the rest is aligned as pointers are
	pid                int32
	uid                uint32
	status             int32
}

// stoppedCode is CLD_STOPPED.
const stoppedCode = 5

// awaitEnd returns when the process has ended and is still to be waited for.
func (p *Process) awaitEnd() {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.PID(), &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || info.Code != stoppedCode {
			return
		}
		// Take this news, and only this: it may have gone on, or ended, meanwhile.
		info = unix.Siginfo{}
		err = unix.Waitid(unix.P_PID, p.PID(), &info, unix.WSTOPPED|unix.WNOHANG, nil)
		if err == nil && info.Code == stoppedCode {
			p.terminal.stopped(p.PID(), syscall.Signal((*childInfo)(unsafe.Pointer(&info)).status))
		}
	}
}
