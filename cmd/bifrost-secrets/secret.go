package main

import (
	"context"
	"errors"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/spf13/cobra"
)

// secretJob is what the commands for single secrets have in common: a backend,
// without a document that is rendered.
type secretJob struct {
	job
	gateway string
}

func (p *program) secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Put, get, list and delete single secrets",
		Long: `Secret works on single secrets of the backend that --config, --vault-store or --vault-type names.

Get and list read alone. Put and delete need "access_mode": "read_and_write", and touch only
secrets that were stored by bifrost-secrets for the same --gateway.`,
		Example: `  bifrost-secrets secret put bifrost/openai --gateway prod
  bifrost-secrets secret get bifrost/openai --reveal
  bifrost-secrets secret list bifrost/
  bifrost-secrets secret delete bifrost/openai --gateway prod --yes`,
		Args:                       noArgs,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.secretPutCommand(), p.secretGetCommand(), p.secretListCommand(), p.secretDeleteCommand(),
		p.secretRekeyCommand(), p.secretMigrateCommand())
	return cmd
}

func (j *secretJob) secretFlags(cmd *cobra.Command) {
	j.storeFlags(cmd)
	j.commandsFlag(cmd)
	j.trustFlag(cmd)
	j.p.jsonFlag(cmd)
}

func (j *secretJob) gatewayFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&j.gateway, "gateway", "", usage)
}

// oneName takes the name of a secret as the only argument.
func oneName(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageError("no secret is named", "write "+cmd.CommandPath()+" NAME")
	case 1:
		return nil
	}
	// Not the argument itself: it may be the value.
	return usageError("more than the name of a secret is given", "a value is never an argument, which others could see: it is read from the standard input")
}

// noReference refuses a reference where the name of a secret is wanted that is ours.
func noReference(name string) error {
	if path, ok := strings.CutPrefix(name, "vault."); ok {
		return usageError(quote(name)+" is a reference, and not the name of a secret", "write "+path)
	}
	return nil
}

// find reads the vault_store block that the flags lead to.
func (j *secretJob) find() (err error) {
	if err := j.CheckStore(); err != nil {
		return err
	}
	var doc *walker.Document
	if j.VaultStore == "" && j.VaultType == "" {
		var missing *walker.DocumentError
		doc, err = j.ReadDocument(j.p.ctx, j.p.host())
		if errors.As(err, &missing) && isMissing(err) {
			missing.Hint = "name the config.json with --config, or the backend with --vault-store or --vault-type"
		}
		if err != nil {
			return err
		}
	}
	if j.Loaded, err = j.Of(j.p.ctx, j.p.host(), doc); err != nil {
		return err
	}
	if j.Store == nil || !j.Store.Enabled {
		return j.notEnabled()
	}
	return nil
}

func (j *secretJob) source(ctx context.Context) (sources.Source, error) {
	if err := j.find(); err != nil {
		return nil, err
	}
	return j.Open(ctx)
}

// writable opens the backend for writing, for a gateway.
func (j *secretJob) writable(ctx context.Context) (sources.Store, error) {
	if err := checkGateway(j.gateway); err != nil {
		return nil, err
	}
	return j.everybodys(ctx)
}

// everybodys opens the backend for writing what belongs to no one gateway.
func (j *secretJob) everybodys(ctx context.Context) (sources.Store, error) {
	if err := j.find(); err != nil {
		return nil, err
	}
	return j.openStore(ctx)
}

// failed turns a failure of the backend into one of the command: a name that
// cannot be is wrong usage.
func failed(err error) error {
	if sources.KindOf(err) == sources.BadName {
		return usageError(err.Error(), sources.HintOf(err))
	}
	return err
}
