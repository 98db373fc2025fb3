package main

import (
	"context"

	"bifrost-secrets/render/configstore"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

type detachJob struct {
	job
	yes bool
}

func (p *program) detachCommand() *cobra.Command {
	j := &detachJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "detach",
		Short: "Put the references back into Bifrost's database",
		Long: `Detach undoes attach, and exec --rewrite-database: the vault. references are back in Bifrost's
config store exactly as they were written, in one transaction. What somebody has edited since
stays as it is. Without --yes it shows which, and changes nothing. Stop Bifrost first, since one
that runs may write what it holds.`,
		Example: `  bifrost-secrets detach --config config.json
  bifrost-secrets detach --config config.json --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r detaching
			err := j.detach(cmd.Context(), &r)
			r.Restored, r.Edited, r.Left = listOf(r.Restored), listOf(r.Edited), listOf(r.Left)
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

type detaching struct {
	Database string `json:"database,omitempty"`
	configstore.Detachment
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

func (j *detachJob) detach(ctx context.Context, report *detaching) error {
	if err := j.read(); err != nil {
		return err
	}
	store, err := j.needConfigStore(ctx)
	if err != nil {
		return err
	}
	report.Database = store.Name()
	ctx, cancel := j.Within(ctx)
	defer cancel()
	var done *configstore.Detachment
	err = configstore.Retried(func() (err error) {
		done, err = store.Detach(ctx, !j.yes)
		return err
	})
	if err != nil {
		return service.OfConfigStore(err)
	}
	report.Detachment, report.Done = *done, j.yes
	if !j.p.json {
		var rows [][]string
		for _, one := range done.Restored {
			rows = append(rows, []string{"+ " + one.Place.String(), one.Reference})
		}
		for _, one := range done.Edited {
			rows = append(rows, []string{"= " + one.Place.String(), one.Reference, "edited since; it stays as it is"})
		}
		for _, one := range done.Left {
			rows = append(rows, []string{"! " + one.Place.String(), one.Reference, one.Reason})
		}
		if err := table(j.p.stdout, rows); err != nil {
			return err
		}
	}
	verb := "would put back"
	if j.yes {
		verb = "put back"
	}
	j.p.say("%s: %s %s; %d edited since, %d to stay variables", clean(report.Database), verb, count(len(done.Restored), "reference"), len(done.Edited), len(done.Left))
	if !j.yes && len(done.Restored)+len(done.Edited) > 0 {
		j.p.say("nothing was changed")
		j.p.advise("--yes makes the changes; stop Bifrost first")
	}
	if len(done.Left) > 0 && j.yes {
		return &failure{Reason: "not all references are back", Hint: "type those into the dashboard, with a Bifrost that is encrypted", Code: exitUnresolved}
	}
	return nil
}
