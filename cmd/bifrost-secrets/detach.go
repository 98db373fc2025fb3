package main

import (
	"context"

	"bifrost-secrets/render/configstore"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

type detachJob struct {
	job
	dry bool
}

func (p *program) detachCommand() *cobra.Command {
	j := &detachJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "detach",
		Short: "Put the references back into Bifrost's database",
		Long: `Detach undoes attach, and exec --rewrite-database: the vault. references are back in Bifrost's
config store exactly as they were written, in one transaction. What somebody has edited since
stays as it is. Stop Bifrost first, since one that runs may write what it holds.`,
		Example: `  bifrost-secrets detach --config config.json --dry-run
  bifrost-secrets detach --config config.json`,
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
	cmd.Flags().BoolVar(&j.dry, "dry-run", false, "show what it would do, and change nothing")
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
		done, err = store.Detach(ctx, j.dry)
		return err
	})
	if err != nil {
		return service.OfConfigStore(err)
	}
	report.Detachment, report.Done = *done, !j.dry
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
	verb := "put back"
	if j.dry {
		verb = "would put back"
	}
	j.p.say("%s: %s %s; %d edited since, %d to stay variables", clean(report.Database), verb, count(len(done.Restored), "reference"), len(done.Edited), len(done.Left))
	if len(done.Left) > 0 && !j.dry {
		return &failure{Reason: "not all references are back", Hint: "type those into the dashboard, with a Bifrost that is encrypted", Code: exitUnresolved}
	}
	return nil
}
