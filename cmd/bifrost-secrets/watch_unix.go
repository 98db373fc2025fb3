//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"

	"github.com/spf13/cobra"
)

type watchJob struct{ daemon }

func (p *program) watchCommand() *cobra.Command {
	j := &watchJob{daemon{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:        "watch --out FILE",
		SuggestFor: []string{"daemon", "refresh", "sync", "agent"},
		Short:      "Keep the resolved config fresh, beside a Bifrost that something else starts",
		Long: `Watch writes the resolved config, as render does, and then keeps it fresh: it looks for new values
at each interval, on SIGHUP, on a flush over HTTP, and when the config or a secret file changes.
What changed is handed to the running Bifrost. Where a new value cannot be had or used, the last
good one stays in force. SIGTERM and SIGINT end it: with 0 once it is up, and with 143 and 130
before that.`,
		Example: `  # beside a Bifrost on the same machine, whose API takes new keys while it runs
  bifrost-secrets watch --config config.json --out /app/data/config.json
  # where a command makes Bifrost read the file
  bifrost-secrets watch --config config.json --out /app/data/config.json \
      --apply command --command 'systemctl restart bifrost'`,
		Args:        noArgs,
		Annotations: map[string]string{ownSignals: "watch"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return j.run(cmd.Context()) },
	}
	j.job.flags(cmd)
	j.output.flags(cmd)
	j.loopFlags(cmd)
	j.databaseFlag(cmd)
	j.commandsRun(cmd)
	cmd.Flags().StringVar(&j.apply, "apply", "auto", "how a running Bifrost gets new values: auto, api, command or none")
	_ = cmd.RegisterFlagCompletionFunc("apply", cobra.FixedCompletions([]string{"auto", "api", "command", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (j *watchJob) check() error {
	if err := j.checkFlags(); err != nil {
		return err
	}
	if err := j.output.check("watch", j.mode); err != nil {
		return err
	}
	switch j.apply {
	case "auto", "api", "command", "none":
		return j.checkLoopFlags()
	case "restart":
		return usageError("--apply restart is for exec: watch does not start Bifrost", "use --apply command --command '...', or exec")
	}
	return usageError("unknown --apply "+quote(j.apply), "write auto, api, command or none")
}

func (j *watchJob) run(outer context.Context) error {
	if err := j.check(); err != nil {
		return err
	}
	j.begin()
	defer j.ended.Store(true)
	applier, client, err := j.applier()
	if err != nil {
		return err
	}
	j.loop = watch.New(j.options(applier, nil))
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	var by atomic.Int32 // the signal that ended us
	stop := j.signals(func(sig syscall.Signal) {
		if !by.CompareAndSwap(0, int32(sig)) {
			j.exit(signalled(sig))
		}
		j.endWithin(endTime, signalled(sig))
		cancel()
	})
	defer stop()
	wait, err := j.serve(ctx, &beside{j.loop, client})
	if err != nil {
		return err
	}
	defer wait()
	defer cancel()
	// A signal that comes before it is up is its status, as it is exec's.
	ended := func(err error) error {
		if n := by.Load(); n != 0 {
			return &failure{code: 128 + int(n)}
		}
		return err
	}
	if err := j.loop.Start(ctx, j.startTimeout); err != nil {
		return ended(err)
	}
	leave, err := j.joinCluster(ctx)
	if err != nil {
		return ended(err)
	}
	defer leave()
	j.manager.ready()
	var beside sync.WaitGroup
	if client != nil {
		defer client.Close()
		// Something else starts Bifrost: that it did has to be noticed.
		lookout := client.NewLookout(j.loop.Restarted)
		beside.Go(func() { lookout.Run(ctx) })
	}
	j.loop.Run(ctx)
	j.manager.stopping()
	beside.Wait()
	return nil
}

// applier gives what hands new values over, and the API's client where that is a
// part of it.
func (j *watchJob) applier() (watch.Applier, *management.Client, error) {
	switch j.apply {
	case "none":
		return watch.None{}, nil, nil
	case "command":
		return j.commandApplier(), nil, nil
	}
	return j.split(nil, nil)
}

// signals ends with SIGINT and SIGTERM, and refreshes with SIGHUP.
func (j *watchJob) signals(end func(syscall.Signal)) (stop func()) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup
		signal.Notify(got, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sig := range got {
			if sig != syscall.SIGHUP {
				j.tellEnd(sig, "watch ends; what is published stays")
				end(sig.(syscall.Signal))
				continue
			}
			j.manager.reload()
			j.spread()
			j.loop.Trigger(watch.Signal)
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
		<-done
	}
}
