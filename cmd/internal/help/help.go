// Package help prints the help of a command: its flags in groups by what they are
// for, and no line wider than a terminal.
package help

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"bifrost-secrets/cmd/internal/variables"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Width is the widest line, in columns.
const Width = 100

// groups are what flags are for, in the order in which they are shown. A flag of a
// name is for the same thing in every command.
var groups = []struct{ title, flags string }{
	{"Config and backend", "config type vault-store vault-type vault-set database literal anywhere trust-config allow-path allow-commands"},
	{"Stored secrets", "gateway prefix only except include-settings keep-space trim-space"},
	{"Deleting", "recovery-days now ignore-config-store trash trash-recipients no-trash"},
	{"What is written", "app-dir out mode env-file env-format file-mode owner"},
	{"When to refresh", "interval start-from-last-good accept-new-encryption-key"},
	{"Bifrost", "apply command apply-timeout stop-timeout drain clean-env rewrite-database " +
		"bifrost-url bifrost-token-file bifrost-plain-http"},
	{"Server of exec and watch", "listen probe-listen address token-file tls-cert tls-key"},
	{"Cluster", "cluster restart-settle restart-parallel restart-splay"},
	{"Input", "stdin-filename by-content bifrost-version settings online config-store"},
	{"Findings", "fail-on baseline write-baseline fix diff list-rules"},
	{"What to do", "yes write fetch policy read-write catalogue ready no-wait"},
	{"Limits", "timeout max-delete"},
	{"Messages and results", "format json reveal verbose quiet log-format version help"},
}

// Group is the flags of a command that are for one thing.
type Group struct {
	Title string // empty for flags that are in no group
	Flags *pflag.FlagSet
}

// Groups returns the flags of a command that are shown, in their groups.
func Groups(cmd *cobra.Command) (all []Group) {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	sets := make([]*pflag.FlagSet, len(groups)+1)
	add := func(f *pflag.Flag) {
		i := slices.IndexFunc(groups, func(g struct{ title, flags string }) bool { return slices.Contains(strings.Fields(g.flags), f.Name) })
		if i < 0 {
			i = len(groups)
		}
		if sets[i] == nil {
			sets[i] = pflag.NewFlagSet("", pflag.ContinueOnError)
		}
		sets[i].AddFlag(f)
	}
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	for i, set := range sets {
		if set == nil || !set.HasAvailableFlags() {
			continue
		}
		g := Group{Flags: set}
		if i < len(groups) {
			g.Title = groups[i].title
		}
		all = append(all, g)
	}
	return all
}

// Plain takes the marks out of what flags are for, by which --help knows the names of
// their values: a shell shows them as they stand.
func Plain(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") })
	for _, sub := range cmd.Commands() {
		Plain(sub)
	}
}

// Variables returns the rule by which the flags of a command are variables, and
// which of them are none.
func Variables(cmd *cobra.Command) string {
	flag := "log-format"
	if cmd.Flag(flag) == nil {
		flag = "format" // of the linter alone
	}
	text := fmt.Sprintf("  %s stands for --%s, and so on for each flag; a flag wins.\n", variables.Name(flag), flag)
	line := "  None stands for"
	for _, name := range variables.FlagOnly(cmd) {
		if len(line)+len(name) > Width-2 {
			text, line = text+line+"\n", " "
		}
		line += " " + name
	}
	if strings.Contains(line, "--") {
		text += line + ".\n"
	}
	return text
}

// Set has a command, and those below it, print their help by this package.
func Set(cmd *cobra.Command) {
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		usage(cmd.OutOrStderr(), cmd)
		return nil
	})
}

// usage is what cobra prints, but for the flags; and a program begins with its
// examples. Where it cannot be written there is nobody to tell.
func usage(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasParent() && cmd.HasExample() {
		fmt.Fprintf(w, "%s\n\n", cmd.Example)
	}
	fmt.Fprint(w, "Usage:\n")
	if cmd.Runnable() {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasParent() && cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		for _, g := range cmd.Groups() {
			commands(w, cmd, g.Title, g.ID)
		}
		commands(w, cmd, "Commands:", "")
	}
	for _, g := range Groups(cmd) {
		fmt.Fprintf(w, "\n%s:\n%s", g.Title, g.Flags.FlagUsagesWrapped(Width))
	}
	fmt.Fprintf(w, "\nVariables:\n%s", Variables(cmd))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nUse \"%s [command] --help\" for more about a command.\n", cmd.CommandPath())
	}
}

// commands prints those of a command that are in a group.
func commands(w io.Writer, cmd *cobra.Command, title, group string) {
	if group == "" && len(cmd.Groups()) > 0 {
		title = "More:"
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, sub := range cmd.Commands() {
		if sub.GroupID == group && (sub.IsAvailableCommand() || sub.Name() == "help") {
			fmt.Fprintf(w, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
		}
	}
}

// Version returns the version of a program: that of its release, or else the one that
// the module system knows.
func Version(release string) string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}
