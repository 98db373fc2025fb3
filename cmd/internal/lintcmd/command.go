// Package lintcmd is the linter as a command, for every program that has it: its
// flags, what it reads, what it writes and how it ends.
//
// The exit codes are a promise: 0 nothing at or above --fail-on; 1 findings; 2
// wrong usage, or a document that cannot be read or is not valid. What a failed
// look-up of --online ends with is up to the program, which makes it 3.
package lintcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/lint/report"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The exit codes.
const (
	exitFindings = 1
	exitUsage    = 2
)

// Program is what the command needs to know of the program that has it.
type Program struct {
	Name    string // the command as it is typed: `bifrost-secrets lint`
	Version string // of the program; empty where it is not known

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Getenv looks up a variable of the environment.
	Getenv func(string) (string, bool)
	// Quiet reports whether nothing but errors is to be said beside the report.
	// Where it is nil, the command gets a --quiet of its own.
	Quiet func() bool

	// Online looks every reference of a document up, for --online; env says that
	// it will be rendered for env mode. Its findings are those of the rule
	// [lint.Online]; its error says why the document could not be looked up, or
	// not as a whole. It may be called for several documents at once. Where it is
	// nil, there is no such flag.
	Online func(ctx context.Context, doc *walker.Document, env bool) ([]lint.Finding, error)

	// ConfigStore looks at Bifrost's config store in a database, for
	// --config-store: at that which database names, or, where that is empty, at
	// that of the document. It calls yield with findings as they come, and returns
	// what else is worth saying. Where it is nil, there is no such flag.
	ConfigStore func(ctx context.Context, doc *walker.Document, database string, opts lint.Options, yield func(name string, findings []lint.Finding)) (notes []string, err error)
}

// Failure is why the command ends with an exit code other than 0.
type Failure struct {
	Code   int
	Reason string // empty where all has been said
	Hint   string
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// Advice returns what to do about it.
func (f *Failure) Advice() string { return f.Hint }

// ExitCode is the Code.
func (f *Failure) ExitCode() int { return f.Code }

func usage(hint, format string, args ...any) error {
	return &Failure{Code: exitUsage, Reason: fmt.Sprintf(format, args...), Hint: hint}
}

type options struct {
	format, failOn, mode, bifrost, settings      string
	baseline, writeBaseline, stdinName, database string
	json, fix, diff, online, byContent           bool
	configStore, listRules, quiet                bool
}

// Failures takes apart what the command ends with: there may be one for each
// document.
func Failures(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// New makes the command. Its errors are of type *Failure, but for what cobra
// says of flags, what Online returns, and an EPIPE of the standard output; see
// [Failures] for several at once.
func New(p Program) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:        "lint [FILE | DIRECTORY | -]...",
		SuggestFor: []string{"check", "validate", "verify", "scan", "test"},
		Short:      "Find what is wrong with the secrets of a config",
		Long: `Lint looks at Bifrost configs without asking anybody: secrets in plain text, references that are
misspelt or that Bifrost would not resolve, and what Bifrost would misread. It never shows a value.

It reads files, every config below a directory (a *.json with a section of Bifrost's, hidden folders
and node_modules left out), or the standard input (-); without an argument, the config.json here.
JSON with comments is read too (*.jsonc); and in YAML a config.json that stands in a ConfigMap or
the like, and the values of Bifrost's Helm chart.
Settings come from the first ` + settingsName + ` on the way from the first file's folder
up to the root of the repository; outside of a repository, up to the working directory.`,
		Example: strings.ReplaceAll(`  @ config.json
  @ --format sarif deploy > lint.sarif
  @ --diff config.json
  @ --fix config.json`, "@", p.Name),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &run{Program: p, options: o}
			return r.do(cmd.Context(), args, cmd.Flags().Changed("format"))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.format, "format", report.Text, "how to write the findings: text, json or sarif")
	f.BoolVar(&o.json, "json", false, "the same as --format json")
	f.StringVar(&o.failOn, "fail-on", lint.Warning.String(), "the least severity that makes the exit code 1: note, warning, error or never")
	f.StringVar(&o.mode, "mode", "inline", "how the config will be rendered: inline or env")
	f.StringVar(&o.bifrost, "bifrost-version", "", "the `version` of Bifrost that will read it, as 2.0 or 1.5.16; findings for other versions are left out")
	f.StringVar(&o.settings, "settings", "", "the settings `file`, instead of the one that is found")
	f.StringVar(&o.baseline, "baseline", "", "a `file` with findings that are known: they are not reported")
	f.StringVar(&o.writeBaseline, "write-baseline", "", "write the findings to a `file` for --baseline instead of a report")
	f.StringVar(&o.stdinName, "stdin-filename", "", "the `name` of the standard input")
	f.BoolVar(&o.byContent, "by-content", false, "of the files that are named, too, look only at those that are Bifrost configs or hold some")
	f.BoolVar(&o.fix, "fix", false, "make the repairs that are safe, in the files themselves")
	f.BoolVar(&o.diff, "diff", false, "show the repairs that --fix makes instead of the findings, values masked")
	f.BoolVar(&o.listRules, "list-rules", false, "print every rule and stop")
	if p.Online != nil {
		f.BoolVar(&o.online, "online", false, "look every reference up too: is it there, may it be read; no value is shown")
	}
	if p.ConfigStore != nil {
		f.BoolVar(&o.configStore, "config-store", false, "look at what Bifrost's PostgreSQL config store holds too; no value is shown")
		f.StringVar(&o.database, "database", "", "with --config-store: its `address`, instead of the config's own; with a password as env.NAME")
	}
	if p.Quiet == nil {
		f.BoolVarP(&o.quiet, "quiet", "q", false, "print the report and errors only")
	}
	for name, words := range map[string][]string{"format": report.Formats, "fail-on": severities, "mode": modes} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags alone
	}
	return cmd
}

var (
	severities = []string{"note", "warning", "error", "never"}
	modes      = []string{"inline", "env"}
)

// check makes sure that the flags go together. formatted says that --format was
// given.
func (o *options) check(formatted bool) error {
	if o.json {
		if formatted && o.format != report.JSON {
			return usage("name one of them", "--json and --format %s exclude each other", o.format)
		}
		o.format = report.JSON
	}
	for _, one := range []struct {
		flag, word string
		allowed    []string
	}{{"format", o.format, report.Formats}, {"fail-on", o.failOn, severities}, {"mode", o.mode, modes}} {
		if !slices.Contains(one.allowed, one.word) {
			last := len(one.allowed) - 1
			return usage("write "+strings.Join(one.allowed[:last], ", ")+" or "+one.allowed[last], "unknown --%s %s", one.flag, strconv.Quote(one.word))
		}
	}
	switch {
	case o.diff && o.format != report.Text:
		return usage("leave one of them out", "--diff shows no findings, so it goes with no --format")
	case o.database != "" && !o.configStore:
		return usage("add --config-store", "--database needs --config-store")
	case o.configStore && (o.fix || o.diff):
		return usage("leave one of them out", "--config-store repairs nothing, so it goes with neither --fix nor --diff")
	case o.baseline != "" && o.writeBaseline != "":
		return usage("leave one of them out", "--baseline reads what --write-baseline writes, so they exclude each other")
	case o.writeBaseline != "" && (o.fix || o.diff):
		return usage("repair first", "--write-baseline goes with neither --fix nor --diff")
	}
	return nil
}

type run struct {
	Program
	options
	settled  *lint.Settings
	bifrosts lint.Versions
	// settledDir is the folder of the settings; empty where there are none.
	settledDir string
	base       *baseline // nil where none was named
	out        report.Options
}

func (r *run) do(ctx context.Context, args []string, formatted bool) error {
	if err := r.check(formatted); err != nil {
		return err
	}
	if r.bifrost != "" {
		var err error
		if r.bifrosts, err = lint.ParseVersions(r.bifrost); err != nil {
			return usage("write it as 2.0 or 1.5.16", "--bifrost-version %s", err)
		}
	}
	if r.listRules {
		return r.printRules()
	}
	inputs, err := r.inputs(args)
	if err != nil {
		return err
	}
	if r.settled, err = r.readSettings(inputs.first); err != nil {
		return err
	}
	if name := cmp.Or(r.baseline, r.writeBaseline); name != "" {
		if r.base, err = readBaseline(name, r.writeBaseline != ""); err != nil {
			return err
		}
	}
	r.out = report.Options{
		Format: r.format, Colour: colour(r.Stdout, r.Getenv),
		Rules: r.rules(), Version: r.Version,
	}
	return r.all(ctx, inputs)
}

func (r *run) silent() bool { return r.quiet || r.Quiet != nil && r.Quiet() }

func (r *run) rules() []lint.Rule {
	all := lint.Rules()
	if r.Online != nil {
		all = append(all, lint.Online)
	}
	if r.ConfigStore != nil {
		all = append(all, lint.DatabaseRules...)
	}
	return all
}

func (r *run) printRules() error {
	t := tabwriter.NewWriter(r.Stdout, 0, 0, 2, ' ', 0)
	for _, rule := range r.rules() {
		off := ""
		if rule.Off {
			off = " (off unless it is switched on)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s%s\n", rule.ID, rule.Severity, rule.Summary, off)
	}
	return unwritten(t.Flush())
}

// unwritten makes a failure of an error of the standard output. That its reader has
// gone is none that is worth a word: the program ends as that signal would end it.
func unwritten(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return err
	}
	return &Failure{Code: exitUsage, Reason: "cannot write the report: " + err.Error()}
}

// colour reports whether w is a terminal that wants colour.
func colour(w io.Writer, getenv func(string) (string, bool)) bool {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	no, _ := getenv("NO_COLOR")
	kind, _ := getenv("TERM")
	return no == "" && kind != "dumb"
}
