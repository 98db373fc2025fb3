package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

type pruneJob struct {
	job
	deleting
	gateway string
	prefix  string
	most    int
}

func (p *program) pruneCommand() *cobra.Command {
	j := &pruneJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "prune --gateway NAME",
		Short: "Delete stored secrets that no field refers to any more",
		Long: `Prune lists the secrets that store has put into the backend for this gateway, and deletes those
that no text in the config, or in Bifrost's PostgreSQL config store, could mean any more. Without
--yes it shows which, and deletes nothing.

Removing a provider or a key from the config deletes no secret by itself: this command does, when
asked. It does nothing while a reference of the config does not resolve, or while lint reports
reference-syntax or object-form, and it touches no secret that bears another gateway's mark or
none, nor one that was not stored from a field.

Where the backend cannot bring back what is deleted, --trash or --no-trash has to be given.`,
		Example: `  bifrost-secrets prune --config config.json --gateway gateway-eu
  bifrost-secrets prune --config config.json --gateway gateway-eu --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := pruning{Config: j.Config, Gateway: j.gateway, Delete: []pruningItem{}}
			return p.conclude(&r, &r.Error, j.prune(cmd.Context(), &r))
		},
	}
	j.planFlags(cmd)
	j.trustFlag(cmd)
	j.anywhereFlag(cmd)
	j.UnsetIsNote, j.MissIsNote = true, true // unclear looks after near misses
	j.gatewayFlags(cmd, &j.gateway, &j.prefix)
	j.deleting.flags(cmd)
	cmd.Flags().IntVar(&j.most, "max-delete", 10, "refuse to delete more than this many at once")
	j.databaseFlag(cmd)
	p.jsonFlag(cmd)
	return cmd
}

type pruning struct {
	Config  string        `json:"config"`
	Source  string        `json:"source,omitempty"`
	Gateway string        `json:"gateway"`
	Delete  []pruningItem `json:"delete"`
	Kept    int           `json:"kept"`
	Gone    int           `json:"scheduled_before"`
	Deleted int           `json:"deleted"`
	Trash   string        `json:"trash,omitempty"` // where their values are, sealed
	Error   string        `json:"error,omitempty"`
}

type pruningItem struct {
	Name string `json:"name"`
	Path string `json:"path"` // the field that it was stored from
}

func (j *pruneJob) prune(ctx context.Context, report *pruning) error {
	if err := cmp.Or(checkGateway(j.gateway), j.deleting.check()); err != nil {
		return err
	}
	if j.most < 0 {
		return usageError("--max-delete must not be negative", "")
	}
	if j.yes {
		unlock, err := j.lock()
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := j.read(); err != nil {
		return err
	}
	if err := j.unclear(); err != nil {
		return err
	}
	if err := j.MakePlan(nil); err != nil {
		return err
	}
	j.remarks(j.Plan.Notes)
	j.noteUnset(j.Plan.Left)
	store, err := j.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	beside, err := j.besideDocument(ctx, store, j.ignoreStore)
	if err != nil {
		return err
	}
	report.Source = store.Describe()
	// A reference that does not resolve may be a misspelt one, whose secret would
	// then seem to be unused.
	if _, err := j.Resolve(ctx, store); err != nil {
		return j.unresolved(err)
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	done := j.p.waiting("listing the secrets in " + store.Describe())
	found, err := autostore.FindUnused(ctx, j.Doc, store, autostore.Options{Store: j.Store, Prefix: j.prefix, Gateway: j.gateway}, beside)
	done()
	if err != nil {
		return err
	}
	report.Kept, report.Gone = found.Kept, len(found.Gone)
	for _, it := range found.Delete {
		report.Delete = append(report.Delete, pruningItem{it.Name, it.Mark.Path})
	}
	if err := j.show(report); err != nil {
		return err
	}
	if len(found.Delete) > j.most {
		return &failure{
			Reason: fmt.Sprintf("%d secrets would be deleted and --max-delete allows %d; nothing was deleted", len(found.Delete), j.most),
			Hint:   "see whether this is the right config, and raise --max-delete if it is", Code: exitUnresolved,
		}
	}
	if !j.yes || len(found.Delete) == 0 {
		return nil
	}
	var going []trashed
	for _, it := range found.Delete {
		going = append(going, trashed{it.Name, it.Mark.Path})
	}
	if report.Trash, err = j.ahead(ctx, &j.job, store, j.gateway, going); err != nil {
		return err
	}
	report.Deleted, err = found.Execute(ctx, store, j.gateway, sources.DeleteOptions{RecoveryDays: j.days, Now: j.now})
	if report.Deleted > 0 {
		j.p.say("deleted %s in %s", count(report.Deleted, "secret"), clean(report.Source))
	}
	j.trash.say(j.p, report.Trash)
	return err
}

func (j *pruneJob) unresolved(err error) error {
	var problems *render.Problems
	if !errors.As(err, &problems) {
		return err
	}
	reportAll(j.p.screen, problems)
	j.p.screen.line("while a reference does not resolve, nothing is deleted")
	return &failure{Code: exitCode(problems)}
}

func (j *pruneJob) show(r *pruning) error {
	if !j.p.json {
		var rows [][]string
		for _, it := range r.Delete {
			rows = append(rows, []string{"- " + it.Name, "of " + it.Path})
		}
		if err := table(j.p.stdout, rows); err != nil {
			return err
		}
	}
	j.p.say("%s of %s in %s: %d in use, %d unused", count(r.Kept+len(r.Delete), "secret"), clean(r.Gateway), clean(r.Source), r.Kept, len(r.Delete))
	if len(r.Delete) > 0 && !j.yes {
		j.p.say("nothing was deleted")
		j.p.advise("--yes deletes them")
	}
	return nil
}
