package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

// job is what the commands have in common that look at a document: its flags, and
// the document once it is loaded.
type job struct {
	p *program
	service.Flags
	*service.Loaded
}

func (p *program) host() *service.Host {
	return &service.Host{
		Env: p.env, Backends: backends, Version: versionName(),
		Stdin: p.stdin, Stdout: p.stdout,
		Detail: p.log(), Warn: func(text string) { p.note(text, "") }, Waiting: p.waiting, Writes: p.writes,
	}
}

// flags are those of the commands that render, or say what rendering would do.
func (j *job) flags(cmd *cobra.Command) {
	j.commandsFlag(cmd)
	j.daemonFlags(cmd)
}

// daemonFlags are those of exec and watch.
func (j *job) daemonFlags(cmd *cobra.Command) {
	j.storeFlags(cmd)
	j.literalFlag(cmd)
	j.anywhereFlag(cmd)
	cmd.Flags().StringVar(&j.Mode, "mode", string(render.Inline), "inline: values in the file; env: env.NAME in the file, values in the environment")
	complete(cmd, "mode", "inline", "env")
}

func (j *job) anywhereFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.Anywhere, "anywhere", false, "resolve references in every string value, and not only in the fields that are known; never inside vault_store")
}

// planFlags are those of the commands that look at all references of a document.
func (j *job) planFlags(cmd *cobra.Command) {
	j.storeFlags(cmd)
	j.literalFlag(cmd)
	j.commandsFlag(cmd)
	j.Mode = string(render.Inline)
}

func (j *job) literalFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&j.Literal, "literal", nil, "JSON `path` of a string that only looks like a reference; repeatable")
}

func (j *job) storeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&j.Config, "config", "c", "config.json", "the config.json to read; - is the standard input")
	f.StringVar(&j.VaultStore, "vault-store", "", "`file` with a vault_store block, instead of the config's own")
	f.StringVar(&j.VaultType, "vault-type", "", "vault_store `type`, instead of a block: "+strings.Join(kinds(), ", "))
	f.StringArrayVar(&j.VaultSet, "vault-set", nil, "a setting for --vault-type, as `key=value`; credentials as key=env.NAME; repeatable")
	f.DurationVar(&j.Timeout, "timeout", 30*time.Second, "time limit for all calls to the backend")
	f.StringArrayVar(&j.AllowPath, "allow-path", nil, "another `folder` from which files named by the config may be read, in addition to its own, "+strings.Join(sources.MountedSecrets, " and ")+"; repeatable (or "+service.AllowPathVariable+")")
	complete(cmd, "vault-type", kinds()...)
}

// kinds are the types of the backends.
func kinds() (all []string) {
	for _, b := range backends {
		all = append(all, b.Type)
	}
	return all
}

// commandsFlag is of the commands that run nothing of the config's by themselves.
func (j *job) commandsFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.AllowCommands, "allow-commands", false, "run commands that the config names to sign in with, such as password_command")
}

// trustFlag is of the commands that do not trust the config by themselves.
func (j *job) trustFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.Trust, "trust-config", false, "sign in to the address that the config names with the credentials of this machine, and read the files that it names, wherever they are")
}

// databaseFlag says where Bifrost's config store is, where it is not where the
// config says.
func (j *job) databaseFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&j.Database, "database", "", "the `address` of Bifrost's config store, instead of the config's own; with a password as env.NAME")
}

// allowCommandsVariable may forbid exec and watch to run what the config names:
// they do, unless it says false, since Bifrost runs the same commands.
const allowCommandsVariable = service.OwnVariables + "ALLOW_COMMANDS"

// checkCommands reads it.
func (j *job) checkCommands() (err error) {
	j.AllowCommands = true
	if text, ok := j.p.getenv(allowCommandsVariable); ok {
		if j.AllowCommands, err = strconv.ParseBool(text); err != nil {
			return usageError(allowCommandsVariable+" is neither true nor false", "write one of the two")
		}
	}
	return nil
}

// complete has the shell complete the words of a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags alone
}

func (j *job) prepare() error {
	if err := j.read(); err != nil {
		return err
	}
	return j.MakePlan(nil)
}

// read reads the document, and finds the block that says where its secrets are.
func (j *job) read() (err error) {
	if err := j.Flags.Check(); err != nil {
		return err
	}
	j.Loaded, err = j.Flags.Read(j.p.ctx, j.p.host())
	return err
}

func (j *job) notEnabled() error {
	return &failure{Reason: render.NotEnabled, Hint: render.HintNotEnabled(j.Doc, j.Store), Code: exitUnresolved}
}

func (j *job) openStore(ctx context.Context) (sources.Store, error) {
	if j.Store == nil || !j.Store.Enabled {
		return nil, j.notEnabled()
	}
	return j.Store.OpenStore(ctx, backends, j.Options())
}

// say prints a line for people, and advise a hint; --quiet leaves them out.
func (p *program) say(format string, args ...any) {
	if !p.quiet {
		p.screen.line(format, args...)
	}
}

func (p *program) advise(hint string) {
	if !p.quiet {
		p.screen.hint(hint)
	}
}

func (p *program) note(text, hint string) {
	if !p.quiet {
		p.screen.note(text, hint)
	}
}

// waiting shows what is waited for, until the function that it returns is called.
func (p *program) waiting(what string) (done func()) {
	if p.quiet {
		return func() {}
	}
	return p.screen.waiting(clean(what))
}

type output struct{ service.Output }

func (o *output) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.Out, "out", "o", "", "the `file` to write; it is replaced atomically")
	f.StringVar(&o.EnvFile, "env-file", "", "with --mode env: the `file` to write the values to")
	f.StringVar(&o.EnvFormat, "env-format", string(render.DockerEnv), "of the env file: docker, compose, systemd or shell")
	complete(cmd, "env-format", "docker", "compose", "systemd", "shell")
	o.permissionFlags(cmd)
}

func (o *output) permissionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.FileMode, "file-mode", "600", "permissions of what is written, in octal")
	o.ownerFlag(cmd)
}

func (o *output) ownerFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Owner, "owner", "", "`user[:group]`, the owner of the files that are written")
}
