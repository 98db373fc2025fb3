package main

import (
	"errors"
	"fmt"
	"io"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/spf13/cobra"
)

type explainJob struct {
	job
	fetch     bool
	catalogue bool
	policy    bool
	readWrite bool
}

func (p *program) explainCommand() *cobra.Command {
	j := &explainJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:        "explain",
		SuggestFor: []string{"plan", "diff", "dry-run", "show", "list"},
		Short:      "Show what would be fetched, and where each value goes",
		Long: `Explain shows every reference of a config.json with its field, what becomes of it, and the calls
that fetching will take. It fetches nothing, unless --fetch asks for it, and it never shows a value.`,
		Example: `  bifrost-secrets explain --config config.json
  bifrost-secrets explain --config config.json --fetch --json
  bifrost-secrets explain --config config.json --policy > policy.json
  bifrost-secrets explain --config config.json --policy --read-write > policy.json
  bifrost-secrets explain --catalogue`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return j.run(cmd) },
	}
	j.flags(cmd)
	j.trustFlag(cmd)
	f := cmd.Flags()
	f.BoolVar(&j.fetch, "fetch", false, "fetch the secrets too: shows their versions, and finds what does not resolve")
	p.jsonFlag(cmd)
	f.BoolVar(&j.catalogue, "catalogue", false, "print every field that is known, as tab-separated lines, and stop")
	f.BoolVar(&j.policy, "policy", false, "print the least policy for exactly these secrets, in the backend's own language")
	f.BoolVar(&j.readWrite, "read-write", false, "with --policy: also for storing and deleting secrets under the prefix of vault_store")
	return cmd
}

type explanation struct {
	Config   string           `json:"config"`
	Source   string           `json:"source,omitempty"`
	Mode     string           `json:"mode"`
	Secrets  []string         `json:"secrets"`
	Calls    calls            `json:"calls"`
	Uses     []render.Use     `json:"uses"`
	Notes    []render.Problem `json:"notes"`
	Problems []render.Problem `json:"problems"`
}

type calls struct {
	Total     int `json:"total"`
	Batch     int `json:"batch"`
	Single    int `json:"single"`
	IfRefused int `json:"single_if_batch_is_refused"`
}

func (j *explainJob) run(cmd *cobra.Command) error {
	if j.readWrite && !j.policy {
		return usageError("--read-write needs --policy", "write --policy --read-write")
	}
	if j.catalogue {
		_, err := io.WriteString(j.p.stdout, walker.CatalogueText())
		return err
	}
	j.Ambient = !j.fetch
	j.UnsetIsNote = !j.fetch // render and exec need it, and to explain does not
	failed := j.prepare()
	var problems *render.Problems
	if failed != nil && (j.Loaded == nil || j.Plan == nil || !errors.As(failed, &problems)) {
		return failed
	}
	source, err := j.Open(cmd.Context())
	if err != nil {
		return err
	}
	if source != nil {
		defer source.Close()
	}
	if j.policy {
		if failed != nil {
			return failed
		}
		return j.printPolicy(source)
	}
	e := explanation{Config: j.Doc.Name, Mode: j.Mode, Notes: j.Plan.Notes}
	for _, name := range j.Plan.Secrets {
		e.Secrets = append(e.Secrets, walker.ShownName(name))
	}
	if source != nil {
		c := source.Plan(j.Plan.Secrets)
		e.Source, e.Calls = source.Describe(), calls{Total: c.Total(), Batch: c.Batch, Single: c.Single, IfRefused: c.IfRefused}
	}
	var versions map[string]string
	if j.fetch && failed == nil {
		var r *render.Rendering
		if r, failed = j.Resolve(cmd.Context(), source); r != nil {
			versions, e.Notes = r.Versions, r.Notes
		}
		e.Calls = calls{Total: j.Made.Total(), Batch: j.Made.Batch, Single: j.Made.Single}
		errors.As(failed, &problems)
	}
	e.Uses = j.Plan.Uses(versions)
	if problems != nil {
		e.Problems = render.Merged(problems.List)
	}
	if j.p.json {
		e.Secrets, e.Notes, e.Problems = listOf(e.Secrets), listOf(e.Notes), listOf(e.Problems)
		if err := j.p.writeJSON(&e); err != nil {
			return err
		}
		return failed
	}
	j.notes(e.Notes)
	if err := e.print(j.p.stdout, j.fetch); err != nil {
		return err
	}
	return failed
}

func (e *explanation) print(w io.Writer, versions bool) error {
	rows := [][]string{{"FIELD", "REFERENCE", "VALUE GOES"}}
	if versions {
		rows[0] = append(rows[0], "VERSION")
	}
	for _, u := range e.Uses {
		goes := map[render.How]string{render.ValueInFile: "into the file", render.ValueInEnv: "into " + u.Variable, render.LeftToBifrost: "left for Bifrost"}[u.How]
		if u.Anywhere {
			goes += ", by --anywhere"
		}
		if u.Rests {
			goes += ", and by Bifrost into its database"
		}
		row := []string{u.Path, u.Reference, goes}
		if versions {
			row = append(row, u.Version)
		}
		rows = append(rows, row)
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if n := e.rest(); n > 0 {
		if _, err := fmt.Fprintf(w, "\nvalues that stay in the file, since Bifrost resolves no env. in their fields: %d\n", n); err != nil {
			return err
		}
	}
	line := count(len(e.Uses), "reference") + ", " + count(len(e.Secrets), "secret")
	if e.Source != "" {
		line += " from " + clean(e.Source) + ", " + count(e.Calls.Total, "call")
	}
	if e.Calls.IfRefused > 0 {
		line += fmt.Sprintf(" (%d if batches are refused)", e.Calls.Single+e.Calls.IfRefused)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", line)
	return err
}

// rest counts the values of secrets that end in the file although the mode is env.
func (e *explanation) rest() (n int) {
	for _, u := range e.Uses {
		if e.Mode == string(render.EnvMode) && u.How == render.ValueInFile && u.Secret != "" {
			n++
		}
	}
	return n
}

// policied is a source that can say which permissions it needs.
type policied interface {
	// Policy returns the least policy for reading names, for people to paste.
	Policy(names []string) []byte

	// WritePolicy returns the least policy for that and for storing and deleting
	// under prefix.
	WritePolicy(names []string, prefix string) []byte
}

func (j *explainJob) printPolicy(source sources.Source) error {
	s, ok := source.(policied)
	switch {
	case source == nil:
		return j.notEnabled()
	case !ok:
		return usageError("--policy is for backends with policies, and "+j.Store.Type+" has none", "")
	case j.readWrite:
		_, err := j.p.stdout.Write(s.WritePolicy(j.Plan.Secrets, j.Store.NamePrefix()))
		return err
	case len(j.Plan.Secrets) == 0:
		return usageError("the document refers to no secret, so it needs no policy", "")
	}
	_, err := j.p.stdout.Write(s.Policy(j.Plan.Secrets))
	return err
}
