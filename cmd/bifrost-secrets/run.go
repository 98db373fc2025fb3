package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"bifrost-secrets/cmd/internal/help"
	"bifrost-secrets/cmd/internal/variables"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/hashivault"
	"bifrost-secrets/sources/postgres"
	"bifrost-secrets/walker/regular"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes, which are a promise.
const (
	exitDone        = 0
	exitUnresolved  = 1 // a reference does not resolve, or a file cannot be written
	exitUsage       = 2 // wrong usage, or an invalid document
	exitUnreachable = 3 // the backend cannot be reached

	exitNotStarted = 125 // exec has failed before its child ran
)

// backends are the sources that this program is built with.
var backends = []sources.Backend{file.Backend, awssecrets.Backend, gcpsecrets.Backend, hashivault.Backend, azurevault.Backend, postgres.Backend}

// ownSignals marks the commands that see to signals themselves: what is caught
// once is not ignored by a child any more, nor left to it.
const ownSignals = "signals"

// program is one run: where it reads and writes, and what every command takes.
type program struct {
	ctx    context.Context // ends when the command is to
	stdin  io.Reader
	stdout io.Writer
	screen *screen
	env    map[string]string

	verbose bool
	quiet   bool
	json    bool
	format  logFormat
	writes  bool // the command writes files, so its errors say that it did not
	unread  []variables.Remark

	answered bool // with --json: the standard output has the answer
}

// run is the program as a function: tests call it as the shell would. env is
// the environment as NAME=value; the clients of AWS and Vault read the process's
// own beside it.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	harden()
	p := &program{ctx: context.Background(), stdin: stdin, stdout: stdout, env: map[string]string{}}
	for _, one := range env {
		name, value, _ := strings.Cut(one, "=")
		p.env[name] = value
	}
	p.screen = newScreen(stderr, p.env)
	p.chooseLogFormat(args)
	root := p.root(args)
	strictCompletion(root)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		help.Plain(root)
	}
	stop := func() {}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmp.Or(p.readVariables(cmd), checkAuthorities())
		p.logJSON()
		switch signals := cmd.Annotations[ownSignals]; {
		case err != nil && signals == "exec":
			return &notStarted{err: err, code: exitNotStarted}
		case err != nil || signals != "":
			return err
		}
		p.warnUnread()
		p.ctx, stop = untilSignal(cmd.Context(), os.Exit)
		cmd.SetContext(p.ctx)
		return nil
	}
	defer func() { stop() }()
	defer surviveReaders()()
	defer p.screen.finish()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if args == nil {
		root.SetArgs([]string{}) // cobra would fall back to the process's own
	}
	cmd, err := root.ExecuteContextC(context.Background())
	var path *fs.PathError
	if errors.As(err, &path) && path.Path == os.Stdout.Name() {
		if errors.Is(err, syscall.EPIPE) { // as if by the signal, which says nothing either
			return signalled(syscall.SIGPIPE)
		}
		err = &failure{Reason: "the standard output cannot be written: " + path.Err.Error(), Code: exitUnresolved}
	}
	if err != nil {
		p.warnUnread() // one of them may be why
		if p.json && !p.answered {
			_ = p.writeJSON(map[string]string{"error": cleanLines(err.Error())})
		}
		p.report(err)
		p.screen.hint(variables.Meant(cmd, err.Error()+"\n"+sources.HintOf(err)))
	}
	return exitCode(err)
}

// wholeProgram returns all commands, to be looked at.
func wholeProgram() *cobra.Command {
	return (&program{screen: newScreen(io.Discard, nil)}).root(nil)
}

// readVariables sets the flags that are given as variables.
func (p *program) readVariables(cmd *cobra.Command) error {
	if !cmd.Hidden { // which the shell asks for completions
		p.unread = variables.Unread(cmd, wholeProgram, slices.Collect(maps.Keys(p.env)))
	}
	if err := variables.Set(cmd, p.getenv); err != nil {
		return usageError(err.Error(), seeHelp(cmd, err))
	}
	return nil
}

// warnUnread warns, once, of variables that look like settings and are none.
func (p *program) warnUnread() {
	for _, one := range p.unread {
		if !p.quiet {
			p.screen.warning(one.Text, one.Hint)
		}
	}
	p.unread = nil
}

// authoritiesMost is more than a bundle of all certificate authorities has, in
// bytes.
const authoritiesMost = 16 << 20

// checkAuthorities refuses a file of certificate authorities that Go would read by
// itself, whatever it is.
func checkAuthorities() error {
	var at *fs.PathError
	path := os.Getenv("SSL_CERT_FILE")
	if path != "" && errors.As(regular.CheckFile(path, authoritiesMost), &at) {
		return usageError("SSL_CERT_FILE: "+path+" cannot be read: "+at.Err.Error(), "name a file of certificates in PEM, or unset it")
	}
	return nil
}

// command is how one is made, with all its flags.
type command struct {
	name string
	make func() *cobra.Command
}

// group is what --help shows together.
type group struct {
	title    string
	commands []command
}

func (p *program) groups() []group {
	return []group{
		{"Begin:", []command{{"init", p.initCommand}, {"lint", p.lintCommand}, {"store", p.storeCommand}}},
		{"Run:", []command{{"render", p.renderCommand}, {"exec", p.execCommand}, {"watch", p.watchCommand}, {"explain", p.explainCommand}}},
		{"Ask a running exec or watch:", []command{{"flush", p.flushCommand}, {"status", p.statusCommand}, {"health", p.healthCommand}}},
		{"Look after the backend:", []command{{"ping", p.pingCommand}, {"secret", p.secretCommand}, {"prune", p.pruneCommand}}},
		{"Bifrost's own database:", []command{{"attach", p.attachCommand}, {"detach", p.detachCommand}}},
	}
}

// commands returns the one that args begin with, since making all takes as long as
// some of them do, and else every one.
func (p *program) commands(args []string) (all []command) {
	for _, g := range p.groups() {
		for _, c := range g.commands {
			all = append(all, command{c.name, func() *cobra.Command {
				cmd := c.make()
				cmd.GroupID = g.title
				return cmd
			}})
		}
	}
	all = append(all, command{"version", p.versionCommand})
	for i, c := range all {
		if len(args) > 0 && args[0] == c.name {
			return all[i : i+1]
		}
	}
	return all
}

// root returns the program for args.
func (p *program) root(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "bifrost-secrets",
		Short: "Secret management for every Bifrost",
		Long: `bifrost-secrets finds every field of a Bifrost config.json that bears a secret, fetches each
distinct secret once (a cloud's or HashiCorp's secret manager, PostgreSQL, files) and writes the
config with the values in place.`,
		Example: `  # as Bifrost's entrypoint: writes the config, starts Bifrost, and keeps it fresh
  bifrost-secrets exec --config /etc/bifrost/config.json -- /app/docker-entrypoint.sh
  # as a daemon beside a Bifrost that something else starts
  bifrost-secrets watch --config /etc/bifrost/config.json --out /app/data/config.json \
      --apply api --bifrost-url http://127.0.0.1:8080
  # before each commit: secrets in plain text, and references that would not resolve
  bifrost-secrets lint config.json`,
		SilenceErrors: true,
		// The default of cobra is only set on a path that we do not take.
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       noArgs,
	}
	root.PersistentFlags().BoolVarP(&p.verbose, "verbose", "v", false, "log more detail")
	root.PersistentFlags().BoolVarP(&p.quiet, "quiet", "q", false, "print errors only")
	root.PersistentFlags().Var(&p.format, "log-format", "text or json, for all that goes to the standard error; exec and watch write json unless that is a terminal")
	_ = root.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	help.Set(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		// The flags of a misspelt command are unknown only since it is.
		if words := cmd.Flags().Args(); cmd == root && len(words) > 0 {
			return noArgs(cmd, words)
		}
		hint := seeHelp(cmd, err)
		// A mark calls the gateway the secret's owner, so people look for --owner.
		if err.Error() == "unknown flag: --owner" && cmd.Flags().Lookup("gateway") != nil {
			hint = "--gateway says whose a secret is: " + hint
		}
		if err.Error() == "unknown flag: --dry-run" && cmd.Flags().Lookup("yes") != nil {
			hint = "without --yes it only shows what it would do"
		}
		return usageError(err.Error(), hint)
	})
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	versionFlag(root)
	for _, g := range p.groups() {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
	}
	for _, c := range p.commands(args) {
		root.AddCommand(c.make())
	}
	strictHelp(root)
	return root
}

// strictHelp makes `help nope` a failure, for which cobra would print the help
// of the program.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		show := cmd.Run
		cmd.Run = nil
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if found, rest, err := root.Find(args); err == nil && len(rest) > 0 {
				return noArgs(found, rest)
			}
			show(cmd, args)
			return nil
		}
	}
}

// strictCompletion makes `completion nope` a failure in the same way.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.SuggestionsMinimumDistance = 2
			cmd.Args, cmd.RunE = noArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// unsuggested are the commands that write or delete elsewhere than in the files that
// their flags name: they are never suggested for a word that was misspelt.
var unsuggested = map[string]bool{"store": true, "prune": true, "secret": true, "attach": true, "detach": true, "flush": true, "put": true, "delete": true, "migrate": true, "rekey": true}

func suggestions(cmd *cobra.Command, word string) []string {
	return slices.DeleteFunc(cmd.SuggestionsFor(word), func(name string) bool { return unsuggested[name] })
}

// noArgs refuses arguments: of a command with others below it they are misspelt ones.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		such := ""
		if cmd.Flags().Lookup("config") != nil {
			such = ", such as --config"
		}
		return usageError("unexpected argument "+quote(args[0]), "files are named by flags"+such+": see "+cmd.CommandPath()+" --help")
	}
	_, above, _ := strings.Cut(cmd.CommandPath()+" ", " ")
	hint := "see " + cmd.CommandPath() + " --help"
	if near := suggestions(cmd, args[0]); len(near) > 0 {
		hint = "did you mean " + above + strings.Join(near, " or ") + "?"
	}
	return usageError("unknown command "+quote(above+args[0]), hint)
}

// seeHelp returns the hint for a flag that cannot be read: the flags of the command
// that an unknown one is most likely a misspelling of, and the help.
func seeHelp(cmd *cobra.Command, err error) string {
	hint := "see " + cmd.CommandPath() + " --help"
	if strings.Contains(err.Error(), "missing unit in duration") {
		return "write the unit too, as in 30s, 5m or 1h"
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return hint
	}
	flags := cobra.Command{SuggestionsMinimumDistance: 1}
	if len(name) > 5 {
		flags.SuggestionsMinimumDistance = 2
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if near := flags.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean --" + strings.Join(near, " or --") + "? " + hint
	}
	return hint
}

// advised is an error that says what to do about it, and what the program ends with:
// those of every package that the user may meet are of this kind.
type advised interface {
	error
	Advice() string // may be empty
	ExitCode() int
}

// failure is an error of this program's own. Its reason is empty where the command
// has said all.
type failure = service.Error

func usageError(reason, hint string) error {
	return &failure{Reason: reason, Hint: hint, Code: exitUsage}
}

// notStarted is a failure of exec before its child ran.
type notStarted struct {
	err  error
	code int
}

func (n *notStarted) Error() string  { return n.err.Error() }
func (n *notStarted) Unwrap() error  { return n.err }
func (n *notStarted) Advice() string { return sources.HintOf(n.err) }
func (n *notStarted) ExitCode() int  { return n.code }

// exitCode returns the exit code for an error, by DESIGN's list.
func exitCode(err error) int {
	var known advised
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &known):
		return known.ExitCode()
	}
	return exitUnresolved
}

func (p *program) getenv(name string) (string, bool) {
	value, ok := p.env[name]
	return value, ok
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
