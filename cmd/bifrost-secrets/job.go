package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/spf13/cobra"
)

// job is what render, explain and ping have in common: a document, where its
// secrets come from, and how to fetch them.
type job struct {
	p *program

	config     string
	vaultStore string
	vaultType  string
	vaultSet   []string
	literal    []string
	anywhere   bool
	unset      bool // a variable that is not set is no failure: nothing is published
	elsewhere  bool // nor is what was meant as a reference and is none
	mode       string
	timeout    time.Duration
	awsBatch   string
	database   string // of the config store; empty for the document's own

	// besides gives the references outside of the document, once it is read; it
	// may be nil.
	besides func(context.Context, *job, sources.Source) ([]render.Beside, error)
	beside  []render.Beside

	allowCommands bool
	commandsSaid  func() bool // whether the flag was given, in exec and watch

	trust     bool     // the config may do what flags may
	ambient   bool     // it may name where this machine's logins go: they are meant for it, or nothing is asked
	allowPath []string // folders that its paths may lead into

	warn func(text string) // where remarks of a source go; nil: to the screen

	doc   *walker.Document
	store *render.VaultStore
	plan  *render.Plan
	made  sources.Calls // the requests of resolve
}

// flags are those of the commands that render, or say what rendering would do.
func (j *job) flags(cmd *cobra.Command) {
	j.planFlags(cmd)
	j.anywhereFlag(cmd)
	cmd.Flags().StringVar(&j.mode, "mode", string(render.Inline), "inline: values in the file; env: env.NAME in the file, values in the environment")
	complete(cmd, "mode", "inline", "env")
}

func (j *job) anywhereFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.anywhere, "anywhere", false, "resolve references in every string value, and not only in the fields that are known; never inside vault_store")
}

// planFlags are those of the commands that look at all references of a document.
func (j *job) planFlags(cmd *cobra.Command) {
	j.storeFlags(cmd)
	j.mode = string(render.Inline)
	f := cmd.Flags()
	f.StringArrayVar(&j.literal, "literal", nil, "JSON `path` of a string that only looks like a reference; repeatable")
	f.StringVar(&j.awsBatch, "aws-batch", "auto", "auto: BatchGetSecretValue where it is allowed; off: one GetSecretValue a secret")
	complete(cmd, "aws-batch", "auto", "off")
}

// storeFlags are the flags that say which backend, and how to ask it.
func (j *job) storeFlags(cmd *cobra.Command) {
	var types []string
	for _, b := range backends {
		types = append(types, b.Type)
	}
	f := cmd.Flags()
	f.StringVarP(&j.config, "config", "c", "config.json", "the config.json to read; - is the standard input")
	f.StringVar(&j.vaultStore, "vault-store", "", "`file` with a vault_store block, in place of the config's own")
	f.StringVar(&j.vaultType, "vault-type", "", "vault_store `type`, in place of a block: "+strings.Join(types, ", "))
	f.StringArrayVar(&j.vaultSet, "vault-set", nil, "a setting for --vault-type, as `key=value`; credentials as key=env.NAME; repeatable")
	f.DurationVar(&j.timeout, "timeout", 30*time.Second, "how long the backend may take in all")
	f.BoolVar(&j.allowCommands, "allow-commands", false, "run commands that the config names to sign in with, such as password_command")
	f.StringArrayVar(&j.allowPath, "allow-path", nil, "`folder` that files which the config names may lie in, beside its own, "+strings.Join(sources.MountedSecrets, " and ")+"; repeatable (or "+allowPathVariable+")")
	complete(cmd, "vault-type", types...)
}

// allowPathVariable lists folders as PATH does, for an image whose command line
// stands.
const allowPathVariable = ownVariables + "ALLOW_PATH"

// trustFlag is of the commands that do not trust the config by themselves.
func (j *job) trustFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&j.trust, "trust-config", false, "sign in to the address that the config names with what is found here, and read the files that it names, wherever they are")
}

// complete has the shell complete the words of a flag.
func complete(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags alone
}

// prepare reads the document and makes the plan.
func (j *job) prepare() error {
	if err := j.read(); err != nil {
		return err
	}
	return j.makePlan()
}

// read reads the document, and finds the block that says where its secrets are.
func (j *job) read() error {
	if err := j.checkFlags(); err != nil {
		return err
	}
	if err := j.readDocument(); err != nil {
		return err
	}
	return j.findStore()
}

func (j *job) readDocument() (err error) {
	if j.config == "-" {
		j.doc, err = walker.Read("-", j.p.input())
	} else {
		name := j.config
		j.doc, err = awaited(j, name, func() (*walker.Document, error) { return walker.ReadFile(name) })
	}
	return err
}

// awaited returns what read does, for --timeout at most: a file system may not
// answer, and the system has no other way to stop waiting for it. A second is
// given in any case, since the flag speaks of the backend.
func awaited[T any](j *job, name string, read func() (T, error)) (got T, err error) {
	ctx, cancel := deadline(j.p.ctx, max(j.timeout, time.Second))
	defer cancel()
	type result struct {
		got T
		err error
	}
	done := make(chan result, 1)
	go func() {
		got, err := read()
		done <- result{got, err}
	}()
	select {
	case r := <-done:
		return r.got, r.err
	case <-ctx.Done():
		cause := context.Cause(ctx)
		if errors.Is(cause, context.Canceled) {
			cause = errInterrupted
		}
		return got, &walker.DocumentError{Name: name, Reason: "cannot be read: " + cause.Error(), Hint: "see the file system that it is on"}
	}
}

// findStore finds the vault_store block: a file's, that of the flags, or the
// document's own.
func (j *job) findStore() (err error) {
	switch {
	case j.vaultStore != "":
		name := j.vaultStore
		j.store, err = awaited(j, name, func() (*render.VaultStore, error) { return render.StoreFromFile(name) })
		var missing *walker.DocumentError
		if errors.As(err, &missing) && isMissing(err) {
			missing.Hint = "name a file that holds a vault_store block with --vault-store"
		}
	case j.vaultType != "":
		j.store, err = render.StoreFromFlags(j.vaultType, j.vaultSet, backends)
	default:
		j.store, err = render.StoreFromDocument(j.doc)
	}
	return err
}

func (j *job) makePlan() (err error) {
	j.plan, err = render.NewPlan(j.doc, j.store, render.Options{Mode: render.Mode(j.mode), Literal: j.literal, Anywhere: j.anywhere, UnsetIsNote: j.unset, MissIsNote: j.elsewhere, Getenv: j.p.getenv, Beside: j.beside})
	return err
}

func (j *job) checkFlags() error {
	if err := j.checkCommands(); err != nil {
		return err
	}
	switch {
	case j.mode != string(render.Inline) && j.mode != string(render.EnvMode):
		return usageError("unknown --mode "+quote(j.mode), "write inline or env")
	case j.awsBatch != "auto" && j.awsBatch != "off":
		return usageError("unknown --aws-batch "+quote(j.awsBatch), "write auto or off")
	}
	return j.checkStoreFlags()
}

func (j *job) checkStoreFlags() error {
	switch {
	case j.timeout <= 0:
		return usageError("--timeout must be more than nothing", "write 30s or 2m")
	case j.vaultStore != "" && j.vaultType != "":
		return usageError("--vault-store and --vault-type exclude each other", "name one of them")
	case len(j.vaultSet) > 0 && j.vaultType == "":
		return usageError("--vault-set needs --vault-type", "write --vault-type file --vault-set path=/run/secrets")
	case j.config == "":
		return usageError("--config names no file", "write --config config.json, or - for the standard input")
	case isDocument(j.config), isDocument(j.vaultStore):
		return usageError("--config and --vault-store take the name of a file, and not what is in it", "write --config - and give the config on the standard input")
	}
	return nil
}

// isDocument reports whether a file name is a document itself, which no message
// may repeat.
func isDocument(name string) bool {
	return strings.HasPrefix(strings.TrimSpace(name), "{")
}

// open makes the source, or gives nil where the plan needs none.
func (j *job) open(ctx context.Context) (sources.Source, error) {
	if j.store == nil || !j.store.Enabled {
		return nil, nil
	}
	return j.store.Open(ctx, backends, j.options())
}

// openStore makes the source for a command that writes to it.
func (j *job) openStore(ctx context.Context) (sources.Store, error) {
	if j.store == nil || !j.store.Enabled {
		return nil, notEnabled()
	}
	return j.store.OpenStore(ctx, backends, j.options())
}

// within bounds all that a command asks of the backend.
func (j *job) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return deadline(ctx, j.timeout)
}

func deadline(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s (--timeout)", timeout))
}

func (j *job) options() sources.Options {
	// Paths in the block start from the file that they stand in.
	dir := ""
	switch {
	case j.vaultStore != "":
		dir = filepath.Dir(j.vaultStore)
	case j.vaultType == "" && j.config != "-":
		dir = filepath.Dir(j.config)
	}
	warn := j.warn
	if warn == nil {
		warn = func(text string) { j.p.note(text, "") }
	}
	opts := sources.Options{
		Getenv:   j.p.getenv,
		Warn:     warn,
		Log:      j.p.log(),
		BatchOff: j.awsBatch == "off",
		Dir:      dir,
	}
	if j.vaultStore == "" && j.vaultType == "" && !j.trust {
		opts.Untrusted = !j.ambient
		opts.Within = append([]string{dir}, sources.MountedSecrets...)
		listed, _ := j.p.getenv(allowPathVariable)
		for _, folder := range append(filepath.SplitList(listed), j.allowPath...) {
			if folder != "" {
				opts.Within = append(opts.Within, folder)
			}
		}
	}
	return opts
}

// resolve fetches and checks every value. The deadline is on the whole of it.
func (j *job) resolve(ctx context.Context, source sources.Source) (*render.Rendering, error) {
	ctx, cancel := j.within(ctx)
	defer cancel()
	if source != nil && len(j.plan.Secrets) > 0 {
		defer j.p.waiting("fetching " + count(len(j.plan.Secrets), "secret") + " from " + source.Describe())()
	}
	var rendering *render.Rendering
	var err error
	resolve := func() { rendering, err = j.plan.Resolve(ctx, source) }
	if source == nil {
		resolve()
	} else {
		j.made = sources.CallsOf(source, j.plan.Secrets, resolve)
	}
	if err != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		reason := "interrupted"
		if j.p.writes {
			reason += "; nothing was written"
		}
		return nil, &failure{reason: reason, code: exitUnresolved}
	}
	return rendering, err
}

// inputs are the files that are read, which none of the targets may be.
func (j *job) inputs() []fs.FileInfo {
	var inputs []fs.FileInfo
	add := func(info fs.FileInfo, err error) {
		if err == nil && info.Mode().IsRegular() {
			inputs = append(inputs, info)
		}
	}
	for _, name := range []string{j.config, j.vaultStore} {
		add(os.Stat(name))
	}
	if stdin, ok := j.p.stdin.(*os.File); ok && j.config == "-" {
		add(stdin.Stat()) // a shell may have opened a file for it
	}
	return inputs
}

// note tells people something that does not stop the work.
func (p *program) note(text, hint string) {
	if !p.quiet {
		p.screen.note(text, hint)
	}
}

// waiting shows what is waited for, until the function that it gives is called.
func (p *program) waiting(what string) (done func()) {
	if p.quiet {
		return func() {}
	}
	return p.screen.waiting(clean(what))
}
