package main

import (
	"cmp"
	"context"
	"io"

	"bifrost-secrets/render"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

type attachJob struct {
	job
	yes bool
}

func (p *program) attachCommand() *cobra.Command {
	j := &attachJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "attach",
		Short: "Put variables in the places of references in Bifrost's database",
		Long: `Attach finds the vault. references in Bifrost's PostgreSQL config store, as they are typed into
its dashboard, and puts variables of env mode in their places; what each means is kept in a table
of our own. Without --yes it shows which, and changes nothing. Bifrost has to be started by exec
--mode env from then on, which does the same by itself with --rewrite-database; detach undoes it.

Virtual keys, columns in which Bifrost resolves no variables, and what is encrypted stay as they
are.`,
		Example: `  bifrost-secrets attach --config config.json
  bifrost-secrets attach --config config.json --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r attaching
			err := j.attach(cmd.Context(), &r)
			r.Attach, r.Attached, r.Left, r.Unknown = listOf(r.Attach), listOf(r.Attached), listOf(r.Left), listOf(r.Unknown)
			return p.conclude(&r, &r.Error, err)
		},
	}
	j.planFlags(cmd)
	j.trustFlag(cmd)
	j.databaseFlag(cmd)
	cmd.Flags().BoolVar(&j.yes, "yes", false, "make the changes; without it they are only shown")
	p.jsonFlag(cmd)
	return cmd
}

type attaching struct {
	Database string `json:"database,omitempty"`
	configstore.Plan
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

func (j *attachJob) attach(ctx context.Context, report *attaching) error {
	if err := j.read(); err != nil {
		return err
	}
	store, err := j.needConfigStore(ctx)
	if err != nil {
		return err
	}
	report.Database = store.Name()
	return configstore.Retried(func() error { return j.once(ctx, store, report) })
}

func (j *attachJob) once(ctx context.Context, store *configstore.Store, report *attaching) error {
	within, cancel := j.Within(ctx)
	defer cancel()
	done := j.p.waiting("asking " + store.Name())
	plan, err := store.Plan(within, j.BringsVariable())
	done()
	if err != nil {
		return service.OfConfigStore(err)
	}
	report.Plan = *plan
	if err := plan.Summary.Allowed(); err != nil {
		return service.OfConfigStore(err)
	}
	if j.yes {
		if err := j.resolves(ctx, plan); err != nil {
			return err
		}
		if err := store.Attach(within, plan); err != nil {
			return service.OfConfigStore(err)
		}
		report.Done = true
	}
	if !j.p.json {
		if err := report.print(j.p.stdout); err != nil {
			return err
		}
	}
	j.say(report)
	return nil
}

// resolves checks that each reference has a value that Bifrost would take, in
// the field that it stands in.
func (j *attachJob) resolves(ctx context.Context, plan *configstore.Plan) error {
	empty, err := walker.Parse(j.Doc.Name, []byte("{}"))
	if err != nil {
		return err
	}
	if j.Plan, err = render.NewPlan(empty, j.Store, render.Options{Mode: render.EnvMode, Getenv: j.p.getenv, Beside: plan.Beside()}); err != nil {
		return err
	}
	source, err := j.Open(ctx)
	if err != nil {
		return err
	}
	if source != nil {
		defer source.Close()
	}
	rendering, err := j.Resolve(ctx, source)
	if err != nil {
		return err
	}
	_, err = rendering.Environment()
	return err
}

func (r *attaching) print(w io.Writer) error {
	var rows [][]string
	for _, list := range []struct {
		sign string
		all  []configstore.Reference
	}{{"+", r.Attach}, {"=", r.Attached}, {"!", r.Left}, {"?", r.Unknown}} {
		for _, one := range list.all {
			rows = append(rows, []string{list.sign + " " + one.Place.String(), one.Entity, one.Reference, cmp.Or(one.Reason, "env."+one.Variable)})
		}
	}
	return table(w, rows)
}

func (j *attachJob) say(r *attaching) {
	verb := "would rewrite"
	if r.Done {
		verb = "rewrote"
	}
	j.p.say("%s: %s %s; %d rewritten before, %d to stay as they are", clean(r.Database), verb, count(len(r.Attach), "reference"), len(r.Attached), len(r.Left))
	if r.Summary.Encrypted > 0 {
		j.p.say("%s encrypted by Bifrost, and not checked", count(r.Summary.Encrypted, "value"))
	}
	if len(r.Unknown) > 0 {
		j.p.say("%s whose meaning is not recorded, which Bifrost takes as empty", count(len(r.Unknown), "variable"))
	}
	if !r.Done && len(r.Attach) > 0 {
		j.p.say("nothing was changed")
		j.p.advise("--yes makes the changes; so does exec --mode env --rewrite-database, before Bifrost starts")
	}
}
