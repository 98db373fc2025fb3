package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		script string
		code   int
		sig    syscall.Signal
	}{
		{"exit 0", 0, 0},
		{"exit 1", 1, 0},
		{"exit 255", 255, 0},
		{"kill -KILL $$", 137, syscall.SIGKILL},
		{"kill -TERM $$", 143, syscall.SIGTERM},
		{"kill -HUP $$", 129, syscall.SIGHUP},
	} {
		p, err := Start(t.Context(), Spec{Args: []string{"sh", "-c", test.script}})
		must(t, err)
		wantStatus(t, p.Status(), test.code, test.sig)
		if err := p.Signal(syscall.SIGUSR1); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("a signal after the end gives %v", err)
		}
		wantStatus(t, p.Stop(t.Context()), test.code, test.sig)
	}
	for _, s := range []struct {
		status Status
		want   string
	}{
		{Status{Code: 3}, "exited with status 3"},
		{Status{Code: 137, Signal: syscall.SIGKILL}, "ended by signal 9 (killed)"},
		{Status{Code: 125, Err: syscall.ECHILD}, "lost: no child processes"},
	} {
		if got := s.status.String(); got != s.want {
			t.Errorf("got %q, want %q", got, s.want)
		}
	}
}

func TestExitStatusPassedOn(t *testing.T) {
	t.Parallel()
	asFirst(t, func(t *testing.T, first bool) {
		for script, code := range map[string]int{"exit 0": 0, "exit 42": 42, "kill -KILL $$": 137, "kill -TERM $$": 143} {
			if got := supervised(t, first, nil, "", "sh", "-c", script).code(); got != code {
				t.Errorf("%s: got %d, want %d", script, got, code)
			}
		}
		s := supervised(t, first, nil, "", "/nonexistent/bifrost")
		s.want("cannot run /nonexistent/bifrost: no such file")
		if got := s.code(); got != 125 {
			t.Errorf("got %d, want 125", got)
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("gracefully", func(t *testing.T) {
		t.Parallel()
		p := start(t, "record", time.Hour)
		stopped := make(chan Status)
		go func() { stopped <- p.Stop(context.Background()) }()
		p.want("terminated")
		must(t, p.Signal(syscall.SIGTERM)) // swallowed
		must(t, p.Signal(syscall.SIGUSR1))
		p.want("user defined signal 1")
		p.wantCounts("0 0 0 1 1 0")
		wantStatus(t, <-stopped, 7, 0)
	})
	t.Run("after a SIGTERM that was passed on", func(t *testing.T) {
		t.Parallel()
		p := start(t, "record", time.Hour)
		must(t, p.Signal(syscall.SIGTERM))
		p.want("terminated")
		go p.Stop(context.Background())
		must(t, p.Signal(syscall.SIGUSR2))
		p.want("user defined signal 2")
		p.wantCounts("0 0 0 1 0 1")
	})
	t.Run("by SIGKILL after the timeout, with its own children", func(t *testing.T) {
		t.Parallel()
		p := start(t, "deaf", 50*time.Millisecond)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { wantStatus(t, p.Stop(context.Background()), 137, syscall.SIGKILL) })
		}
		wg.Wait()
		p.wantEnd()
	})
	t.Run("by SIGKILL when the context ends", func(t *testing.T) {
		t.Parallel()
		p := start(t, "deaf", time.Hour)
		ctx, end := context.WithCancel(t.Context())
		end()
		wantStatus(t, p.Stop(ctx), 137, syscall.SIGKILL)
		p.wantEnd()
	})
	// A script that runs its program without exec ends at once, and the program is asked
	// by nobody.
	script := []string{"sh", "-c", `"$@"; exit 9`, "sh", os.Args[0]}
	t.Run("with what a script has started", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "record", time.Hour, script)
		stopped := make(chan Status)
		go func() { stopped <- p.Stop(context.Background()) }()
		p.want("terminated")
		must(t, unix.Kill(-p.PID(), syscall.SIGUSR1)) // it has its time to end
		p.want("user defined signal 1")
		p.counted("0 0 0 1 1 0")
		wantStatus(t, <-stopped, 143, syscall.SIGTERM)
		p.wantEnd()
	})
	t.Run("with what a script has started, by a SIGTERM that was passed on", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "record", time.Hour, script)
		must(t, p.Signal(syscall.SIGTERM))
		p.want("terminated")
		p.counted("0 0 0 1 0 0")
		wantStatus(t, p.Status(), 143, syscall.SIGTERM)
		p.wantEnd()
	})
	t.Run("with what a script has started, by SIGKILL after the timeout", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "deaf", 50*time.Millisecond, script)
		wantStatus(t, p.Stop(context.Background()), 143, syscall.SIGTERM)
		p.wantEnd()
	})
	// Who takes no notice of SIGTERM would only be waited for.
	t.Run("with what a script has started, and takes no notice", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "deaf", time.Hour, script)
		wantStatus(t, p.Stop(context.Background()), 143, syscall.SIGTERM)
		p.wantEnd()
	})
	t.Run("with what is left of one that ends by itself", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "record", time.Hour, script)
		must(t, unix.Kill(p.PID(), syscall.SIGKILL))
		p.want("terminated")
		p.counted("0 0 0 1 0 0")
		wantStatus(t, p.Status(), 137, syscall.SIGKILL)
		p.wantEnd()
	})
	t.Run("with what is left of one that ends by itself, by SIGKILL", func(t *testing.T) {
		t.Parallel()
		p := startAs(t, "record", time.Hour, script)
		must(t, unix.Kill(p.PID(), syscall.SIGKILL))
		wantStatus(t, p.Status(), 137, syscall.SIGKILL)
		p.want("terminated")
		p.wantEnd()
	})
	t.Run("while it is stopped", func(t *testing.T) {
		t.Parallel()
		p, err := Start(t.Context(), Spec{Args: []string{"sh", "-c", "kill -STOP $$; exec cat"}, StopTimeout: time.Hour})
		must(t, err)
		wantStatus(t, p.Stop(t.Context()), 143, syscall.SIGTERM)
	})
	t.Run("by the context of the start", func(t *testing.T) {
		t.Parallel()
		ctx, end := context.WithCancel(t.Context())
		p, err := Start(ctx, Spec{Args: []string{"sleep", "1000"}, StopTimeout: time.Hour})
		must(t, err)
		end()
		wantStatus(t, p.Status(), 143, syscall.SIGTERM)
		if _, err := Start(ctx, Spec{Args: []string{"true"}}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDiesWithUs(t *testing.T) {
	t.Parallel()
	asFirst(t, func(t *testing.T, first bool) {
		s := supervised(t, first, nil, "record")
		s.want("ready")
		must(t, syscall.Kill(s.pid(first), syscall.SIGKILL))
		s.wantEnd()
	})
}

// Linux takes the end of the thread that started a process for the parent's.
func TestOutlivesTheCallersThread(t *testing.T) {
	t.Parallel()
	var p *started
	for range 20 {
		gone := make(chan int)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this function
			p = start(t, "record", time.Hour)
			gone <- unix.Gettid()
		}()
		tid := <-gone
		for tid != os.Getpid() { // until the thread is no more; Go keeps the first one for good
			if err := unix.Tgkill(os.Getpid(), tid, 0); err == unix.ESRCH {
				break
			}
			runtime.Gosched()
		}
		must(t, p.Signal(syscall.SIGUSR1))
		p.want("user defined signal 1")
		p.wantCounts("0 0 0 0 1 0")
	}
}

func TestInherits(t *testing.T) {
	t.Parallel()
	mask := "^Sig(Blk|Ign):"
	ignored := func(also uint64) string { return fmt.Sprintf("SigIgn:\t%016x", ignoredInternals(t)|also) }
	s := supervised(t, false, nil, "", "grep", "-E", mask, "/proc/self/status")
	s.want("SigBlk:\t0000000000000000", ignored(0))
	s.wantEnd()
	// As below nohup, and behind an & in a script.
	s = launch(t, exec.Command("sh", "-c", `trap "" HUP INT; exec "$@"`, "sh", os.Args[0], "--", "grep", "-E", mask, "/proc/self/status"), "supervise", "")
	s.want("SigBlk:\t0000000000000000", ignored(3))
	s.wantEnd()
	s = supervised(t, false, []string{"harden"}, "dumpable")
	var core unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &core))
	s.want(fmt.Sprint("dumpable 1 core ", core.Cur, " ", core.Max))
}

// ignoredInternals returns which of the two signals that C libraries keep for
// themselves (32 and 33) whoever started the tests had ignored: no Go program
// can change that.
func ignoredInternals(t *testing.T) uint64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, line, _ := strings.Cut(string(status), "SigIgn:\t")
	line, _, _ = strings.Cut(line, "\n")
	set, err := strconv.ParseUint(line, 16, 64)
	must(t, err)
	return set & (3 << 31)
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		syscall.ForkLock.RLock() // a child that another test starts meanwhile would have it open for writing: "text file busy"
		defer syscall.ForkLock.RUnlock()
		must(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	const secret = "S3CRET"
	big := strings.Repeat(secret, 30_000)
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprintf("V%d=%s", i, big[:100_000])
	}
	for _, test := range []struct {
		name         string
		spec         Spec
		code         int
		reason, hint string
	}{
		{"nothing", Spec{}, 127, "no command is given", "--"},
		{"not in PATH", Spec{Args: []string{"no-such-bifrost", secret}}, 127, "not found in PATH", "install it"},
		{"no file", Spec{Args: []string{"/no/such/bifrost"}}, 127, "no such file", "path is right"},
		{"not executable", Spec{Args: []string{file("plain", "x", 0o600)}}, 126, "permission denied", "mode"},
		{"directory", Spec{Args: []string{dir}}, 126, "it is a directory", ""},
		{"no interpreter", Spec{Args: []string{file("script", "#!/no/such/shell\n", 0o700)}}, 126, "the interpreter or loader that it asks for is not", "musl"},
		{"no program", Spec{Args: []string{file("text", "hello", 0o700)}}, 126, "the system knows no way", "#!"},
		{"a NUL", Spec{Args: []string{"true"}, Env: []string{"A=" + secret + "\x00"}}, 126, "NUL", ""},
		{"one variable", Spec{Args: []string{"true"}, Env: []string{"KEY=" + big}}, 126, "the variable KEY is 180004 bytes long with its name, and the system takes 131071 at most", "in a file"},
		{"one argument", Spec{Args: []string{"true", big}}, 126, "argument 1 is 180000 bytes long", ""},
		{"all", Spec{Args: []string{"true"}, Env: many}, 126, "its environment (40002290 bytes) and arguments (5 bytes)", "ulimit -s"},
	} {
		p, err := Start(t.Context(), test.spec)
		e, ok := errors.AsType[*StartError](err)
		if !ok || p != nil {
			t.Errorf("%s: got %v", test.name, err)
			continue
		}
		if e.Code != test.code || !strings.Contains(e.Reason, test.reason) || !strings.Contains(e.Hint, test.hint) || (test.hint == "") != (e.Hint == "") {
			t.Errorf("%s: got %d, %q, hint %q", test.name, e.Code, e.Error(), e.Hint)
		}
		if strings.Contains(e.Error()+e.Hint+fmt.Sprint(e.Err), secret) {
			t.Errorf("%s: shows what it must not", test.name)
		}
	}
	// What Linux takes is not refused.
	p, err := Start(t.Context(), Spec{Args: []string{"true"}, Env: []string{"KEY=" + big[:longest-5]}})
	must(t, err)
	wantStatus(t, p.Status(), 0, 0)
}

func TestFoundByADotInPath(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "here"), []byte("#!/bin/sh\n"), 0o700))
	t.Chdir(dir)
	t.Setenv("PATH", ".")
	_, err := Start(t.Context(), Spec{Args: []string{"here"}})
	if e, ok := errors.AsType[*StartError](err); !ok || e.Code != 127 || e.Hint != "if you mean that file, write ./here" {
		t.Errorf("got %v", err)
	}
}

func TestLeavesNoFiles(t *testing.T) {
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(files)
	}
	round := func() {
		p, err := Start(t.Context(), Spec{Args: []string{"cat"}})
		must(t, err)
		p.Stop(t.Context())
		_, err = Start(t.Context(), Spec{Args: []string{"/no/such"}})
		if err == nil {
			t.Error("started")
		}
	}
	round()
	before := open()
	for range 30 {
		round()
	}
	if after := open(); after != before {
		t.Errorf("%d files are open, and were %d before", after, before)
	}
}
