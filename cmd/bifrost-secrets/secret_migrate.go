package main

import (
	"context"

	"bifrost-secrets/sources"

	"github.com/spf13/cobra"
)

func (p *program) secretMigrateCommand() *cobra.Command {
	j := &secretJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make the tables of a store in a database",
		Long: `Migrate makes the tables of a store of the type postgres, or brings them to the version that this
program knows. The first write does that by itself; this is for an administrator, where those who
write may not make tables. Several may run at once.`,
		Example: "  bifrost-secrets secret migrate --config config.json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return j.migrate(cmd.Context()) },
	}
	j.secretFlags(cmd)
	return cmd
}

func (j *secretJob) migrate(ctx context.Context) error {
	store, err := j.everybodys(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	migrator, ok := store.(sources.Migrator)
	if !ok {
		return usageError(store.Describe()+" has no tables", "migrate is for the type postgres")
	}
	ctx, cancel := j.Within(ctx)
	defer cancel()
	changed, err := migrator.Migrate(ctx)
	if err != nil {
		return err
	}
	if j.p.json {
		return j.p.writeJSON(map[string]any{"source": store.Describe(), "changed": changed})
	}
	switch {
	case changed:
		j.p.say("made the tables in %s", clean(store.Describe()))
	default:
		j.p.say("the tables in %s are up to date", clean(store.Describe()))
	}
	return nil
}
