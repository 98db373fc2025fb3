package main

import (
	"errors"
	"os"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

type renderJob struct {
	job
	output
	reveal bool
}

func (p *program) renderCommand() *cobra.Command {
	j := &renderJob{job: job{p: p, Flags: service.Flags{Ambient: true}}}
	cmd := &cobra.Command{
		Use:        "render --out FILE",
		SuggestFor: []string{"resolve", "generate", "build", "template", "apply", "fetch", "write"},
		Short:      "Write the config with its references resolved",
		Long: `Render reads a config.json, fetches every secret that it refers to, each once, and writes the
resolved config. It writes all or nothing: one reference that does not resolve, and the file stays
as it was.`,
		Example: `  # secrets mounted as files
  bifrost-secrets render --config config.json --vault-type file --vault-set path=/run/secrets \
      --out /app/data/config.json
  # secrets as vault_store of the config says
  bifrost-secrets render --config config.json --out /app/data/config.json
  # no secret in the file: values go into an env file for docker
  bifrost-secrets render --config config.json --out data/config.json \
      --mode env --env-file data/bifrost.env`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.writes = true
			a := account{Mode: j.Mode, Out: j.Out, EnvFile: j.EnvFile, Versions: map[string]string{}}
			err := j.render(cmd, &a)
			var problems *render.Problems
			if errors.As(err, &problems) {
				a.Problems = render.Merged(problems.List)
			}
			a.Left, a.Notes, a.Problems = listOf(a.Left), listOf(a.Notes), listOf(a.Problems)
			return p.conclude(&a, &a.Error, err)
		},
	}
	j.job.flags(cmd)
	j.output.flags(cmd)
	p.jsonFlag(cmd)
	cmd.Flags().BoolVar(&j.reveal, "reveal", false, "with --out -: print to a terminal too")
	return cmd
}

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

func (j *renderJob) render(cmd *cobra.Command, a *account) error {
	if err := j.output.Check("render", j.Mode); err != nil {
		return err
	}
	if err := j.prepare(); err != nil {
		return j.warned(err)
	}
	if j.Out == "-" {
		return j.print(cmd)
	}
	to, err := j.Targets(j.Inputs(j.p.host()))
	if err != nil {
		return err
	}
	for _, warning := range to.Warnings() {
		j.p.note(warning, "")
	}
	source, err := j.Open(cmd.Context())
	if err != nil {
		return err
	}
	if err := service.NotOver(source, to); err != nil {
		return err
	}
	a.Fields, a.Secrets, a.Left = j.Plan.Fields, len(j.Plan.Secrets), j.Plan.Left
	if source != nil {
		defer source.Close()
		a.Source = source.Describe()
	}
	rendering, err := j.Resolve(cmd.Context(), source)
	a.Calls = j.Made.Total()
	if err != nil {
		return err
	}
	a.Versions, a.Notes = rendering.Versions, rendering.Notes
	j.notes(rendering.Notes)
	done, err := j.Publish(rendering, to, false, "")
	a.Changed, a.Variables = done.Changed, done.Variables
	if err != nil {
		return err
	}
	a.Resolved = j.Plan.Resolved()
	j.say(a, source)
	return nil
}

func (j *renderJob) print(cmd *cobra.Command) error {
	file, isFile := j.p.stdout.(*os.File)
	switch {
	case j.p.json:
		return usageError("--out - and --json both want the standard output", "leave --json out, or name a file")
	case j.Mode == string(render.EnvMode):
		return usageError("--out - is for --mode inline: the file of variables belongs to one config", "name a file with --out")
	case isFile && !j.reveal && term.IsTerminal(int(file.Fd())):
		return usageError("the standard output is a terminal, where every secret would be seen", "pipe it, or add --reveal")
	}
	source, err := j.Open(cmd.Context())
	if err != nil {
		return err
	}
	if source != nil {
		defer source.Close()
	}
	rendering, err := j.Resolve(cmd.Context(), source)
	if err != nil {
		return err
	}
	j.notes(rendering.Notes)
	_, err = j.p.stdout.Write(rendering.Document())
	return err
}

func (j *renderJob) say(a *account, source sources.Source) {
	switch {
	case a.Resolved == 0:
		j.p.say("no references to resolve in %s", count(a.Fields, "field"))
	case source == nil || a.Secrets == 0:
		j.p.say("%s resolved from the environment", count(a.Resolved, "reference"))
	default:
		j.p.say("%s to %s resolved from %s with %s", count(a.Resolved, "reference"), count(a.Secrets, "secret"), clean(source.Describe()), count(a.Calls, "call"))
	}
	switch {
	case !a.Changed && j.EnvFile == "":
		j.p.say("nothing changed: %s stays as it is", clean(j.Out))
	case !a.Changed:
		j.p.say("nothing changed: %s and %s stay as they are", clean(j.Out), clean(j.EnvFile))
	case j.EnvFile == "":
		j.p.say("wrote %s", clean(j.Out))
	default:
		j.p.say("wrote %s, and %s to %s", clean(j.Out), count(a.Variables, "variable"), clean(j.EnvFile))
	}
}
