package main

import (
	"context"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

func (p *program) pingCommand() *cobra.Command {
	j := &job{p: p, Flags: service.Flags{UnsetIsNote: true}}
	cmd := &cobra.Command{
		Use:        "ping",
		SuggestFor: []string{"doctor", "connect"},
		Short:      "Check that the backend can be reached and read",
		Long: `Ping reads one of the secrets that the config refers to, so that the permission to read them is
enough. Where the config refers to none, it lists one instead. Where Bifrost's config store is a
PostgreSQL, it is reached too, with the settings that Bifrost will use.`,
		Example: "  bifrost-secrets ping --config config.json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, store, err := j.ping(cmd.Context())
			report := struct {
				ConfigStore string `json:"config_store,omitempty"`
				Error       string `json:"error,omitempty"`
				OK          bool   `json:"ok"`
				Source      string `json:"source"`
			}{OK: err == nil, Source: source, ConfigStore: store}
			return p.conclude(&report, &report.Error, err)
		},
	}
	j.flags(cmd)
	j.trustFlag(cmd)
	j.databaseFlag(cmd)
	p.jsonFlag(cmd)
	return cmd
}

func (j *job) ping(ctx context.Context) (described, store string, err error) {
	if err := j.prepare(); err != nil {
		return "", "", j.warned(err)
	}
	j.warnings(j.Plan.Notes)
	source, err := j.Open(ctx)
	if err != nil {
		return "", "", err
	}
	if source == nil {
		return "", "", j.notEnabled()
	}
	defer source.Close()
	name := ""
	if len(j.Plan.Secrets) > 0 {
		name = j.Plan.Secrets[0]
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	done := j.p.waiting("asking " + source.Describe())
	err = source.Ping(ctx, name)
	done()
	if err != nil {
		reason := "vault: ping failed: "
		if name != "" {
			reason += walker.Reference{Scheme: walker.Vault, Name: name}.Shown() + ": "
		}
		return source.Describe(), "", &failure{Reason: reason + walker.HideName(err.Error(), name), Hint: walker.HideName(sources.HintOf(err), name), Code: exitUnreachable}
	}
	j.p.say("%s answers", clean(source.Describe()))
	if store, err = j.ReachConfigStore(outer, source); err == nil && store != "" {
		j.p.say("%s answers", clean(store))
	}
	return source.Describe(), store, err
}
