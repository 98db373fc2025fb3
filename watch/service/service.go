// Package service assembles exec and watch from their parts: it reads the
// document, opens its source, and runs the loop, what listens beside it and, for
// exec, Bifrost itself. What it reads and writes files with serves render too.
package service

import (
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"bifrost-secrets/sources"
)

// The exit codes that a service decides.
const (
	ExitUnresolved = 1   // a reference does not resolve, or a file cannot be written
	ExitUsage      = 2   // wrong usage, or an invalid document
	ExitNotStarted = 125 // exec has failed before its child ran
)

// Error is wrong usage, or another failure that is told of as it is.
type Error struct {
	Reason string
	Hint   string // what to do; may be empty
	Code   int
}

func (e *Error) Error() string { return e.Reason }

// Advice returns what to do about it.
func (e *Error) Advice() string { return e.Hint }

// ExitCode is the Code.
func (e *Error) ExitCode() int { return e.Code }

func usageError(reason, hint string) error {
	return &Error{Reason: reason, Hint: hint, Code: ExitUsage}
}

// Hinted is an error with one more hint.
type Hinted struct {
	Err  error
	Hint string
}

func (h *Hinted) Error() string { return h.Err.Error() }
func (h *Hinted) Unwrap() error { return h.Err }

// Host is the program that a service runs in.
type Host struct {
	Env      map[string]string
	Backends []sources.Backend
	Version  string

	Stdin   io.Reader // what - names as a document; these three are the child's too
	Stdout  io.Writer
	Stderr  io.Writer
	Printed io.Writer // where the output of a command goes, beside the log

	Log     *slog.Logger // of exec and watch
	Detail  *slog.Logger // of a source, for --verbose
	Warn    func(text string)
	Waiting func(what string) (done func()) // shows what is waited for
	Dropped func() uint64                   // how many log lines were
	Exit    func(code int)                  // ends the program at once
	Writes  bool                            // the command writes files, so its errors say that it did not
}

// Getenv looks a variable up.
func (h *Host) Getenv(name string) (string, bool) {
	value, ok := h.Env[name]
	return value, ok
}

// OwnVariables begins the names of this program's own settings.
const OwnVariables = "BIFROST_SECRETS_"

func isOwn(name string, hidden []string) bool {
	return strings.HasPrefix(name, OwnVariables) || name == "NOTIFY_SOCKET" || slices.Contains(hidden, name)
}

// without returns the environment without what is ours alone: our settings and
// tokens, what is hidden, and systemd's socket.
func (h *Host) without(hidden []string) []string {
	var env []string
	for name, value := range h.Env {
		if !isOwn(name, hidden) {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	return env
}

// Clean keeps what comes from outside from moving the cursor or beginning a
// line of its own.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, text)
}

func quote(text string) string { return strconv.Quote(text) }
