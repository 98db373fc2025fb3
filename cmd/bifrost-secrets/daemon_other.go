//go:build !unix

package main

import "github.com/spf13/cobra"

func (p *program) execCommand() *cobra.Command {
	return unixOnly("exec", "Render the config, start Bifrost with it, and keep it fresh (Unix only)")
}

func (p *program) watchCommand() *cobra.Command {
	return unixOnly("watch", "Keep the resolved config fresh (Unix only)")
}

func unixOnly(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return usageError(name+" is not available on this system: it needs the signals and processes of a Unix", "use render, and run it again for new values")
		},
	}
}
