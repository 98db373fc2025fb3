//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stallingLogger is a program that is stopped as a whole while it writes its first line,
// as one is that gets no processor, and then ends.
func stallingLogger() {
	l := &logLines{w: &stalling{}}
	fmt.Fprintln(l, "one")
	fmt.Fprintln(l, "two")
	l.Finish(logPatience)
}

type stalling struct{ stopped bool }

func (s *stalling) Write(line []byte) (int, error) {
	if !s.stopped {
		s.stopped = true
		goesOn := make(chan os.Signal, 1)
		signal.Notify(goesOn, syscall.SIGCONT)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // which another thread may take a little later
		<-goesOn
	}
	return os.Stdout.Write(line)
}

// Time that the program had no part in is none in which its reader has stood still.
func TestLogLinesOfAStoppedProgram(t *testing.T) {
	t.Parallel()
	for range 2 {
		var said strings.Builder
		cmd := exec.Command("stalling-logger")
		cmd.Stdout = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatal(err, status)
		}
		time.Sleep(2 * logPatience) // that it is stopped for longer than it waits is what is tested
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || said.String() != "one\ntwo\n" {
			t.Errorf("%v: it wrote %q", err, said.String())
		}
	}
}
