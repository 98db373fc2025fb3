package main

import (
	"io/fs"
	"os"
	"path/filepath"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/spf13/cobra"
)

// output is where a rendering goes, and how.
type output struct {
	out       string
	envFile   string
	envFormat string
	fileMode  string
	owner     string

	keyHint string // what to do about a changed encryption_key; empty: what render says
}

func (o *output) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "the `file` to write; it is replaced atomically")
	f.StringVar(&o.envFile, "env-file", "", "with --mode env: the `file` to write the values to")
	f.StringVar(&o.envFormat, "env-format", string(render.DockerEnv), "of the env file: docker, compose, systemd or shell")
	_ = cmd.RegisterFlagCompletionFunc("env-format", cobra.FixedCompletions([]string{"docker", "compose", "systemd", "shell"}, cobra.ShellCompDirectiveNoFileComp))
	o.permissionFlags(cmd)
}

// permissionFlags are those of every file that is written.
func (o *output) permissionFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.fileMode, "file-mode", "600", "permissions of what is written, in octal")
	f.StringVar(&o.owner, "owner", "", "`user[:group]` to give what is written to")
}

// check finds the flags that do not go together, for the command of that name.
func (o *output) check(command, mode string) error {
	switch {
	case o.out == "":
		return usageError(command+" needs --out", "name the file that Bifrost will read: --out /app/data/config.json")
	case o.envFile != "" && mode != string(render.EnvMode):
		return usageError("--env-file needs --mode env", "add --mode env")
	case o.envFile == "" && mode == string(render.EnvMode):
		return usageError("--mode env needs --env-file", "name the file that the values go to")
	}
	for _, format := range render.EnvFormats {
		if o.envFormat == string(format) {
			return nil
		}
	}
	return usageError("unknown --env-format "+quote(o.envFormat), "write docker, compose, systemd or shell")
}

// targets are the files that are written. envFile is nil where there is none.
type targets struct{ config, envFile *publish.Target }

// all gives the targets in the order of writing. The env file goes first: a
// config that is in place may refer to no variable that is not.
func (t targets) all() []*publish.Target {
	if t.envFile == nil {
		return []*publish.Target{t.config}
	}
	return []*publish.Target{t.envFile, t.config}
}

func (t targets) warnings() []string {
	var all []string
	for _, target := range t.all() {
		all = append(all, target.Warnings...)
	}
	return all
}

// targets checks the files to write before anything is fetched. None of them
// may be one of inputs.
func (o *output) targets(inputs []fs.FileInfo) (t targets, err error) {
	opts := publish.Options{}
	if opts.Mode, err = publish.ParseMode(o.fileMode); err != nil {
		return t, usageFrom("--file-mode", err)
	}
	if o.owner != "" {
		owner, err := publish.ParseOwner(o.owner)
		if err != nil {
			return t, usageFrom("--owner", err)
		}
		opts.Owner = &owner
	}
	if t.config, err = publish.Check(o.out, inputs, opts); err != nil || o.envFile == "" {
		return t, err
	}
	if t.envFile, err = publish.Check(o.envFile, inputs, opts); err == nil && t.envFile.Path == t.config.Path {
		err = usageError("--out and --env-file are the same file", "give each its own")
	}
	return t, err
}

// notOver refuses targets that are, or lie in, what the source itself reads.
func notOver(source sources.Source, to targets) error {
	for _, input := range inputsOf(source) {
		path, err := filepath.Abs(input)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		for _, t := range to.all() {
			if rel, err := filepath.Rel(path, t.Path); err == nil && (rel == "." || filepath.IsLocal(rel)) {
				return usageError(t.Path+" is, or lies in, what the secrets are read from", "publish elsewhere")
			}
		}
	}
	return nil
}

// inputsOf gives the files and directories that a source reads, if any.
func inputsOf(source sources.Source) []string {
	if reader, ok := source.(interface{ Inputs() []string }); ok {
		return reader.Inputs()
	}
	return nil
}

// usageFrom makes a fault of a flag's value one of usage.
func usageFrom(flag string, err error) error {
	return usageError(flag+": "+err.Error(), sources.HintOf(err))
}

// published says what publishing did.
type published struct {
	changed   bool // anything at all
	replaced  bool // there was a config in place before
	variables int  // in the env file
}

// publish puts the files in place: all of them, or none. An encryption_key that
// is another than that of the file in place is refused, unless newKey allows it.
func (o *output) publish(r *render.Rendering, to targets, newKey bool) (done published, err error) {
	contents := map[*publish.Target][]byte{to.config: r.Document()}
	var oldEnv []byte
	if to.envFile != nil {
		env, err := r.EnvFile(render.EnvFormat(o.envFormat))
		if err != nil {
			return done, err
		}
		contents[to.envFile] = env
		vars, _ := r.Environment() // EnvFile has reported what is wrong with them
		done.variables = len(vars)
		if oldEnv, _, err = sources.ReadFile(to.envFile.Path, walker.MaxSize); err != nil && !isMissing(err) {
			return done, err
		}
	}
	if _, err := os.Lstat(to.config.Path); err == nil {
		done.replaced = true
	}
	if r.HasKey() && !newKey {
		old, _, err := sources.ReadFile(to.config.Path, walker.MaxSize)
		if err != nil && !isMissing(err) {
			return done, err
		}
		if err := r.KeepsKey(o.out, o.keyHint, old, oldEnv, contents[to.envFile]); err != nil {
			return done, err
		}
	}
	staged := []*publish.Staged{}
	for _, target := range to.all() {
		s, err := target.Stage(contents[target])
		if err != nil {
			return done, err
		}
		defer s.Discard()
		staged = append(staged, s)
	}
	for _, s := range staged {
		changed, err := s.Commit()
		done.changed = done.changed || changed
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
