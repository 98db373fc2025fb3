package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// changingCalls are the system calls that change something outside of the process.
var changingCalls = map[uint64]string{
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHOWN: "fchown", unix.SYS_FCHOWNAT: "fchownat", unix.SYS_LINKAT: "linkat",
	unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_OPENAT: "openat", unix.SYS_FLOCK: "flock", unix.SYS_SENDTO: "sendto", unix.SYS_CONNECT: "connect",
}

// killedAt runs a program in a folder and kills it with SIGKILL when it is about to
// make its nth change of a file, or its nth word to a server. It returns what the
// program printed, and at which system call it was killed; "" is none: the program
// came to its end before.
func killedAt(t *testing.T, dir string, env []string, n int, args ...string) (out, call string) {
	t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	call, status := traced(t, path, args, n, &syscall.ProcAttr{
		Dir: dir, Env: (&exec.Cmd{Dir: dir, Env: env}).Environ(), // the last of a name counts
		Files: []uintptr{stdin.Fd(), said.Fd(), said.Fd()},
		// In a group of its own, so that it can be waited for and no other child.
		Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	text, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	if call == "" && status != 0 {
		t.Fatalf("%v ended with %d\n%s", args, status, text)
	}
	return string(text), call
}

// traced runs a program until its nth change, and returns what it was killed at, or
// the status that it ended with. It is the test's own process that traces: a process in
// between would be started hundreds of times.
func traced(t *testing.T, path string, args []string, nth int, with *syscall.ProcAttr) (call string, status int) {
	t.Helper()
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // the one thread that may trace; it ends with its filter
		err := stopAtChanges()
		if err == nil {
			call, status, err = trace(path, args, nth, with)
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return call, status
}

// trace is traced on a thread whose children stop at changes. It starts the program as
// package os would, but for the record of what tests open: the thread may not write it.
func trace(path string, args []string, nth int, with *syscall.ProcAttr) (call string, status int, err error) {
	pid, _, err := syscall.StartProcess(path, args, with)
	if err != nil {
		return "", 0, err
	}
	wait := func() (int, syscall.WaitStatus) {
		var ws syscall.WaitStatus
		for {
			got, err := syscall.Wait4(-pid, &ws, unix.WALL, nil)
			if err != syscall.EINTR {
				return got, ws
			}
		}
	}
	_, _ = wait() // for the exec
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return "", 0, err
	}
	_ = syscall.PtraceCont(pid, 0)
	for n := 0; ; {
		tid, ws := wait()
		signal := 0
		switch {
		case tid == pid && ws.Exited():
			return "", ws.ExitStatus(), nil
		case tid == pid && ws.Signaled():
			return "", 128 + int(ws.Signal()), nil
		case tid <= 0:
			return "", 0, errors.New("nobody is left to wait for")
		case !ws.Stopped():
			continue
		case ws.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
			if n++; n < nth {
				break
			}
			var regs syscall.PtraceRegs
			err := syscall.PtraceGetRegs(tid, &regs)
			_ = syscall.Kill(pid, syscall.SIGKILL)
			for { // until all of its threads are gone
				if tid, ws := wait(); tid == pid && (ws.Exited() || ws.Signaled()) {
					return changingCalls[regs.Orig_rax], 0, err
				}
			}
		case ws.StopSignal() == syscall.SIGTRAP, ws.StopSignal() == syscall.SIGSTOP: // a new thread
		default:
			signal = int(ws.StopSignal())
		}
		_ = syscall.PtraceCont(tid, signal)
	}
}

// stopAtChanges has what this thread starts stop at those of changingCalls that are to
// be killed at: not what goes to the screen or wakes a thread, nor a file that is only
// opened to be read. A stop at every system call would be fifty times as many. The
// thread itself can make none of these calls any more.
func stopAtChanges() error {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equals = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		above  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		anyOf  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	argument := func(n uint32) unix.SockFilter { return unix.SockFilter{Code: load, K: 16 + 8*n} } // its lower half
	allow := unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ALLOW}
	stop := unix.SockFilter{Code: result, K: unix.SECCOMP_RET_TRACE}
	filter := []unix.SockFilter{
		{Code: load}, // the number of the call
		{Code: equals, K: unix.SYS_WRITE, Jf: 6},
		argument(0),
		{Code: above, K: 2, Jf: 2},
		argument(2),
		{Code: above, K: 8, Jt: 1},
		allow,
		stop,
		{Code: equals, K: unix.SYS_OPENAT, Jf: 4},
		argument(2),
		{Code: anyOf, K: unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC, Jt: 1},
		allow,
		stop,
	}
	for call := range changingCalls {
		if call != unix.SYS_WRITE && call != unix.SYS_OPENAT {
			filter = append(filter, unix.SockFilter{Code: equals, K: uint32(call), Jf: 1}, stop)
		}
	}
	filter = append(filter, allow)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, no := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); no != 0 {
		return fmt.Errorf("seccomp: %w", no)
	}
	return nil
}
