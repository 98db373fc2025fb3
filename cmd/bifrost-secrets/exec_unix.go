//go:build unix

package main

import (
	"bytes"
	"cmp"
	"log/slog"
	"os"
	"strings"
	"time"

	"bifrost-secrets/watch/child"
	"bifrost-secrets/watch/control"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

// daemonJob is what the flags of exec and watch have in common.
type daemonJob struct {
	job
	output
	options service.Options
}

func (j *daemonJob) loopFlags(cmd *cobra.Command) {
	o, f := &j.options, cmd.Flags()
	f.DurationVar(&o.Interval, "interval", time.Hour, "time between refreshes, up to a tenth more or less at random")
	f.BoolVar(&o.NewKey, "accept-new-encryption-key", false, "accept a changed encryption_key, after Bifrost's database was cleaned")
	f.DurationVar(&o.ApplyTimeout, "apply-timeout", time.Minute, "time limit for applying new values to Bifrost")

	f.StringVar(&o.Bifrost.URL, "bifrost-url", "", "where Bifrost's API is: http://127.0.0.1:8080, https://host or unix:/path; by default on this machine, at Bifrost's port")
	f.StringVar(&o.Bifrost.TokenFile, "bifrost-token-file", "", "`file` with a bearer token, or user:password, for Bifrost's API; unless given, the admin credentials of the config are used")

	listenFlags(cmd, &o.Listen)

	f.StringVar(&o.Cluster.Database, "cluster", "", "`address` of a PostgreSQL over which a flush of one watcher flushes all, with a password as env.NAME; unless given, Bifrost's own PostgreSQL config store; or none. With ,table behind it, or table alone, the watcher also writes names and versions there, for status --cluster")
	j.Ambient = true // Bifrost signs in where the config says, too
}

// dropped says what to do in place of flags that exec and watch had once.
var dropped = map[string]string{
	"allow-commands":       "what the config names is run by default; " + allowCommandsVariable + "=false forbids it",
	"bifrost-basic-file":   "--bifrost-token-file takes a file with user:password, too",
	"database":             "the config store is the one that the config names",
	"insecure-listen":      "give --tls-cert and --tls-key; --probe-listen is for probes and metrics alone",
	"max-stale":            "alert on the metric bifrost_secrets_oldest_value_age_seconds",
	"min-restart-interval": "restarts for new values are a dozen times --restart-settle apart, a minute at most",
	"owner":                "exec keeps the owner of the config.json that is there: chown that once",
	"start-timeout":        "a backend that does not answer at the start is waited for twice as long as --timeout says",
	"restart":              "exec ends with its command: have systemd, Docker or Kubernetes start it again",
}

// flagError is the error for flags that cannot be read. help is its usual hint.
func flagError(err error, help string) error {
	name, _ := strings.CutPrefix(err.Error(), "unknown flag: --")
	return usageError(err.Error(), cmp.Or(dropped[name], help))
}

func listenFlags(cmd *cobra.Command, l *service.Listen) {
	f := cmd.Flags()
	f.StringArrayVar(&l.Addresses, "listen", []string{control.DefaultListen}, "`address` for flush, status, probes and metrics: HOST:PORT, unix:PATH or none; repeatable")
	f.StringVar(&l.Probe, "probe-listen", "", "`address` for probes and metrics alone, without TLS: HOST:PORT")
	f.StringVar(&l.TokenFile, "token-file", "", "`file` of the tokens that may flush and see the status, one per line; added to those of $"+control.TokenVariable)
	f.StringVar(&l.TLSCert, "tls-cert", "", "PEM `file` of the certificate for --listen; read again when it changes")
	f.StringVar(&l.TLSKey, "tls-key", "", "PEM `file` of its key")
}

func (j *daemonJob) wanted() (*service.Options, error) {
	if err := j.checkCommands(); err != nil {
		return nil, err
	}
	o := j.options
	o.Flags, o.Output = j.Flags, j.Output
	return &o, nil
}

// daemon returns the host of a command that goes on until it is ended: all that it
// says is lines of a log from now on.
func (p *program) daemon() *service.Host {
	format := p.format
	if format == "" {
		if format = jsonLog; p.screen.terminal {
			format = textLog
		}
	}
	p.screen.queue(func(dropped int) []byte {
		var line bytes.Buffer
		slog.New(p.handler(&line, format)).Warn("log lines were dropped here: they were not read, or they could not be written", "count", dropped)
		return line.Bytes()
	})
	p.screen.log = slog.New(p.handler(p.screen, format)) // what ends it is a line of the log too
	p.warnUnread()
	h := p.host()
	h.Log, h.Warn = p.screen.log, func(text string) { p.screen.log.Warn(text) }
	h.Printed, h.Dropped, h.Stderr = p.screen, p.screen.lines.Dropped, p.screen.stream()
	h.Exit = func(code int) {
		p.screen.finish()
		os.Exit(code)
	}
	return h
}

type execJob struct{ daemonJob }

func (p *program) execCommand() *cobra.Command {
	j := &execJob{daemonJob{job: job{p: p}}}
	cmd := &cobra.Command{
		Use:        "exec [flags] -- COMMAND [ARGUMENT...]",
		SuggestFor: []string{"run", "start", "launch", "up", "serve", "entrypoint", "supervise", "wrap"},
		Short:      "Render the config, start Bifrost with it, and keep it fresh",
		Long: `Exec is the entrypoint of a container: it writes the resolved config into the app dir, starts the
command, and applies new values as watch does, by Bifrost's API or by a restart. Signals are
passed on, but for SIGHUP, which makes a refresh. It ends with the status of the command; where
the command was not started it is 125, or 128 and the number of the signal that came before it
was.`,
		Example: `  # references in /app/data/config.source.json, values in /app/data/config.json
  bifrost-secrets exec --app-dir /app/data -- /app/docker-entrypoint.sh
  # values in the environment, and none in Bifrost's database but virtual keys
  bifrost-secrets exec --app-dir /app/data --mode env -- /app/main -app-dir /app/data
  # the same, with the references that were typed into the dashboard (see attach and detach)
  bifrost-secrets exec --app-dir /app/data --mode env --rewrite-database \
      -- /app/main -app-dir /app/data`,
		Annotations: map[string]string{ownSignals: "exec"},
		RunE:        func(cmd *cobra.Command, args []string) error { return j.run(cmd, args) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &notStarted{err: flagError(err, seeHelp(cmd, err)+"; the command goes behind --"), code: exitNotStarted}
	})
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	j.daemonFlags(cmd)
	j.FileMode = "600"
	j.loopFlags(cmd)
	o, f := &j.options, cmd.Flags()
	config := f.Lookup("config")
	config.DefValue, config.Usage = "", "the config.json to read; "+service.SourceName+" in the app dir unless given"
	j.Config = ""
	f.StringVar(&o.AppDir, "app-dir", "", "Bifrost's app `dir`, which config.json is written to; APP_DIR unless given")
	f.StringVar(&o.Apply, "apply", "auto", "how Bifrost gets new values: auto, api, restart or none")
	f.DurationVar(&o.StopTimeout, "stop-timeout", child.DefaultStopTimeout, "how long Bifrost may take to end before it is killed")
	f.DurationVar(&o.Drain, "drain", service.UsualDrain, "how long /readyz fails before Bifrost is asked to end; 5s in Kubernetes, else nothing, unless given")
	f.Lookup("drain").DefValue = "0s"
	f.DurationVar(&o.Settle, "restart-settle", 5*time.Second, "how long Bifrost must be ready after a restart before the next of the cluster is restarted")
	f.IntVar(&o.Parallel, "restart-parallel", 1, "how many Bifrosts of a cluster may be restarted at a time")
	f.DurationVar(&o.RestartSplay, "restart-splay", 0, "delay a restart for new values by a random time up to this; in a cluster only where its database gives out no turn")
	f.DurationVar(&o.LastGood, "start-from-last-good", 0, "where the backend does not answer at the start, use the config.json that is there if it is no older than this")
	f.BoolVar(&o.CleanEnv, "clean-env", false, "start Bifrost with the variables that the config names and those that it needs, and no others: no login of a cloud")
	f.BoolVar(&o.Rewrite, "rewrite-database", false, "with --mode env: put variables in the place of vault. references in Bifrost's PostgreSQL config store, as attach does")
	complete(cmd, "apply", service.ExecApplies...)
	return cmd
}

// run returns the failures of exec itself with their code.
func (j *execJob) run(cmd *cobra.Command, args []string) error {
	o, err := j.wanted()
	if err == nil {
		err = o.CheckExec(j.p.host(), args)
	}
	if err != nil {
		return &notStarted{err: err, code: exitNotStarted}
	}
	code, err := service.Exec(cmd.Context(), j.p.daemon(), o, args)
	if err != nil {
		return &notStarted{err: err, code: code}
	}
	return &failure{Code: code}
}
