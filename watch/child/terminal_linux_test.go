package child

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { plays["shell"] = shell }

// shell runs a supervisor as a shell with job control does: in a group of its
// own in the foreground, and continues it there when it has stopped.
func shell([]string) {
	signal.Ignore(syscall.SIGTTOU)
	job := exec.Command(os.Args[0], "--", os.Args[0])
	job.Env = append(os.Environ(), playEnv+"=supervise")
	job.Stdin, job.Stdout, job.Stderr = os.Stdin, os.Stdout, os.Stderr
	job.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	if err := job.Start(); err != nil {
		fmt.Println(err)
		return
	}
	pid := job.Process.Pid
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err == unix.EINTR {
			continue
		}
		if !status.Stopped() {
			group, _ := unix.IoctlGetInt(0, unix.TIOCGPGRP)
			fmt.Println("shell: exit", status.ExitStatus(), "taken back", group == pid)
			return
		}
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
		fmt.Println("shell: stopped")
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, pid)
		_ = unix.Kill(-pid, unix.SIGCONT)
	}
}

// onTerminal starts a command on a terminal, of which the first end is returned.
func onTerminal(t *testing.T, cmd *exec.Cmd) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { slave.Close() })
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	return master
}

func keys(t *testing.T, master *os.File, keys string) {
	t.Helper()
	_, err := master.WriteString(keys)
	must(t, err)
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	t.Run("of a shell", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command(os.Args[0])
		master := onTerminal(t, cmd)
		s := launch(t, cmd, "shell", "record")
		s.want("ready")
		keys(t, master, "hello\n")
		s.want("read hello")
		keys(t, master, "\x03") // Ctrl-C
		s.want("interrupt")
		for range 3 {
			keys(t, master, "\x1a") // Ctrl-Z
			s.want("shell: stopped")
			keys(t, master, "again\n") // read as soon as it is in the foreground again
			line := s.next()
			for line == "shell: stopped" { // it may take a second fg
				line = s.next()
			}
			if line != "read again" {
				t.Fatalf("got %q", line)
			}
		}
		keys(t, master, "\x1c") // Ctrl-\
		s.want("quit")
		keys(t, master, "\x04") // Ctrl-D
		s.want("counts 0 1 1 0 0 0", "shell: exit 7 taken back true")
	})
	// As with docker run -it: there is no shell that could continue anything.
	t.Run("of a container", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command(os.Args[0], "--", os.Args[0])
		master := onTerminal(t, cmd)
		s := launch(t, cmd, "supervise", "record")
		s.want("ready")
		keys(t, master, "\x1a\x03")
		s.want("interrupt")
		keys(t, master, "hello\n")
		s.want("read hello")
		keys(t, master, "\x04")
		s.want("counts 0 1 0 0 0 0")
		if got := s.code(); got != 7 {
			t.Errorf("got %d, want 7", got)
		}
	})
}
