//go:build unix

package main

import (
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

func (p *program) watchCommand() *cobra.Command {
	j := &daemonJob{job: job{p: p}}
	cmd := &cobra.Command{
		Use:        "watch --out FILE",
		SuggestFor: []string{"daemon", "refresh", "sync", "agent"},
		Short:      "Keep the resolved config fresh, beside a Bifrost that something else starts",
		Long: `Watch writes the resolved config, as render does, and then keeps it fresh: it looks for new values
at each interval, on SIGHUP, on a flush over HTTP, and when the config or a secret file changes.
What changed is applied to the running Bifrost. Where a new value cannot be had or used, the last
good one stays in force. SIGTERM and SIGINT end it: with 0 once it is up, and with 143 and 130
before that.`,
		Example: `  # beside a Bifrost on the same machine, whose API takes new keys while it runs
  bifrost-secrets watch --config config.json --out /app/data/config.json
  # where a command makes Bifrost read the file
  bifrost-secrets watch --config config.json --out /app/data/config.json \
      --apply command --command 'systemctl restart bifrost'`,
		Args:        noArgs,
		Annotations: map[string]string{ownSignals: "watch"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := j.wanted()
			if err == nil {
				err = o.CheckWatch()
			}
			if err != nil {
				return err
			}
			code, err := service.Watch(cmd.Context(), p.daemon(), o)
			if err == nil && code != 0 {
				err = &failure{Code: code}
			}
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return flagError(err, seeHelp(cmd, err))
	})
	j.daemonFlags(cmd)
	j.output.flags(cmd)
	j.loopFlags(cmd)
	cmd.Flags().StringVar(&j.options.Apply, "apply", "auto", "how a running Bifrost gets new values: auto, api, command or none")
	complete(cmd, "apply", service.WatchApplies...)
	cmd.Flags().StringVar(&j.options.Command, "command", "", "with --apply command: the `command` to run after a change; it gets the JSON paths, and no value")
	cmd.Flags().BoolVar(&j.options.Bifrost.PlainHTTP, "bifrost-plain-http", false, "allow values, but no credentials, to be sent unencrypted to another machine")
	return cmd
}
