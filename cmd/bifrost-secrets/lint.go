package main

import (
	"bifrost-secrets/cmd/internal/lintcmd"

	"github.com/spf13/cobra"
)

// lintCommand is the linter, which is a program of its own too: see
// cmd/bifrost-secrets-lint. This one can look references up as well.
func (p *program) lintCommand() *cobra.Command {
	o := &online{program: p}
	cmd := lintcmd.New(lintcmd.Program{
		Name: "bifrost-secrets lint", Version: versionName(),
		Stdin: p.stdin, Stdout: p.stdout, Stderr: p.screen, Getenv: p.getenv,
		Quiet:       func() bool { return p.quiet },
		Online:      o.lookUp,
		ConfigStore: o.rows,
	})
	o.addFlags(cmd)
	check := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(cmd); err != nil {
			return err
		}
		failures := lintcmd.Failures(check(cmd, args))
		worst := &failure{}
		for _, err := range failures {
			if len(failures) == 1 {
				return err
			}
			p.report(err)
			worst.Code = max(worst.Code, exitCode(err))
		}
		if len(failures) > 0 {
			return worst
		}
		return nil
	}
	versionFlag(cmd)
	return cmd
}
