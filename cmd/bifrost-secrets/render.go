package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

type renderJob struct {
	job
	out       string
	envFile   string
	envFormat string
	fileMode  string
	owner     string
	json      bool
}

func (p *program) renderCommand() *cobra.Command {
	j := &renderJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "render --out FILE",
		Short: "Write the config with its references resolved",
		Long: `Render reads a config.json, fetches every secret that it refers to, each once, and writes the
resolved config. It writes all or nothing: one reference that does not resolve, and the file stays as it was.`,
		Example: `  # secrets mounted as files
  bifrost-secrets render --config config.json --vault-type file --vault-set path=/run/secrets --out /app/data/config.json
  # secrets as vault_store of the config says
  bifrost-secrets render --config config.json --out /app/data/config.json
  # no secret in the file: values go into an env file for docker
  bifrost-secrets render --config config.json --out data/config.json --mode env --env-file data/bifrost.env`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return j.run(cmd) },
	}
	j.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&j.out, "out", "o", "", "the `file` to write; it is replaced atomically")
	f.StringVar(&j.envFile, "env-file", "", "with --mode env: the `file` to write the values to")
	f.StringVar(&j.envFormat, "env-format", string(render.DockerEnv), "of the env file: docker, systemd or shell")
	f.StringVar(&j.fileMode, "file-mode", "600", "permissions of what is written, in octal")
	f.StringVar(&j.owner, "owner", "", "`user[:group]` to give what is written to")
	f.BoolVar(&j.json, "json", false, "print what was done as JSON")
	_ = cmd.RegisterFlagCompletionFunc("env-format", cobra.FixedCompletions([]string{"docker", "systemd", "shell"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// account is what render says that it did.
type account struct {
	Out       string            `json:"out,omitempty"`
	EnvFile   string            `json:"env_file,omitempty"`
	Changed   bool              `json:"changed"`
	Mode      string            `json:"mode"`
	Source    string            `json:"source,omitempty"`
	Fields    int               `json:"fields"`    // of the catalogue, in the document
	Resolved  int               `json:"resolved"`  // references written
	Secrets   int               `json:"secrets"`   // distinct
	Calls     int               `json:"calls"`     // planned
	Left      []string          `json:"left"`      // variables left for Bifrost
	Versions  map[string]string `json:"versions"`  // of each secret
	Variables int               `json:"variables"` // in the env file
	Notes     []render.Problem  `json:"notes"`
	Problems  []render.Problem  `json:"problems"`
	Error     string            `json:"error,omitempty"`
}

func (j *renderJob) run(cmd *cobra.Command) error {
	j.p.writes = true
	a := account{Mode: j.mode, Out: j.out, EnvFile: j.envFile}
	err := j.render(cmd, &a)
	if !j.json {
		return err
	}
	var problems *render.Problems
	if errors.As(err, &problems) {
		a.Problems = problems.List
	}
	if err != nil {
		a.Error = cleanLines(err.Error())
	}
	a.Left, a.Notes, a.Problems = listOf(a.Left), listOf(a.Notes), listOf(a.Problems)
	if a.Versions == nil {
		a.Versions = map[string]string{}
	}
	if werr := writeJSON(j.p.stdout, &a); werr != nil && err == nil {
		err = werr
	}
	return err
}

func (j *renderJob) render(cmd *cobra.Command, a *account) error {
	if err := j.checkRenderFlags(); err != nil {
		return err
	}
	if err := j.prepare(); err != nil {
		return err
	}
	config, envFile, err := j.targets()
	if err != nil {
		return err
	}
	source, err := j.open(cmd.Context())
	if err != nil {
		return err
	}
	if err := notOver(source, config, envFile); err != nil {
		return err
	}
	a.Fields, a.Secrets, a.Left = j.plan.Fields, len(j.plan.Secrets), j.plan.Left
	if source != nil {
		defer source.Close()
		a.Source, a.Calls = source.Describe(), source.Plan(j.plan.Secrets).Total()
	}
	rendering, err := j.resolve(cmd.Context(), source)
	if err != nil {
		return err
	}
	a.Versions, a.Notes = rendering.Versions, rendering.Notes
	j.notes(rendering.Notes)
	if err := j.publish(rendering, config, envFile, a); err != nil {
		return err
	}
	a.Resolved = j.plan.Resolved()
	j.say(a, source)
	return nil
}

func (j *renderJob) checkRenderFlags() error {
	switch {
	case j.out == "":
		return usageError("render needs --out", "name the file that Bifrost will read: --out /app/data/config.json")
	case j.envFile != "" && j.mode != string(render.EnvMode):
		return usageError("--env-file needs --mode env", "add --mode env")
	case j.envFile == "" && j.mode == string(render.EnvMode):
		return usageError("--mode env needs --env-file", "name the file that the values go to")
	}
	for _, format := range render.EnvFormats {
		if j.envFormat == string(format) {
			return nil
		}
	}
	return usageError("unknown --env-format "+quote(j.envFormat), "write docker, systemd or shell")
}

// targets checks the files to write before anything is fetched.
func (j *renderJob) targets() (config, envFile *publish.Target, err error) {
	opts := publish.Options{}
	if opts.Mode, err = publish.ParseMode(j.fileMode); err != nil {
		return nil, nil, usageFrom("--file-mode", err)
	}
	if j.owner != "" {
		owner, err := publish.ParseOwner(j.owner)
		if err != nil {
			return nil, nil, usageFrom("--owner", err)
		}
		opts.Owner = &owner
	}
	inputs := j.inputs()
	if config, err = publish.Check(j.out, inputs, opts); err != nil {
		return nil, nil, err
	}
	targets := []*publish.Target{config}
	if j.envFile != "" {
		if envFile, err = publish.Check(j.envFile, inputs, opts); err != nil {
			return nil, nil, err
		}
		if envFile.Path == config.Path {
			return nil, nil, usageError("--out and --env-file are the same file", "give each its own")
		}
		targets = append(targets, envFile)
	}
	for _, t := range targets {
		for _, warning := range t.Warnings {
			j.p.note(warning, "")
		}
	}
	return config, envFile, nil
}

// inputs are the files that are read, which none of the targets may be.
func (j *renderJob) inputs() []fs.FileInfo {
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

// notOver refuses targets that are, or lie in, what the source itself reads.
func notOver(source sources.Source, targets ...*publish.Target) error {
	reader, ok := source.(interface{ Inputs() []string })
	if !ok {
		return nil
	}
	for _, input := range reader.Inputs() {
		path, err := filepath.Abs(input)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		for _, t := range targets {
			if t == nil {
				continue
			}
			if rel, err := filepath.Rel(path, t.Path); err == nil && (rel == "." || filepath.IsLocal(rel)) {
				return usageError(t.Path+" is, or lies in, what the secrets are read from", "publish elsewhere")
			}
		}
	}
	return nil
}

// usageFrom makes a fault of a flag's value one of usage.
func usageFrom(flag string, err error) error {
	var e *publish.Error
	if errors.As(err, &e) {
		return usageError(flag+": "+e.Message, e.Hint)
	}
	return usageError(flag+": "+err.Error(), "")
}

// publish puts the files in place. The env file goes first: a config that is in
// place may refer to no variable that is not.
func (j *renderJob) publish(r *render.Rendering, config, envFile *publish.Target, a *account) error {
	document := r.Document()
	var env, oldEnv []byte
	var err error
	if envFile != nil {
		if env, err = r.EnvFile(render.EnvFormat(j.envFormat)); err != nil {
			return err
		}
		vars, _ := r.Environment() // EnvFile has reported what is wrong with them
		a.Variables = len(vars)
		if oldEnv, err = os.ReadFile(envFile.Path); err != nil && !isMissing(err) {
			return err
		}
	}
	if r.HasKey() {
		old, err := os.ReadFile(config.Path)
		if err != nil && !isMissing(err) {
			return err
		}
		if err := r.KeepsKey(j.out, old, oldEnv, env); err != nil {
			return err
		}
	}
	staged := []*publish.Staged{}
	for _, file := range []struct {
		target  *publish.Target
		content []byte
	}{{envFile, env}, {config, document}} {
		if file.target == nil {
			continue
		}
		s, err := file.target.Stage(file.content)
		if err != nil {
			return err
		}
		defer s.Discard()
		staged = append(staged, s)
	}
	for _, s := range staged {
		changed, err := s.Commit()
		a.Changed = a.Changed || changed
		if err != nil {
			return err
		}
	}
	return nil
}

// say gives people the account in a few lines.
func (j *renderJob) say(a *account, source sources.Source) {
	if j.p.quiet {
		return
	}
	s := j.p.screen
	switch {
	case a.Resolved == 0:
		s.line("no references to resolve in %s", count(a.Fields, "field"))
	case source == nil || a.Secrets == 0:
		s.line("%s resolved from the environment", count(a.Resolved, "reference"))
	default:
		s.line("%s to %s resolved from %s with %s", count(a.Resolved, "reference"), count(a.Secrets, "secret"), clean(source.Describe()), count(a.Calls, "call"))
	}
	switch {
	case !a.Changed && j.envFile == "":
		s.line("nothing changed: %s stays as it is", clean(j.out))
	case !a.Changed:
		s.line("nothing changed: %s and %s stay as they are", clean(j.out), clean(j.envFile))
	case j.envFile == "":
		s.line("wrote %s", clean(j.out))
	default:
		s.line("wrote %s, and %s to %s", clean(j.out), count(a.Variables, "variable"), clean(j.envFile))
	}
}

// listOf makes an empty list of none: a program that reads JSON goes over a
// list, and stumbles over a null.
func listOf[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// writeJSON prints a result for machines.
func writeJSON(w interface{ Write([]byte) (int, error) }, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
