// Command bifrost-secrets-lint finds what is wrong with the secrets of a Bifrost
// config. It is `bifrost-secrets lint` alone, small and quick to build, for
// pre-commit and the like.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"bifrost-secrets/cmd/internal/help"
	"bifrost-secrets/cmd/internal/lintcmd"
	"bifrost-secrets/cmd/internal/variables"
	"bifrost-secrets/walker/lint/report"

	"github.com/spf13/cobra"
)

// version is set by the linker for a release.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run is the program as a function: tests call it as the shell would.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	getenv := func(name string) (string, bool) {
		for i := len(env) - 1; i >= 0; i-- {
			if value, ok := strings.CutPrefix(env[i], name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
	cmd := lintcmd.New(lintcmd.Program{
		Name: "bifrost-secrets-lint", Version: help.Version(version),
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Getenv: getenv,
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return variables.Set(cmd, getenv) }
	cmd.Use = strings.Replace(cmd.Use, "lint", "bifrost-secrets-lint", 1)
	cmd.Version = help.Version(version)
	help.Set(cmd)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // cobra takes nil for the process's own
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := 0
	for _, err := range lintcmd.Failures(cmd.ExecuteContext(ctx)) {
		failure := &lintcmd.Failure{Code: 2, Reason: err.Error(), Hint: "see bifrost-secrets-lint --help"}
		_ = errors.As(err, &failure) // else it is cobra's, about a flag
		for _, line := range []struct{ label, text string }{{"", failure.Reason}, {"hint: ", failure.Hint}} {
			if line.text != "" {
				fmt.Fprintf(stderr, "bifrost-secrets: %s%s\n", line.label, report.Clean(line.text))
			}
		}
		code = max(code, failure.Code)
	}
	return code
}
