//go:build unix

package watch

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command is the [Applier] that runs a command. The command gets no value:
//
//	BIFROST_SECRETS_TRIGGER  why: start, tick, flush, signal, file, retry, …
//	BIFROST_SECRETS_CHANGED  the JSON paths that changed, one a line
//	BIFROST_SECRETS_COUNT    how many they are
//	BIFROST_SECRETS_EDITED   1 where the document itself was edited, else 0
//	BIFROST_SECRETS_OUT      the published file
type Command struct {
	// Line is run by itself where it is plain words, and else by /bin/sh -c.
	Line    string
	Out     string
	Env     func() []string // returns its environment as NAME=value; it should hold none of this program's own credentials
	Timeout time.Duration
	Output  io.Writer // where its output goes
}

// pathsBytes bounds BIFROST_SECRETS_CHANGED: Linux passes on 128 KiB a variable.
const pathsBytes = 100 << 10

// Kind implements [Applier].
func (*Command) Kind() string { return "command" }

// Apply implements [Applier].
func (c *Command) Apply(ctx context.Context, u Update) []Outcome {
	if u.Again {
		u.Trigger = Retry
	}
	switch {
	case u.Trigger == Start && !u.Wrote: // the command was run when the file was written
		return each(u.Changed, Delivered, "", "")
	case u.Trigger == Restarted && !u.Rollback: // Bifrost has read the file
		return each(u.Changed, InForce, "", "")
	}
	state, reason := Delivered, ""
	if err := c.run(ctx, u); err != nil {
		state, reason = Failed, "the command failed: "+err.Error()
	}
	return outcomesOf(u, state, reason)
}

func (c *Command) run(ctx context.Context, u Update) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("not done within %s (--apply-timeout)", c.Timeout))
	defer cancel()
	words := c.words()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	paths := make([]string, 0, len(u.Changed))
	size := 0
	for i := range u.Changed {
		// A name in a document may hold what a variable cannot.
		path := strings.Map(func(r rune) rune {
			if r < ' ' {
				return '\ufffd'
			}
			return r
		}, u.Changed[i].Path)
		if size += len(path) + 1; size > pathsBytes {
			break
		}
		paths = append(paths, path)
	}
	edited := "0"
	if u.Edited {
		edited = "1"
	}
	cmd.Env = append(c.Env(),
		"BIFROST_SECRETS_TRIGGER="+string(u.Trigger), "BIFROST_SECRETS_CHANGED="+strings.Join(paths, "\n"),
		"BIFROST_SECRETS_COUNT="+strconv.Itoa(len(u.Changed)), "BIFROST_SECRETS_EDITED="+edited, "BIFROST_SECRETS_OUT="+c.Out)
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	ownGroup(cmd)
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// words returns the program and its arguments. An image without a shell can so
// run a plain command.
func (c *Command) words() []string {
	if strings.ContainsAny(c.Line, "|&;<>()$`\\\"'*?[#~=%!{}\n") {
		return []string{"/bin/sh", "-c", c.Line}
	}
	return strings.Fields(c.Line)
}

// ownGroup makes the command end with all that it has started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
