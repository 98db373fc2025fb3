package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"

	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

type secretDeleteJob struct {
	secretJob
	yes  bool
	now  bool
	days int
}

func (p *program) secretDeleteCommand() *cobra.Command {
	j := &secretDeleteJob{secretJob: secretJob{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete secrets that were stored for an owner",
		Long: `Delete shows what it would delete, and with --yes deletes it: only secrets that bifrost-secrets stored
for --owner, and none that the config refers to. If one of the names is refused, none is deleted. AWS keeps a
deleted secret for 30 days, in which it can be restored; --recovery-days says otherwise, --now leaves no time at all.`,
		Example: `  bifrost-secrets secret delete bifrost/openai --owner prod
  bifrost-secrets secret delete bifrost/openai --owner prod --recovery-days 7 --yes`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("no secret is named", "write "+cmd.CommandPath()+" NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return j.run(cmd.Context(), args) },
	}
	j.secretFlags(cmd)
	j.ownerFlag(cmd, "`name` of the gateway that the secrets were stored for")
	f := cmd.Flags()
	f.BoolVar(&j.yes, "yes", false, "delete, and not only show what would be deleted")
	f.IntVar(&j.days, "recovery-days", 0, "`days` in which the secret can be restored, where the backend can do that; 0 is its default")
	f.BoolVar(&j.now, "now", false, "delete beyond recovery")
	return cmd
}

// deletion is one line of the plan, for people and as JSON.
type deletion struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Action  string `json:"action"` // delete, none, refused; deleted or failed after it was done
	Reason  string `json:"reason,omitempty"`
	Hint    string `json:"hint,omitempty"`

	down bool // it failed since the backend cannot be reached
}

func (j *secretDeleteJob) run(ctx context.Context, names []string) error {
	switch {
	case j.now && j.days != 0:
		return usageError("--now and --recovery-days exclude each other", "name one of them")
	case j.days < 0:
		return usageError("--recovery-days cannot be less than 0", "")
	}
	slices.Sort(names)
	names = slices.Compact(names)
	store, err := j.writable(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := j.within(ctx)
	defer cancel()
	plan, err := j.plan(ctx, store, names)
	if err != nil {
		return err
	}
	refused := slices.ContainsFunc(plan, func(d deletion) bool { return d.Action == "refused" })
	if j.yes && !refused {
		j.carryOut(ctx, store, plan)
	}
	return j.tell(plan, refused)
}

// plan decides on each of names.
func (j *secretDeleteJob) plan(ctx context.Context, store sources.Store, names []string) ([]deletion, error) {
	wanted := func(string) bool { return false }
	if j.doc != nil {
		wanted = autostore.Wanted(j.doc, store, nil)
	}
	items := store.Inspect(ctx, names)
	var plan []deletion
	for _, name := range names {
		item, d := items[name], deletion{Name: name, Version: items[name].Version, Action: "refused"}
		switch {
		case item.Err != nil:
			return nil, failed(item.Err)
		case !item.Exists:
			d.Action, d.Reason = "none", "it does not exist"
		case item.Mark == nil:
			d.Reason, d.Hint = "it was not stored by bifrost-secrets", "delete it with the tools of the backend"
		case item.Mark.Owner != j.owner:
			d.Reason, d.Hint = "it belongs to the owner "+quote(item.Mark.Owner), "give --owner as that owner does"
		case wanted(name):
			d.Reason, d.Hint = j.doc.Name+" refers to it", "take the reference out first"
		case !item.Gone.IsZero() && !j.now:
			d.Action, d.Reason = "none", "it is deleted already"
		default:
			d.Action = "delete"
		}
		plan = append(plan, d)
	}
	return plan, nil
}

func (j *secretDeleteJob) carryOut(ctx context.Context, store sources.Store, plan []deletion) {
	for i := range plan {
		if plan[i].Action != "delete" {
			continue
		}
		plan[i].Action = "deleted"
		err := store.Delete(ctx, plan[i].Name, j.owner, sources.DeleteOptions{RecoveryDays: j.days, Now: j.now})
		if err != nil {
			plan[i].Action, plan[i].Reason, plan[i].Hint = "failed", err.Error(), sources.HintOf(err)
			plan[i].down = sources.KindOf(err).Down()
		}
	}
}

// tell prints the plan, or what became of it.
func (j *secretDeleteJob) tell(plan []deletion, refused bool) error {
	if j.json {
		if err := writeJSON(j.p.stdout, plan); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(j.p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tVERSION\tACTION\tREASON")
		for _, d := range plan {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", clean(d.Name), dash(d.Version), d.Action, dash(d.Reason))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	bad, code := 0, exitUnresolved
	for _, d := range plan {
		if d.down {
			code = exitUnreachable
		}
		if d.Action == "refused" || d.Action == "failed" {
			bad++
			j.p.screen.problem(fmt.Sprintf("%s cannot be deleted: %s", quote(d.Name), d.Reason), d.Hint)
		}
	}
	switch {
	case refused:
		return &failure{reason: fmt.Sprintf("%s of %d refused; nothing was deleted", count(bad, "secret"), len(plan)), code: exitUnresolved}
	case bad > 0:
		return &failure{code: code}
	case !j.yes && !j.p.quiet && slices.ContainsFunc(plan, func(d deletion) bool { return d.Action == "delete" }):
		j.p.screen.line("nothing was deleted")
		j.p.screen.hint("--yes deletes")
	}
	return nil
}
