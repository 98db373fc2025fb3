package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestForwardsOnce(t *testing.T) {
	t.Parallel()
	asFirst(t, func(t *testing.T, first bool) {
		s := supervised(t, first, nil, "record")
		s.want("ready")
		pid := s.pid(first)
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1} {
			must(t, syscall.Kill(pid, sig))
			s.want(sig.String())
		}
		must(t, syscall.Kill(pid, syscall.SIGHUP))
		s.want("flush")
		for _, sig := range others {
			must(t, syscall.Kill(pid, sig.(syscall.Signal)))
			s.want(sig.String())
		}
		must(t, syscall.Kill(pid, syscall.SIGUSR2))
		s.want("user defined signal 2")
		s.stdin.Close()
		s.want("counts 0 1 1 1 1 1")
		if got := s.code(); got != 7 {
			t.Errorf("got %d, want 7", got)
		}
	})
}

// Without a terminal there is no job control that SIGTSTP would be for.
func TestForwardsStop(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "--", os.Args[0], "stoppable")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	s := launch(t, cmd, "supervise", "record")
	s.want("ready")
	must(t, syscall.Kill(s.cmd.Process.Pid, syscall.SIGUSR1)) // waits for the process; SIGTSTP would be dropped until it is known
	s.want("user defined signal 1")
	must(t, syscall.Kill(s.cmd.Process.Pid, syscall.SIGTSTP))
	s.want("stopped")
	s.stdin.Close()
	s.want("counts 0 0 0 0 1 0")
}

// A whole group is signalled, by timeout(1) or a supervisor of ours.
func TestGroupSignalArrivesOnce(t *testing.T) {
	t.Parallel()
	s := launch(t, inGroup(os.Args[0], "--", os.Args[0]), "supervise", "record")
	s.want("ready")
	must(t, syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM))
	s.want("terminated")
	must(t, syscall.Kill(-s.cmd.Process.Pid, syscall.SIGUSR1))
	s.want("user defined signal 1")
	s.stdin.Close()
	s.want("counts 0 0 0 1 1 0")
}

// Not parallel: it sends signals to this very process.
func TestForwardOverARestart(t *testing.T) {
	seen := make(chan os.Signal, 10)
	f := Forward(func(sig os.Signal) bool { seen <- sig; return true })
	defer f.Close()
	send := func(sig syscall.Signal) {
		t.Helper()
		must(t, syscall.Kill(os.Getpid(), sig))
		if got := <-seen; got != sig {
			t.Fatalf("saw %v, want %v", got, sig)
		}
	}
	// Before the first start signals wait, each once, but for those that mean nothing
	// to a process that is not there yet, and could end it.
	send(syscall.SIGALRM)
	send(syscall.Signal(lastRealTime))
	send(syscall.SIGUSR1)
	send(syscall.SIGUSR1)
	first := start(t, "record", time.Hour)
	f.To(first.Process)
	first.want("user defined signal 1")

	// While it is exchanged the new one gets them.
	f.To(nil)
	send(syscall.SIGTERM)
	go first.Stop(context.Background())
	first.want("terminated")
	first.wantCounts("0 0 0 1 1 0")
	second := start(t, "record", time.Hour)
	f.To(second.Process)
	second.want("terminated")

	// It has ended by itself, and nobody has noticed yet.
	second.wantCounts("0 0 0 1 0 0")
	send(syscall.SIGUSR2)
	third := start(t, "record", time.Hour)
	f.To(third.Process)
	third.want("user defined signal 2")

	// Signals while two are exchanged all the time: each arrives at one of them.
	fourth := start(t, "record", time.Hour)
	const signals = 100
	arrived := make(chan string, 2*signals)
	counted := make(chan struct{}, 2)
	for _, p := range []*started{third, fourth} {
		go func() {
			defer func() { counted <- struct{}{} }()
			for {
				line, err := p.in.ReadString('\n')
				if err != nil || line != "user defined signal 1\n" {
					arrived <- line
					return
				}
				arrived <- ""
			}
		}()
	}
	swap, swapped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swapped)
		for {
			for _, p := range []*Process{third.Process, nil, fourth.Process, nil} {
				f.To(p)
			}
			select {
			case <-swap:
				f.To(fourth.Process)
				return
			default:
			}
		}
	}()
	for i := range signals {
		send(syscall.SIGUSR1)
		if line := <-arrived; line != "" {
			t.Fatalf("got %q in place of signal %d", line, i)
		}
	}
	close(swap)
	<-swapped
	third.stdin.Close()
	fourth.stdin.Close()
	total := 0
	for range 2 {
		var ones [6]int
		line := <-arrived
		_, err := fmt.Sscanf(line, "counts %d %d %d %d %d %d", &ones[0], &ones[1], &ones[2], &ones[3], &ones[4], &ones[5])
		if err != nil {
			t.Fatalf("got %q: %v", line, err)
		}
		total += ones[4]
		<-counted
	}
	if total != signals {
		t.Errorf("%d signals arrived, want %d", total, signals)
	}
}
