package service

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/regular"
)

// Output is where a rendering goes, and how.
type Output struct {
	Out       string
	EnvFile   string
	EnvFormat string
	FileMode  string // in octal
	Owner     string // user[:group]
}

// Check finds the flags that do not go together, for the command of that name.
func (o *Output) Check(command, mode string) error {
	switch {
	case o.Out == "":
		return usageError(command+" needs --out", "name the file that Bifrost will read: --out /app/data/config.json")
	case o.EnvFile != "" && mode != string(render.EnvMode):
		return usageError("--env-file needs --mode env", "add --mode env")
	case o.EnvFile == "" && mode == string(render.EnvMode):
		return usageError("--mode env needs --env-file", "name the file that the values go to")
	}
	for _, format := range render.EnvFormats {
		if o.EnvFormat == string(format) {
			return nil
		}
	}
	return usageError("unknown --env-format "+quote(o.EnvFormat), "write docker, compose, systemd or shell")
}

// Targets are the files that are written. EnvFile is nil where there is none.
type Targets struct{ Config, EnvFile *publish.Target }

// all returns the targets in the order of writing. The env file goes first: a
// config that is in place may refer to no variable that is not.
func (t Targets) all() []*publish.Target {
	if t.EnvFile == nil {
		return []*publish.Target{t.Config}
	}
	return []*publish.Target{t.EnvFile, t.Config}
}

// Warnings are what is to be said of the places of the files.
func (t Targets) Warnings() []string {
	var all []string
	for _, target := range t.all() {
		all = append(all, target.Warnings...)
	}
	return all
}

// Targets checks the files to write before anything is fetched. None of them
// may be one of inputs.
func (o *Output) Targets(inputs []fs.FileInfo) (t Targets, err error) {
	opts := publish.Options{}
	if opts.Mode, err = publish.ParseMode(o.FileMode); err != nil {
		return t, usageFrom("--file-mode", err)
	}
	if o.Owner != "" {
		owner, err := publish.ParseOwner(o.Owner)
		if err != nil {
			return t, usageFrom("--owner", err)
		}
		opts.Owner = &owner
	}
	if t.Config, err = publish.Check(o.Out, inputs, opts); err != nil || o.EnvFile == "" {
		return t, err
	}
	if t.EnvFile, err = publish.Check(o.EnvFile, inputs, opts); err == nil && t.EnvFile.Path == t.Config.Path {
		err = usageError("--out and --env-file are the same file", "give each its own")
	}
	return t, err
}

// NotOver refuses targets that are, or lie in, what the source itself reads.
func NotOver(source sources.Source, to Targets) error {
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

// inputsOf returns the files and directories that a source reads, if any.
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

// Published says what publishing did.
type Published struct {
	Changed   bool // anything at all
	Replaced  bool // there was a config in place before
	Variables int  // in the env file
}

// Publish puts the files in place: all of them, or none. An encryption_key that
// is another than that of the file in place is refused, unless newKey allows it;
// keyHint says what to do then, where that is not what render says.
func (o *Output) Publish(r *render.Rendering, to Targets, newKey bool, keyHint string) (done Published, err error) {
	contents := map[*publish.Target][]byte{to.Config: r.Document()}
	var oldEnv []byte
	if to.EnvFile != nil {
		env, err := r.EnvFile(render.EnvFormat(o.EnvFormat))
		if err != nil {
			return done, err
		}
		contents[to.EnvFile] = env
		vars, _ := r.Environment() // EnvFile has reported what is wrong with them
		done.Variables = len(vars)
		if oldEnv, _, err = regular.ReadFile(to.EnvFile.Path, walker.MaxSize); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
	}
	if _, err := os.Lstat(to.Config.Path); err == nil {
		done.Replaced = true
	}
	if r.HasKey() && !newKey {
		old, _, err := regular.ReadFile(to.Config.Path, walker.MaxSize)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
		if err := r.KeepsKey(o.Out, keyHint, old, oldEnv); err != nil {
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
		done.Changed = done.Changed || changed
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
