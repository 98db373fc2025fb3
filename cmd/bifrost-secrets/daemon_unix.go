//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control"
	"bifrost-secrets/watch/metrics"

	"github.com/spf13/cobra"
)

// daemon is what exec and watch have in common: a loop, what it publishes, and
// what listens beside it.
type daemon struct {
	job
	output

	interval     time.Duration
	splay        time.Duration
	wait         time.Duration
	maxStale     time.Duration
	startTimeout time.Duration
	newKey       bool

	apply        string
	command      string
	applyTimeout time.Duration

	listening listenFlags
	cluster   clusterFlags
	bifrost   apiFlags

	log     *slog.Logger
	manager *serviceManager
	metrics *metrics.Metrics
	record  *watch.Record
	loop    *watch.Loop
	files   *watch.Files
	noted   *render.Plan  // its remarks were logged
	flushed chan struct{} // somebody asked us for a flush
	warned  []string      // what was said of the directories that are written to
	hidden  []string      // what the command of --apply command does not get; of the loop's goroutine
	looked  chan struct{} // the source may be another one
	ended   atomic.Bool

	publishing sync.Mutex
	newest     *render.Rendering // what was published last
}

// maxWait bounds the wait for quiet.
const maxWait = 2 * time.Second

func (d *daemon) loopFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&d.interval, "interval", time.Hour, "how often to look for new values; a tenth more or less is drawn each time")
	f.DurationVar(&d.splay, "splay", 0, "the first look comes up to so much later, for fleets that start together")
	f.DurationVar(&d.wait, "wait", 200*time.Millisecond, "after a change of a file, wait until there was none for so long; 2s at most")
	f.DurationVar(&d.maxStale, "max-stale", 0, "the age of a value from which on /readyz fails; 0 means never")
	f.DurationVar(&d.startTimeout, "start-timeout", time.Minute, "how long to wait at the start for a backend that does not answer")
	f.BoolVar(&d.newKey, "accept-new-encryption-key", false, "take another encryption_key than before, once Bifrost's database was cleaned")
	f.StringVar(&d.command, "command", "", "with --apply command: the `command` to run after a change; it gets the JSON paths, and no value")
	f.DurationVar(&d.applyTimeout, "apply-timeout", time.Minute, "how long handing new values over may take")
	d.bifrost.flags(cmd)
	d.listening.flags(cmd)
	d.cluster.flags(cmd)
}

func (d *daemon) checkLoopFlags() error {
	switch {
	case d.config == "-":
		return usageError("the config is read again and again, which the standard input cannot be", "name a file with --config")
	case d.interval < time.Second:
		return usageError("--interval must be a second or more", "write 1h or 5m")
	case d.splay < 0 || d.wait < 0 || d.maxStale < 0 || d.startTimeout < 0:
		return usageError("--splay, --wait, --max-stale and --start-timeout cannot be less than nothing", "")
	case d.wait > maxWait:
		return usageError("--wait can be "+maxWait.String()+" at most", "")
	case d.applyTimeout <= 0:
		return usageError("--apply-timeout must be more than nothing", "write 1m")
	case d.apply == "command" && strings.TrimSpace(d.command) == "":
		return usageError("--apply command needs --command", "write --command 'systemctl restart bifrost'")
	case d.apply != "command" && d.command != "":
		return usageError("--command needs --apply command", "")
	case d.apply == "api" && d.mode == string(render.EnvMode):
		return usageError("--apply api does not go with --mode env: it would write the values over the references in Bifrost's database", "use --apply auto, or --mode inline")
	}
	return d.cluster.check()
}

// begins makes the logger, and what else does not depend on the command.
func (d *daemon) begin() {
	format := d.p.format
	if format == "" {
		if format = jsonLog; d.p.screen.terminal {
			format = textLog
		}
	}
	d.p.screen.queue(func(dropped int) []byte {
		var line bytes.Buffer
		slog.New(d.p.handler(&line, format)).Warn("log lines were dropped here: nobody read them, or they could not be written", "count", dropped)
		return line.Bytes()
	})
	d.log = slog.New(d.p.handler(d.p.screen, format))
	d.p.screen.log = d.log // what ends it is a line of the log too
	d.warn = func(text string) { d.log.Warn(text) }
	d.manager = &serviceManager{socket: d.p.env["NOTIFY_SOCKET"]}
	d.metrics = metrics.New(versionName())
	d.keyHint = watch.KeyHint
	d.record = &watch.Record{Path: watch.RecordPath(d.out), AcceptKey: d.newKey}
	d.files = watch.NewFiles(func() { d.loop.FileChanged() }, d.log)
	d.flushed, d.looked = make(chan struct{}, 1), make(chan struct{}, 1)
}

// credentials are the variables that the vault_store and the cluster's database
// take credentials from.
func (d *daemon) credentials(j *job) []string {
	hidden := d.cluster.credentials()
	if name, ok := strings.CutPrefix(d.database, "env."); ok {
		hidden = append(hidden, name)
	}
	if j.store != nil {
		hidden = append(hidden, j.store.Credentials(backends)...)
	}
	return hidden
}

// options are those of the loop that both commands share.
func (d *daemon) options(applier watch.Applier, check func(*job, *watch.Job) error) watch.Options {
	return watch.Options{
		Load: func(ctx context.Context, before *watch.Job) (*watch.Job, error) {
			return d.job.load(ctx, before, func(j *job, next *watch.Job) error {
				d.hide(d.credentials(j))
				to, err := d.targets(j.inputs())
				if err == nil {
					err = notOver(next.Source, to)
				}
				if err == nil && check != nil {
					err = check(j, next)
				}
				if err == nil && before == nil && j.besides == nil {
					_, err = j.reachConfigStore(ctx, next.Source)
				}
				return err
			})
		},
		Publish: d.publishAll, Repair: d.repair,
		Applier: applier,
		Keeper:  d.record, Watch: d.files.Watch, Log: d.log,
		Observer: observers{d.metrics, d.manager, &follower{d: d}},
		Interval: d.interval, Splay: d.splay, Timeout: d.timeout, Wait: d.wait, MaxWait: maxWait, MaxStale: d.maxStale,
		About: watch.Status{Version: versionName(), Config: d.config, Out: d.out, Mode: d.mode},
	}
}

// publishAll publishes and logs what should be seen.
func (d *daemon) publishAll(r *render.Rendering) (wrote, replaced bool, err error) {
	to, err := d.targets(d.inputs())
	if err != nil {
		return false, false, err
	}
	if d.noted != r.Plan {
		d.noted = r.Plan
		d.warnOfPlaintext(r.Plan)
		lines := render.Problems{Document: r.Plan.Document.Name}
		for i := range r.Notes {
			if r.Notes[i].Warning {
				d.log.Warn(clean(lines.Line(&r.Notes[i])), "hint", r.Notes[i].Hint)
				continue
			}
			d.log.Info("note: "+clean(lines.Line(&r.Notes[i])), "hint", r.Notes[i].Hint)
		}
	}
	for _, warning := range to.warnings() {
		if !slices.Contains(d.warned, warning) {
			d.warned = append(d.warned, warning)
			hint := "--owner and --file-mode say whose it shall be"
			if strings.Contains(warning, "others could replace") {
				hint = "chmod go-w the directory, or chmod +t it; where it is an emptyDir of Kubernetes only the pod's own containers can write there"
			}
			d.log.Warn(clean(warning), "hint", hint)
		}
	}
	d.publishing.Lock()
	defer d.publishing.Unlock()
	done, err := d.publish(r, to, d.newKey)
	if err == nil {
		d.newest = r
	}
	return done.changed, done.replaced, err
}

// repair publishes again what was published last, where it is not there any more
// as it was, and says so.
func (d *daemon) repair() error {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	if d.newest == nil {
		return nil
	}
	to, err := d.targets(d.inputs())
	if err != nil {
		return err
	}
	done, err := d.publish(d.newest, to, true) // whatever key stands there now
	if done.changed {
		d.log.Warn("what was published was gone, had been changed, or had another mode or owner: it is as it was again", "out", d.out, "hint", "find out who else writes there")
	}
	return err
}

// plaintextShown is how many fields a warning of plaintext names.
const plaintextShown = 10

// warnOfPlaintext tells of secrets that stand in the document itself, where the
// vault_store says that they may be stored: the daemons never do that by
// themselves.
func (d *daemon) warnOfPlaintext(plan *render.Plan) {
	now := d.job
	now.doc = plan.Document
	if err := now.findStore(); err != nil || now.store == nil || now.store.AccessMode != render.ReadAndWrite {
		return
	}
	var paths []string
	for _, it := range autostore.Plaintext(plan.Document, autostore.Options{Literal: d.literal}) {
		paths = append(paths, it.Path)
	}
	if len(paths) == 0 {
		return
	}
	n := len(paths)
	if n > plaintextShown {
		paths = append(paths[:plaintextShown], fmt.Sprintf("and %d more", n-plaintextShown))
	}
	d.log.Warn("secrets stand in the config in plain text", "count", n, "fields", paths, "hint", "move them into the backend: bifrost-secrets store --config "+d.config+" --gateway NAME")
}

// endTime is how long the end may take, beside that of a child.
const endTime = 10 * time.Second

// exit ends the program at once.
func (d *daemon) exit(code int) {
	d.p.screen.finish()
	os.Exit(code)
}

// endWithin ends the program after a while if it has not ended by then, whatever
// it waits for.
func (d *daemon) endWithin(most time.Duration, code int) {
	time.AfterFunc(most, func() {
		if !d.ended.Load() {
			d.log.Error("the end took too long and is cut short", "after", most.String())
			d.exit(code)
		}
	})
}

// serve starts what runs beside the loop. The function that it returns waits until
// all of it has ended, after ctx has.
func (d *daemon) serve(ctx context.Context, watcher control.Watcher) (wait func(), err error) {
	watcher = &logged{watcher, d.p.screen}
	d.metrics.Follow(watcher.Status)
	var running sync.WaitGroup
	opts, wanted, err := d.listening.options(d.p, d.metrics.Handler(d.log), d.log)
	if err != nil {
		return nil, err
	}
	if wanted {
		server, err := control.Open(&clustered{watcher, d.spread}, opts)
		if err != nil {
			return nil, err
		}
		running.Go(func() {
			if err := server.Serve(ctx); err != nil {
				d.log.Error("the control server has ended", "error", err.Error())
			}
		})
	}
	running.Go(func() { d.files.Run(ctx) })
	return running.Wait, nil
}

// logged is a watcher whose status tells of the log too.
type logged struct {
	control.Watcher
	screen *screen
}

// Status implements [control.Watcher].
func (l *logged) Status() watch.Status {
	st := l.Watcher.Status()
	st.LogDropped = l.screen.dropped()
	return st
}

// tellEnd says that a signal asks for the end, and what comes of it.
func (d *daemon) tellEnd(sig os.Signal, what string) {
	if name := map[os.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT"}[sig]; name != "" {
		d.log.Info(name+" came: "+what, "signal", name)
	}
}

// observers tell several.
type observers []watch.Observer

// Refreshed implements [watch.Observer].
func (o observers) Refreshed(a watch.Attempt, failures map[sources.Kind]int, fetched int, source string) {
	for _, one := range o {
		one.Refreshed(a, failures, fetched, source)
	}
}

// Applied implements [watch.Observer].
func (o observers) Applied(kind string, outcomes []watch.Outcome) {
	for _, one := range o {
		one.Applied(kind, outcomes)
	}
}

// Restarted implements [watch.Observer].
func (o observers) Restarted() {
	for _, one := range o {
		one.Restarted()
	}
}

// others are the events that an observer of refreshes has no use for.
type others struct{}

// Applied implements [watch.Observer].
func (others) Applied(string, []watch.Outcome) {}

// Restarted implements [watch.Observer].
func (others) Restarted() {}

// confirmer notes in the record that what is published was had just now. It
// implements [watch.Observer].
type confirmer struct {
	others
	d      *daemon
	failed string // what was said last
}

// Refreshed implements [watch.Observer].
func (c *confirmer) Refreshed(a watch.Attempt, _ map[sources.Kind]int, _ int, _ string) {
	if a.Result != watch.Changed && a.Result != watch.Unchanged {
		return
	}
	r := c.d.loop.Rendering()
	err := c.d.record.Confirm(r.Plan.Document.Bytes(), r.Document())
	if err == nil {
		c.failed = ""
	} else if c.failed != err.Error() {
		c.failed = err.Error()
		c.d.log.Warn("the last good values cannot be noted as such, and would not serve in an outage", "error", c.failed)
	}
}

// commandApplier makes the applier of --apply command.
func (d *daemon) commandApplier() *watch.Command {
	return &watch.Command{
		Line: d.command, Out: d.out, Timeout: d.applyTimeout, Output: d.p.screen,
		Env: func() []string { return d.ownless(d.hidden) },
	}
}

// hide keeps the variables that a document's vault_store takes credentials from
// out of the command's environment. What was hidden once stays so: another block
// does not make an old credential public.
func (d *daemon) hide(names []string) {
	d.hidden = append(d.hidden, names...)
	slices.Sort(d.hidden)
	d.hidden = slices.Compact(d.hidden)
}
