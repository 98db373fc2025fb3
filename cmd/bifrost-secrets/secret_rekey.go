package main

import (
	"context"
	"fmt"

	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

type secretRekeyJob struct {
	secretJob
	yes     bool
	bounded bool // --timeout was given
}

func (p *program) secretRekeyCommand() *cobra.Command {
	j := &secretRekeyJob{secretJob: secretJob{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt what is stored for other recipients",
		Long: `Rekey encrypts every version of every secret that the backend keeps for the recipients that its
block names now, where it is encrypted for others. The identity of the block must hold a key that
opens what there is, and one of the new recipients. Without --yes it only counts. It may be broken
off and run again.

This does not rotate a value: who could read one, or has a copy of the database from before, still
knows it. Where a key was stolen, change the values too.`,
		Example: `  bifrost-secrets secret rekey --config config.json
  bifrost-secrets secret rekey --config config.json --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.bounded = cmd.Flags().Changed("timeout")
			return j.run(cmd.Context())
		},
	}
	j.secretFlags(cmd)
	cmd.Flags().BoolVar(&j.yes, "yes", false, "encrypt; without it versions are only counted")
	return cmd
}

type rekeyed struct {
	Done     bool     `json:"done"`
	Versions int      `json:"versions"`
	Current  int      `json:"current"`
	Failed   []string `json:"failed"`
}

func (j *secretRekeyJob) run(ctx context.Context) error {
	store, err := j.everybodys(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	rekeyer, ok := store.(sources.Rekeyer)
	if !ok {
		return usageError(store.Describe()+" encrypts nothing for recipients of its own", "rekey is for the type postgres")
	}
	// It may take long, and each of its requests has a deadline of its own: only
	// who asks for one gets one on the whole.
	if j.bounded {
		var cancel context.CancelFunc
		ctx, cancel = j.Within(ctx)
		defer cancel()
	}
	report, err := rekeyer.Rekey(ctx, sources.RekeyOptions{DryRun: !j.yes})
	if err != nil {
		if report.Versions > 0 && j.yes {
			j.p.note(fmt.Sprintf("%s were encrypted again before that", count(report.Versions, "version")), "run it again: it continues where it stopped")
		}
		return err
	}
	if j.p.json {
		out := rekeyed{Done: j.yes, Versions: report.Versions, Current: report.Current, Failed: []string{}}
		for _, one := range report.Failed {
			out.Failed = append(out.Failed, cleanLines(one.Error()))
		}
		if err := j.p.writeJSON(out); err != nil {
			return err
		}
	}
	return j.tell(report)
}

func (j *secretRekeyJob) tell(report sources.Rekeyed) error {
	for _, one := range report.Failed {
		j.p.screen.problem(one.Error(), sources.HintOf(one))
	}
	if len(report.Failed) > 0 {
		return &failure{Reason: count(len(report.Failed), "version") + " could not be opened and " + were(len(report.Failed)) + " left alone; the others are done", Code: exitUnresolved}
	}
	switch {
	case j.p.json:
	case report.Versions == 0:
		j.p.say("everything is encrypted for these recipients: %s", count(report.Current, "version"))
	case j.yes:
		j.p.say("%s encrypted again, %d were already", count(report.Versions, "version"), report.Current)
	default:
		j.p.say("%s to be encrypted again, %d are already; nothing was changed", count(report.Versions, "version"), report.Current)
		j.p.advise("--yes encrypts")
	}
	return nil
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
