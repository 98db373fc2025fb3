package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() { programs["killed-at"] = killedAt }

// changingCalls are the system calls that change something outside of the process.
var changingCalls = map[uint64]string{
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHOWN: "fchown", unix.SYS_FCHOWNAT: "fchownat", unix.SYS_LINKAT: "linkat",
	unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_OPENAT: "openat", unix.SYS_FLOCK: "flock", unix.SYS_SENDTO: "sendto", unix.SYS_CONNECT: "connect",
}

// killedAt runs a program and kills it with SIGKILL when it is about to make its
// nth change of a file, or its nth word to a server:
//
//	killed-at n program [argument...]
//
// It prints at which system call that was. Where the program comes to its end
// before, it ends with the program's status.
func killedAt() {
	nth, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	runtime.LockOSThread() // the one thread that may trace
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	pid := cmd.Process.Pid
	wait := func() (int, syscall.WaitStatus) {
		var ws syscall.WaitStatus
		for {
			got, err := syscall.Wait4(-1, &ws, unix.WALL, nil)
			if err != syscall.EINTR {
				return got, ws
			}
		}
	}
	_, _ = wait() // for the exec
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		panic(err)
	}
	_ = syscall.PtraceSyscall(pid, 0)
	inside := map[int]bool{} // the threads that are in a system call
	for n := 0; ; {
		tid, ws := wait()
		signal := 0
		switch {
		case tid == pid && ws.Exited():
			os.Exit(ws.ExitStatus())
		case tid == pid && ws.Signaled():
			os.Exit(128 + int(ws.Signal()))
		case tid <= 0:
			panic("nobody is left to wait for")
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
							fmt.Println("killed at", changingCalls[regs.Orig_rax])
							os.Exit(0)
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
