//go:build unix

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A signal ends a run at once that writes nothing, and one that writes says so.
func TestSignal(t *testing.T) {
	for _, tt := range []struct {
		args []string
		by   syscall.Signal // the one that it dies of
		code int
		says string
	}{
		{[]string{"-"}, syscall.SIGTERM, -1, ""},
		{[]string{"--write-baseline", filepath.Join(t.TempDir(), "base.json"), "-"}, 0, 2, "bifrost-secrets: interrupted\n"},
	} {
		var said bytes.Buffer
		cmd := exec.Command("bifrost-secrets-lint", tt.args...)
		cmd.Stderr = &said
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
		// More than a pipe holds: it reads once it has taken this.
		if _, err := in.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if !late.Stop() {
			t.Errorf("%v did not end", tt.args)
		}
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if status.Signaled() != (tt.by != 0) || status.Signaled() && status.Signal() != tt.by || cmd.ProcessState.ExitCode() != tt.code || said.String() != tt.says {
			t.Errorf("%v: %v, and it said %q", tt.args, cmd.ProcessState, said.String())
		}
	}
}
