package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"bifrost-secrets/cmd/internal/help"
	management "bifrost-secrets/watch/bifrost"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker for a release.
var version, commit = "", ""

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  bifrost-secrets version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			name := versionName()
			if p.json {
				return json.NewEncoder(p.stdout).Encode(map[string]any{
					"version": name, "commit": commitName(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "bifrost": management.Releases(),
				})
			}
			_, err := fmt.Fprintln(p.stdout, versionText())
			return err
		},
	}
	p.jsonFlag(cmd)
	return cmd
}

// versionName returns the release, or else what the module system knows.
func versionName() string { return help.Version(version) }

// commitName returns the commit of a release, or else what the go command knew of
// it; it is empty where that was built from no clone.
func commitName() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// versionText is what `version` and --version print.
func versionText() string {
	return fmt.Sprintf("bifrost-secrets %s (%s, %s/%s)", versionName(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// versionFlag adds --version to a command. Cobra's own takes a template for what
// it prints, and a program that can run templates keeps every method of every type
// that is linked: four megabytes of them.
func versionFlag(cmd *cobra.Command) {
	show := cmd.Flags().Bool("version", false, "version for "+cmd.Name())
	args, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, words []string) error {
		if *show {
			return nil
		}
		return args(cmd, words)
	}
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if !*show {
			return run(cmd, words)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
		return err
	}
}
