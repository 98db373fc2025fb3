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
			if have, value, ok := strings.Cut(env[i], "="); ok && have == name {
				return value, true
			}
		}
		return "", false
	}
	version := help.Version(version)
	cmd := lintcmd.New(lintcmd.Program{
		Name: "bifrost-secrets-lint", Version: version,
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Getenv: getenv,
	})
	stop := func() {}
	defer func() { stop() }()
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		// Catching signals takes half as long as looking at a small document, and who
		// writes nothing has nothing to bring to its end.
		if cmd.Flags().Changed("fix") || cmd.Flags().Changed("write-baseline") {
			var ctx context.Context
			ctx, stop = signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			cmd.SetContext(ctx)
		}
		return variables.Set(cmd, getenv)
	}
	cmd.Use = strings.Replace(cmd.Use, "lint", "bifrost-secrets-lint", 1)
	cmd.Version = version
	help.Set(cmd)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // cobra takes nil for the process's own
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	code := 0
	for _, err := range lintcmd.Failures(cmd.ExecuteContext(context.Background())) {
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
