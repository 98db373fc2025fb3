package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

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
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, said, said
	call, status := traced(t, cmd, n)
	text, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	if call == "" && status != 0 {
		t.Fatalf("%v ended with %d\n%s", args, status, text)
	}
	return string(text), call
}

// traced runs cmd until its nth change, and returns what it was killed at, or the
// status that it ended with. It is the test's own process that traces: a process in
// between would be started hundreds of times.
func traced(t *testing.T, cmd *exec.Cmd, nth int) (call string, status int) {
	t.Helper()
	runtime.LockOSThread() // the one thread that may trace
	defer runtime.UnlockOSThread()
	// In a group of its own, so that it can be waited for and no other child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() { _ = cmd.Process.Release() }()
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
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	_ = syscall.PtraceSyscall(pid, 0)
	inside := map[int]bool{} // the threads that are in a system call
	for n := 0; ; {
		tid, ws := wait()
		signal := 0
		switch {
		case tid == pid && ws.Exited():
			return "", ws.ExitStatus()
		case tid == pid && ws.Signaled():
			return "", 128 + int(ws.Signal())
		case tid <= 0:
			t.Fatal("nobody is left to wait for")
		case !ws.Stopped():
			continue
		case ws.StopSignal() == syscall.SIGTRAP|0x80:
			inside[tid] = !inside[tid]
			var regs syscall.PtraceRegs
			if inside[tid] && syscall.PtraceGetRegs(tid, &regs) == nil && changes(&regs) {
				if n++; n == nth {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					for { // until all of its threads are gone
						if tid, ws := wait(); tid == pid && (ws.Exited() || ws.Signaled()) {
							return changingCalls[regs.Orig_rax], 0
						}
					}
				}
			}
		case ws.StopSignal() == syscall.SIGTRAP, ws.StopSignal() == syscall.SIGSTOP: // a new thread
		default:
			signal = int(ws.StopSignal())
		}
		_ = syscall.PtraceSyscall(tid, signal)
	}
}

// changes reports whether a system call is one to be killed at: not what goes to
// the screen or wakes a thread, nor a file that is only opened to be read.
func changes(regs *syscall.PtraceRegs) bool {
	switch regs.Orig_rax {
	case unix.SYS_WRITE:
		return regs.Rdi > 2 && regs.Rdx > 8
	case unix.SYS_OPENAT:
		return regs.Rdx&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC) != 0
	}
	return changingCalls[regs.Orig_rax] != ""
}
