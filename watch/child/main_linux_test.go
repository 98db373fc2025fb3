package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// playEnv makes the test binary play one of plays in place of the tests.
const playEnv = "CHILD_TEST_PLAY"

var plays = map[string]func(args []string){
	"record":    record,
	"deaf":      deaf,
	"supervise": supervise,
	"dumpable": func([]string) {
		is, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var core unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_CORE, &core)
		fmt.Println("dumpable", is, "core", core.Cur, core.Max)
	},
}

func TestMain(m *testing.M) {
	if play := plays[os.Getenv(playEnv)]; play != nil {
		play(os.Args[1:])
		return
	}
	goleak.VerifyTestMain(m)
}

// watched are the signals that record tells of and counts, in this order; others are
// those that it only tells of.
var (
	watched = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2}
	others  = []os.Signal{syscall.SIGWINCH, syscall.SIGALRM, syscall.Signal(firstRealTime), syscall.Signal(firstRealTime + 3), syscall.Signal(lastRealTime)}
)

// record prints "ready", the signals that it receives and the lines that it
// reads, and when the standard input ends how often each signal came. It exits
// with 7.
func record(args []string) {
	signals := make(chan os.Signal, 1000)
	if len(args) > 0 { // a terminal's SIGTSTP is to stop it
		signal.Notify(signals, syscall.SIGTSTP)
	}
	signal.Notify(signals, append(others, watched...)...)
	lines := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			lines <- in.Text()
		}
		close(lines)
	}()
	count := map[os.Signal]int{}
	fmt.Println("ready")
	for {
		select {
		case sig := <-signals:
			count[sig]++
			fmt.Println(sig)
		case line, more := <-lines:
			if more {
				fmt.Println("read", line)
				continue
			}
			for len(signals) > 0 {
				count[<-signals]++
			}
			var all []string
			for _, sig := range watched {
				all = append(all, strconv.Itoa(count[sig]))
			}
			fmt.Println("counts", strings.Join(all, " "))
			os.Exit(7)
		}
	}
}

// deaf takes no notice of SIGTERM, and has a child that takes none either.
func deaf(args []string) {
	signal.Ignore(syscall.SIGTERM)
	if len(args) == 0 {
		one := exec.Command(os.Args[0], "grandchild")
		one.Stdout = os.Stdout
		if err := one.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
	}
	other := make(chan os.Signal, 1)
	signal.Notify(other, syscall.SIGUSR1)
	<-other
}

// supervise does with a command what exec does. The words before -- are
// switches.
func supervise(args []string) {
	harden := false
	for args[0] != "--" {
		harden = harden || args[0] == "harden"
		args = args[1:]
	}
	if harden {
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	flushes := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(flushes, syscall.SIGHUP)
	}
	go func() {
		for range flushes {
			fmt.Println("flush")
		}
	}()
	forward := Forward(nil)
	go Reap(context.Background())
	p, err := Start(context.Background(), Spec{Args: args[1:], Env: Environment(os.Environ(), []string{playEnv + "=" + os.Getenv("THEN")}), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		os.Exit(125)
	}
	forward.To(p)
	os.Exit(p.Status().Code)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines is what a process prints, one line after the other.
type lines struct {
	t    testing.TB
	file *os.File
	in   *bufio.Reader
}

// pipe returns a pipe: what is printed, and where to print it, which is to be
// closed when it was handed on.
func pipe(t testing.TB) (*lines, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return &lines{t: t, file: r, in: bufio.NewReader(r)}, w
}

// patience ends a wait that has no end: each line has its own.
func (l *lines) patience() { must(l.t, l.file.SetReadDeadline(time.Now().Add(2*time.Minute))) }

func (l *lines) next() string {
	l.t.Helper()
	l.patience()
	line, err := l.in.ReadString('\n')
	if err != nil {
		l.t.Fatalf("got %q and %v, want a line", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (l *lines) want(wants ...string) {
	l.t.Helper()
	for _, want := range wants {
		if got := l.next(); got != want {
			l.t.Fatalf("got the line %q, want %q", got, want)
		}
	}
}

// wantEnd sees that nobody is left who could print anything.
func (l *lines) wantEnd() {
	l.t.Helper()
	l.patience()
	if rest, err := io.ReadAll(l.in); err != nil || len(rest) > 0 {
		l.t.Fatalf("got %q and %v, want the end", rest, err)
	}
}

// started is a play that was started by this package, in this process.
type started struct {
	*Process
	*lines
	stdin *os.File
}

func start(t testing.TB, play string, stopTimeout time.Duration, args ...string) *started {
	t.Helper()
	return startAs(t, play, stopTimeout, append([]string{os.Args[0]}, args...))
}

// startAs is start by another command, which starts the play.
func startAs(t testing.TB, play string, stopTimeout time.Duration, args []string) *started {
	t.Helper()
	out, w := pipe(t)
	r, stdin, err := os.Pipe()
	must(t, err)
	p, err := Start(t.Context(), Spec{
		Args: args, Env: Environment(os.Environ(), []string{playEnv + "=" + play}),
		Stdin: r, Stdout: w, Stderr: os.Stderr, StopTimeout: stopTimeout,
	})
	r.Close()
	w.Close()
	t.Cleanup(func() { stdin.Close() })
	must(t, err)
	t.Cleanup(func() { killed, end := context.WithCancel(context.Background()); end(); p.Stop(killed) })
	out.want("ready")
	return &started{p, out, stdin}
}

// wantCounts ends a record and sees how often each of watched came.
func (s *started) wantCounts(counts string) {
	s.t.Helper()
	s.counted(counts)
	wantStatus(s.t, s.Status(), 7, 0)
}

// counted is wantCounts for a record that is not the process itself.
func (s *started) counted(counts string) {
	s.t.Helper()
	s.stdin.Close()
	for {
		line := s.next()
		if got, ok := strings.CutPrefix(line, "counts "); ok {
			if got != counts {
				s.t.Errorf("got the signals %s, want %s", got, counts)
			}
			break
		}
	}
}

func wantStatus(t testing.TB, got Status, code int, sig syscall.Signal) {
	t.Helper()
	if got != (Status{Code: code, Signal: sig}) {
		t.Errorf("got %+v (%v), want code %d and signal %d", got, got, code, sig)
	}
}

// supervisor is the play of that name, in a process of its own.
type supervisor struct {
	*lines
	cmd   *exec.Cmd
	stdin *os.File
}

// supervised starts a supervisor, as PID 1 of a container if first is set.
func supervised(t testing.TB, first bool, switches []string, then string, args ...string) *supervisor {
	t.Helper()
	all := append(append([]string{os.Args[0]}, switches...), "--")
	if len(args) == 0 {
		args = []string{os.Args[0]}
	}
	all = append(all, args...)
	if first {
		all = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"}, all...)
	}
	return launch(t, exec.Command(all[0], all[1:]...), "supervise", then)
}

func launch(t testing.TB, cmd *exec.Cmd, play, then string) *supervisor {
	t.Helper()
	out, w := pipe(t)
	r, stdin, err := os.Pipe()
	must(t, err)
	if cmd.Stdin == nil {
		cmd.Stdin = r
	}
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.Env = append(os.Environ(), playEnv+"="+play, "THEN="+then)
	err = cmd.Start()
	r.Close()
	w.Close()
	t.Cleanup(func() { stdin.Close() })
	must(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &supervisor{out, cmd, stdin}
}

// code waits for the end of a supervisor and returns its exit status.
func (s *supervisor) code() int {
	s.t.Helper()
	err := s.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// pid is the number of the supervisor itself, which may be a child of unshare.
func (s *supervisor) pid(first bool) int {
	s.t.Helper()
	if !first {
		return s.cmd.Process.Pid
	}
	entries, err := os.ReadDir("/proc")
	must(s.t, err)
	for _, e := range entries {
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(s.cmd.Process.Pid) {
			pid, err := strconv.Atoi(e.Name())
			must(s.t, err)
			return pid
		}
	}
	s.t.Fatal("unshare has no child")
	return 0
}

// asFirst runs a test both as an ordinary process and as PID 1.
func asFirst(t *testing.T, test func(t *testing.T, first bool)) {
	t.Run("ordinary", func(t *testing.T) { t.Parallel(); test(t, false) })
	t.Run("PID 1", func(t *testing.T) {
		t.Parallel()
		if out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
			if os.Getenv("BIFROST_REQUIRE_BACKENDS") != "" {
				t.Fatalf("unshare: %v: %s", err, out)
			}
			t.Skipf("NOT TESTED as PID 1: this takes unshare and the right to use it: %v: %s", err, out)
		}
		test(t, true)
	})
}

// inGroup is a command that leads a group of its own.
func inGroup(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}
