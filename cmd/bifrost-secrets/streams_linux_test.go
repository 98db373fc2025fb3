package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// execTo is stub with a log that goes to a file.
func (s *harness) execTo(log *os.File, options ...string) *running {
	s.t.Helper()
	args := append([]string{"exec", "--app-dir", s.app, "--apply", "restart", "--restart-settle", "0s", "--stop-timeout", "2m"}, options...)
	r := &running{t: s.t, out: make(chan string, 1000), log: make(chan string)}
	close(r.log)
	// The child has a log of its own: what the reader does to it is its affair.
	r.cmd = exec.Command("bifrost-secrets", append(args, "--", "sh", "-c", "exec 2>/dev/null\n"+bifrostStub)...)
	r.cmd.Dir, r.cmd.Env, r.cmd.Stderr = s.dir, s.env, log
	stdout, err := r.cmd.StdoutPipe()
	if err == nil {
		go eachLine(stdout, r.out)
		err = r.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if !r.ended {
			_ = r.cmd.Process.Kill()
			r.wait()
		}
	})
	return r
}

// smallPipe returns the two ends of a pipe that is full after a page.
func smallPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err == nil {
		t.Cleanup(func() { r.Close(); w.Close() })
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// A Bifrost outlives who reads the log of exec, and is still kept fresh, whatever
// became of that reader. The end does not wait for it.
func TestExecOutlivesTheLog(t *testing.T) {
	t.Parallel()
	for name, log := range map[string]func(t *testing.T) (log *os.File, after func()){
		"the reader has gone": func(t *testing.T) (*os.File, func()) {
			r, w := smallPipe(t)
			return w, func() { r.Close() }
		},
		"the reader was never there": func(t *testing.T) (*os.File, func()) {
			r, w := smallPipe(t)
			r.Close()
			return w, func() {}
		},
		"the reader stands still": func(t *testing.T) (*os.File, func()) {
			_, w := smallPipe(t)
			if _, err := w.Write(bytes.Repeat([]byte("\n"), os.Getpagesize())); err != nil {
				t.Fatal(err)
			}
			return w, func() {}
		},
		"the disk is full": func(t *testing.T) (*os.File, func()) {
			w, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			return w, func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newHarness(t)
			w, after := log(t)
			socket := filepath.Join(s.dir, "s")
			r := s.execTo(w, "--listen", "unix:"+socket, "--verbose")
			r.says("started CANARY-1")
			after()
			s.put("openai", "CANARY-2")
			r.says("started CANARY-2")
			for range 3 {
				if code, _, stderr := process(t, s.dir, nil, "flush", "--address", "unix:"+socket); code != exitDone {
					t.Fatal(code, stderr)
				}
			}
			r.signal(syscall.SIGTERM)
			r.says("term")
			r.ends(5)
		})
	}
}

// Without any of the standard streams there is nothing to say, and all is done.
func TestClosedStreams(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	s.env = append(s.env, "SITE="+s.app)
	r := s.startProgram("sh", "-c", `bifrost-secrets render -c "$SITE/config.source.json" -o "$SITE/config.json" <&- >&- 2>&- && bifrost-secrets exec --app-dir "$SITE" --listen none -- sh -c 'cat "$APP_DIR/config.json" > "$APP_DIR/seen"; exit 9' <&- >&- 2>&-`)
	r.ends(9)
	if seen, err := os.ReadFile(filepath.Join(s.app, "seen")); err != nil || string(seen) != s.published() || !strings.Contains(s.published(), "CANARY-1") {
		t.Errorf("the child saw %q: %v", seen, err)
	}
}

// What a command prints on its standard error is for people: that nobody reads it
// changes nothing. Its results are another matter.
func TestReadersOfCommands(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	s.env = append(s.env, "SITE="+s.app)
	for _, test := range []struct {
		name, script string
		code         int
		says         string
	}{
		{"a full disk", `bifrost-secrets explain -c "$SITE/config.source.json" > /dev/full`, 1, "bifrost-secrets: the standard output cannot be written: no space left on device"},
		{"a full disk, in JSON", `bifrost-secrets explain --json -c "$SITE/config.source.json" > /dev/full`, 1, "no space left on device"},
		{"a full disk for the version", `bifrost-secrets version > /dev/full`, 1, "no space left on device"},
		{"notes to a full disk", `bifrost-secrets render -v -c "$SITE/config.source.json" -o "$SITE/config.json" 2> /dev/full`, 0, ""},
	} {
		r := s.startProgram("sh", "-c", test.script)
		r.ends(test.code)
		if log := strings.Join(r.all, "\n"); !strings.Contains(log, test.says) {
			t.Errorf("%s: it says %q, want %q", test.name, log, test.says)
		}
	}
	// A reader that goes ends neither the work nor, without a word, the program.
	gone, w := smallPipe(t)
	gone.Close()
	run := func(stdout, stderr *os.File, args ...string) int {
		cmd := exec.Command("bifrost-secrets", args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.env, stdout, stderr
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	source := filepath.Join(s.app, "config.source.json")
	if code := run(nil, w, "render", "-v", "-c", source, "-o", filepath.Join(s.dir, "out.json")); code != 0 {
		t.Errorf("render: %d, want 0", code)
	}
	if code := run(nil, w, "render", "-c", filepath.Join(s.dir, "nope"), "-o", filepath.Join(s.dir, "out2.json")); code != 2 {
		t.Errorf("render that fails: %d, want 2", code)
	}
	for _, args := range [][]string{{"explain", "-c", source}, {"lint", source}, {"lint", "--list-rules"}} {
		said, err := os.Create(filepath.Join(s.dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		if code := run(w, said, args...); code != 141 {
			t.Errorf("%v: %d, want 141", args, code)
		}
		_ = said.Close()
		if text, err := os.ReadFile(said.Name()); err != nil || strings.Contains(string(text), "broken pipe") {
			t.Errorf("%v: %v, it says %s", args, err, text)
		}
	}
}

// A second signal ends a command that waits for who reads its errors.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	_, full := smallPipe(t)
	if _, err := full.Write(bytes.Repeat([]byte("\n"), os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sig  syscall.Signal
		code int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}} {
		cmd := exec.Command("bifrost-secrets", "render", "-v", "-c", filepath.Join(s.app, "config.source.json"), "-o", filepath.Join(s.dir, "out.json"))
		cmd.Dir, cmd.Env, cmd.Stderr = s.dir, s.env, full
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		late := time.After(patience)
		for done := false; !done; {
			select {
			case <-ended:
				done = true
			case <-late:
				_ = cmd.Process.Kill()
				t.Fatal("it did not end")
			case <-time.After(20 * time.Millisecond): // one may come before it listens, and ends it in the same way
				_ = cmd.Process.Signal(test.sig)
			}
		}
		state := cmd.ProcessState
		if status := state.Sys().(syscall.WaitStatus); state.ExitCode() != test.code && status.Signal() != test.sig {
			t.Errorf("it ended with %v, want %d", state, test.code)
		}
	}
}

// The standard input may never end.
func TestInterruptedInput(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, args := range [][]string{{"explain", "-c", "-"}, {"secret", "put", "x", "--gateway", "o", "--vault-type", "file", "--vault-set", "path=" + s.secrets, "--vault-set", "access_mode=read_and_write"}} {
		cmd := exec.Command("bifrost-secrets", args...)
		var log bytes.Buffer
		cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stderr = s.dir, s.env, r, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It reads once it has taken this.
		if _, err := w.Write([]byte("{")); err != nil {
			t.Fatal(err)
		}
		emptied(t, r)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if !late.Stop() {
			t.Errorf("%v did not end", args)
		}
		if code := cmd.ProcessState.ExitCode(); code <= 0 || code > 2 || !strings.Contains(log.String(), "interrupted") {
			t.Errorf("%v ended with %d: %s", args, code, log.String())
		}
	}
}

// emptied waits until a pipe was read.
func emptied(t *testing.T, r *os.File) {
	t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatal("nobody reads the pipe")
		}
	}
}

// A config store that takes a connection and never answers keeps nothing from
// ending.
func TestEndsWhileTheConfigStoreHangs(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"exec", "exec in env mode", "watch"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			s := newHarness(t)
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			source := filepath.Join(s.app, "config.source.json")
			s.write(source, strings.Replace(harnessConfig, `"enabled":true,`, `"enabled":true,"type":"postgres","config":{"host":"127.0.0.1","port":"`+port+`","user":"u","password":"p","db_name":"d","ssl_mode":"disable"},`, 1))
			var r *running
			switch command {
			case "exec":
				r = s.stub()
			case "exec in env mode":
				r = s.stub("--mode", "env")
			default:
				r = s.start("watch", "--config", source, "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "none")
			}
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r.signal(syscall.SIGTERM)
			r.ends(143)
			if log := strings.Join(r.all, "\n"); strings.Contains(log, "no answer from the PostgreSQL") {
				t.Errorf("it waited for the answer: %s", log)
			}
		})
	}
}
