package main

import (
	"context"
	"fmt"
	"slices"

	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

type secretDeleteJob struct {
	secretJob
	deleting
	named bool // --config was given
}

func (p *program) secretDeleteCommand() *cobra.Command {
	j := &secretDeleteJob{secretJob: secretJob{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete secrets that were stored for a gateway",
		Long: `Delete shows what it would delete, and with --yes deletes it: only secrets that bifrost-secrets
stored for --gateway, and none that a text in the config, or in its PostgreSQL config store, could
mean. If one of the names is refused, none is deleted. AWS keeps a deleted secret for 30 days, in
which it can be restored; --recovery-days says otherwise, --now leaves no time at all. Where the
backend cannot bring one back, --trash or --no-trash has to be given.`,
		Example: `  bifrost-secrets secret delete bifrost/openai --gateway prod
  bifrost-secrets secret delete bifrost/openai --gateway prod --recovery-days 7 --yes`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("no secret is named", "write "+cmd.CommandPath()+" NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			j.named = cmd.Flags().Changed("config")
			return j.run(cmd.Context(), args)
		},
	}
	j.secretFlags(cmd)
	j.gatewayFlag(cmd, "`name` of the gateway that the secrets were stored for")
	j.deleting.flags(cmd)
	j.databaseFlag(cmd)
	return cmd
}

type deletion struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Action  string `json:"action"` // delete, none, refused; deleted or failed after it was done
	Reason  string `json:"reason,omitempty"`
	Hint    string `json:"hint,omitempty"`

	path string // of the field that it was stored from
	down bool   // it failed since the backend cannot be reached
}

func (j *secretDeleteJob) run(ctx context.Context, names []string) error {
	if err := j.deleting.check(); err != nil {
		return err
	}
	for _, name := range names {
		if err := noReference(name); err != nil {
			return err
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	store, err := j.writable(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if j.named && j.Doc == nil { // the block comes from elsewhere, but it is this config that is in use
		if j.Doc, err = j.ReadDocument(j.p.ctx, j.p.host()); err != nil {
			return err
		}
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	plan, err := j.plan(ctx, store, names)
	if err != nil {
		return err
	}
	refused := slices.ContainsFunc(plan, func(d deletion) bool { return d.Action == "refused" })
	folder := ""
	if going := goingOf(plan); j.yes && !refused && len(going) > 0 {
		if folder, err = j.ahead(ctx, &j.job, store, j.gateway, going); err != nil {
			return err
		}
		j.carryOut(ctx, store, plan)
	}
	err = j.tell(plan, refused)
	j.trash.say(j.p, folder)
	return err
}

func goingOf(plan []deletion) (all []trashed) {
	for _, d := range plan {
		if d.Action == "delete" {
			all = append(all, trashed{d.Name, d.path})
		}
	}
	return all
}

// meant returns the test whether a text of the config, if there is one, or of its
// config store could mean a secret.
func (j *secretDeleteJob) meant(ctx context.Context, store sources.Store, names []string) (func(name string) (string, bool), error) {
	if j.Doc == nil {
		return func(string) (string, bool) { return "", false }, nil
	}
	if err := j.unclear(); err != nil {
		return nil, err
	}
	beside, err := j.besideDocument(ctx, store, j.ignoreStore)
	if err != nil {
		return nil, err
	}
	meant, err := autostore.LookIn(ctx, j.Doc, store, autostore.Options{Store: j.Store}, names, beside)
	if err != nil {
		return nil, err
	}
	return meant.By, nil
}

func (j *secretDeleteJob) plan(ctx context.Context, store sources.Store, names []string) ([]deletion, error) {
	meant, err := j.meant(ctx, store, names)
	if err != nil {
		return nil, err
	}
	items := store.Inspect(ctx, names)
	var plan []deletion
	for _, name := range names {
		item, d := items[name], deletion{Name: name, Version: items[name].Version, Action: "refused"}
		place, isMeant := meant(name)
		if item.Mark != nil {
			d.path = item.Mark.Path
		}
		switch {
		case item.Err != nil:
			return nil, failed(item.Err)
		case !item.Exists:
			d.Action, d.Reason = "none", "it does not exist"
		case item.Mark == nil:
			d.Reason, d.Hint = "it was not stored by bifrost-secrets", "delete it with the tools of the backend"
		case item.Mark.Owner != j.gateway:
			d.Reason, d.Hint = "it belongs to the gateway "+quote(item.Mark.Owner), "give --gateway as that gateway does"
		case isMeant:
			d.Reason, d.Hint = place+" refers to it, or may mean it", "take that out first"
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
		err := store.Delete(ctx, plan[i].Name, j.gateway, sources.DeleteOptions{RecoveryDays: j.days, Now: j.now, Expect: plan[i].Version})
		if err != nil {
			plan[i].Action, plan[i].Reason, plan[i].Hint = "failed", err.Error(), sources.HintOf(err)
			plan[i].down = sources.KindOf(err).Retryable()
		}
	}
}

func (j *secretDeleteJob) tell(plan []deletion, refused bool) error {
	if j.p.json {
		if err := j.p.writeJSON(plan); err != nil {
			return err
		}
	} else {
		rows := [][]string{{"NAME", "VERSION", "ACTION", "REASON"}}
		for _, d := range plan {
			rows = append(rows, []string{d.Name, dash(d.Version), d.Action, dash(d.Reason)})
		}
		if err := table(j.p.stdout, rows); err != nil {
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
		return &failure{Reason: fmt.Sprintf("%s of %d refused; nothing was deleted", count(bad, "secret"), len(plan)), Code: exitUnresolved}
	case bad > 0:
		return &failure{Code: code}
	case !j.yes && slices.ContainsFunc(plan, func(d deletion) bool { return d.Action == "delete" }):
		j.p.say("nothing was deleted")
		j.p.advise("--yes deletes")
	}
	return nil
}
