//go:build unix

// Package child runs the process that is supervised: it starts it, passes
// signals on to it, stops it, and tells how it ended. It works as PID 1 of a
// container and below a shell, systemd or another supervisor alike.
//
// # Process groups and terminals
//
// On Linux the child leads a process group of its own, so that a signal to our
// group (a terminal's Ctrl-C, timeout(1), a supervisor that stops a group)
// reaches us alone, is passed on by [Forwarder], and arrives once. Where we are
// in the foreground of a terminal, the child's group is put there instead, as
// tini does: the child can read the terminal, Ctrl-C reaches the child alone,
// and Ctrl-Z stops the child and then our own group, so that the shell has its
// job control. The terminal comes back when the child ends. A supervisor that
// signals every process of a control group by itself (systemd's
// KillMode=control-group) still signals twice: it should be told
// KillMode=mixed.
//
// On the other Unixes the child stays in our group, and SIGINT and SIGQUIT are
// not passed on while that group is in the foreground of a terminal, which has
// sent them to the child already.
//
// # What the child inherits
//
// Signals as exec(2) leaves them: those caught here are back to their default.
// SIGHUP and SIGINT that were ignored when this program started, by nohup or by
// a script's &, are ignored in the child too as long as nobody here subscribes
// to them, which [Forwarder] then does not do either; who reads SIGHUP should
// ask [signal.Ignored] first. Limits, and whether it may dump core, are as if
// the caller had started it: PR_SET_DUMPABLE of ours ends with the exec. Of our
// files it gets the three standard ones.
//
// # When this program is killed
//
// On Linux the kernel kills the child (PR_SET_PDEATHSIG), unless the child's
// file is setuid, setgid or has capabilities, for which Linux drops that
// setting. Processes of the child's own live on, except in a container, which
// ends with its PID 1.
package child

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// DefaultStopTimeout is how long a child has to end by itself: of the 30 seconds that
// Kubernetes leaves a pod, what is left is for our own end.
const DefaultStopTimeout = 25 * time.Second

// The exit codes with which a command that could not be started is reported,
// after env(1), timeout(1) and the shells.
const (
	CodeNotExecutable = 126 // it was found, and could not be run
	CodeNotFound      = 127
)

// Spec says what to start.
type Spec struct {
	Args []string // the command, looked up in our PATH, and its arguments
	Env  []string // the whole environment as NAME=value; nil means ours

	Stdin, Stdout, Stderr *os.File // nil means the null device

	StopTimeout time.Duration // between SIGTERM and SIGKILL; 0 means DefaultStopTimeout
}

// Status says how a process ended.
type Status struct {
	Code   int            // its exit status, and 128+n where signal n ended it, as the shells have it
	Signal syscall.Signal // what ended it; 0 where it exited
	Err    error          // the status could not be had; Code is then 125
}

func (s Status) String() string {
	switch {
	case s.Err != nil:
		return "lost: " + s.Err.Error()
	case s.Signal != 0:
		return fmt.Sprintf("ended by signal %d (%s)", int(s.Signal), s.Signal)
	}
	return fmt.Sprintf("exited with status %d", s.Code)
}

// StartError says why a command was not started. It holds the command's name
// and no argument or variable of it.
type StartError struct {
	Command string
	Reason  string // lower case, no full stop
	Hint    string // what to do; empty when there is nothing to say
	Code    int    // CodeNotFound or CodeNotExecutable
	Err     error  // the cause; nil when there is none beyond Reason
}

func (e *StartError) Error() string { return fmt.Sprintf("cannot run %s: %s", e.Command, e.Reason) }

func (e *StartError) Unwrap() error { return e.Err }

// Advice returns what to do about it.
func (e *StartError) Advice() string { return e.Hint }

// ExitCode is the Code.
func (e *StartError) ExitCode() int { return e.Code }

// Environment returns the environment for a child: base, then add. Of several entries
// of one name the last counts; the others keep their order. An entry that is no
// NAME=value is left out.
func Environment(base, add []string) []string {
	last := map[string]int{}
	all := make([]string, 0, len(base)+len(add))
	for _, entry := range append(append(all, base...), add...) {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			continue
		}
		if before, again := last[name]; again {
			all[before] = ""
		}
		last[name] = len(all)
		all = append(all, entry)
	}
	env := make([]string, 0, len(last))
	for _, entry := range all {
		if entry != "" {
			env = append(env, entry)
		}
	}
	return env
}
