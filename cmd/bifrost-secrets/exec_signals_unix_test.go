//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// slowChild stands for a Bifrost that takes its time to end. It says that it runs,
// and with which status it ends: 5 for SIGTERM and 6 for SIGINT.
func slowChild() {
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("start", os.Getpid())
	code := 5
	if sig := <-got; sig == syscall.SIGINT {
		code = 6
	}
	time.Sleep(150 * time.Millisecond) // the child is slow, and not the test
	fmt.Println("end", os.Getpid(), code)
	os.Exit(code)
}

// heard is what the children of one run have printed.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
	came chan struct{} // at the first line
	once sync.Once
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.once.Do(func() { close(h.came) })
	return h.text.Write(b)
}

// A signal that comes at any moment of a rotation by restart ends exec with the
// status of its child, and nothing of it stays. BIFROST_SIGNAL_RUNS is how
// often that is tried.
func TestExecUnderSignals(t *testing.T) {
	starts(t)
	t.Parallel()
	runs := 12
	if n, err := strconv.Atoi(os.Getenv("BIFROST_SIGNAL_RUNS")); err == nil {
		runs = n
	}
	var mu sync.Mutex
	outcomes := map[string]int{}
	t.Run("runs", func(t *testing.T) {
		for i := range runs {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				seed := rand.Uint64()
				what := signalRun(t, rand.New(rand.NewPCG(seed, 0)))
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
				mu.Lock()
				defer mu.Unlock()
				outcomes[what]++
			})
		}
	})
	t.Logf("%d runs: %v", runs, outcomes)
}

// signalRun makes one run, and returns what came of it.
func signalRun(t *testing.T, draw *rand.Rand) string {
	s := newHarness(t)
	sig := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[draw.IntN(2)]
	again := draw.IntN(4) == 0
	at := time.Duration(draw.IntN(400)) * time.Millisecond
	said, log := &heard{came: make(chan struct{})}, &heard{came: make(chan struct{})}
	cmd := exec.Command("bifrost-secrets", "exec", "--app-dir", s.app, "--listen", "none", "--apply", "restart",
		"--restart-settle", "0s", "--", "slow-child")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, said, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Who kept the pipes open would be an orphan: Wait ends when nobody does.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	late := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	select {
	case <-said.came:
	case err := <-ended:
		t.Fatalf("it ended by itself: %v: %s", err, log.text.String())
	}
	s.put("openai", "CANARY-2")
	time.Sleep(at) // the moment is what is drawn
	_ = cmd.Process.Signal(sig)
	if again {
		time.Sleep(time.Duration(draw.IntN(100)) * time.Millisecond)
		_ = cmd.Process.Signal(sig)
	}
	<-ended
	if !late.Stop() {
		t.Errorf("%v after %v: it does not end, or its child: %s\n%s", sig, at, said.text.String(), log.text.String())
	}
	// The status of the last child, which may have had no time to catch the signal.
	last, code := "", -1
	for line := range strings.Lines(said.text.String()) {
		words := strings.Fields(line)
		switch words[0] {
		case "start":
			last, code = words[1], -1
		case "end":
			if words[1] == last {
				code, _ = strconv.Atoi(words[2])
			}
		}
		if pid, err := strconv.Atoi(words[1]); err == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			t.Errorf("%v after %v: the child %d is still there", sig, at, pid)
		}
	}
	got := cmd.ProcessState.ExitCode()
	if got != code && (code != -1 || got != 128+int(syscall.SIGTERM) && got != 128+int(sig)) {
		// A child that was started and killed before it said so has the signal's status.
		if got != 128+int(sig) && got != 128+int(syscall.SIGTERM) || !strings.Contains(log.text.String(), "restarted Bifrost") {
			t.Errorf("%v after %v: it ended with %d, its last child with %d: %s\n%s", sig, at, got, code, said.text.String(), log.text.String())
		}
	}
	return fmt.Sprintf("%v: %d", sig, got)
}
