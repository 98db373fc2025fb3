//go:build unix

package main

import (
	"errors"
	"fmt"
	"testing"

	"bifrost-secrets/cmd/internal/lintcmd"
	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/child"
	"bifrost-secrets/watch/control"
	"bifrost-secrets/watch/service"
)

// Every kind of error that people meet has its exit code and its hint, also where
// it is wrapped.
func TestExitCodes(t *testing.T) {
	problems := func(all ...render.Problem) error { return &render.Problems{List: all} }
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{nil, exitDone, ""},
		{errors.New("plain"), exitUnresolved, ""},
		{usageError("r", "h"), exitUsage, "h"},
		{&walker.DocumentError{Hint: "h"}, exitUsage, "h"},
		{&control.Error{Hint: "h"}, exitUsage, "h"},
		{&publish.Error{Op: "check", Hint: "h"}, exitUsage, "h"},
		{&publish.Error{Op: "commit", Hint: "h"}, exitUnresolved, "h"},
		{&sources.Error{Kind: sources.NotFound, Hint: "h"}, exitUnresolved, "h"},
		{&sources.Error{Kind: sources.Throttled, Hint: "h"}, exitUnreachable, "h"},
		{problems(render.Problem{Invalid: true}, render.Problem{Kind: sources.Unreachable}), exitUsage, ""},
		{problems(render.Problem{Kind: sources.Unreachable}), exitUnreachable, ""},
		{problems(render.Problem{Kind: sources.Unreachable}, render.Problem{Kind: sources.NotFound}), exitUnresolved, ""},
		{&lintcmd.Failure{Code: 1, Hint: "h"}, exitUnresolved, "h"},
		{&child.StartError{Code: child.CodeNotFound, Hint: "h"}, child.CodeNotFound, "h"},
		{&notStarted{err: usageError("r", "h"), code: exitNotStarted}, exitNotStarted, "h"},
		{&service.Hinted{Err: usageError("r", "h"), Hint: "more"}, exitUsage, "h"},
		{&service.Error{Code: service.ExitUsage, Hint: "h"}, exitUsage, "h"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if c.err == nil {
				err = nil
			}
			if code, hint := exitCode(err), sources.HintOf(err); code != c.code || hint != c.hint {
				t.Errorf("%T %+v: %d %q, want %d %q", c.err, c.err, code, hint, c.code, c.hint)
			}
		}
	}
}
