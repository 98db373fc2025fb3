package main

import (
	"errors"

	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/lint/command"

	"github.com/spf13/cobra"
)

// lintCommand is the linter, which is a program of its own too: see
// cmd/bifrost-secrets-lint.
func (p *program) lintCommand() *cobra.Command {
	cmd := command.New(command.Program{
		Name: "bifrost-secrets lint", Version: versionName(),
		Stdin: p.stdin, Stdout: p.stdout, Stderr: p.screen, Getenv: p.getenv,
		Quiet:  func() bool { return p.quiet },
		Online: p.online, OnlineRules: []lint.Rule{onlineRule},
		ConfigStore: p.rows,
	})
	check := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		var ended *command.Failure
		if errors.As(err, &ended) {
			return &failure{reason: ended.Reason, hint: ended.Hint, code: ended.Code}
		}
		return err
	}
	return cmd
}
