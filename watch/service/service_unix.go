//go:build unix

package service

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control"
	"bifrost-secrets/watch/metrics"
)

// runner is what exec and watch have in common: a loop, what it publishes, and
// what listens beside it.
type runner struct {
	*Host
	o *Options

	loader  loader
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

	cluster  atomic.Pointer[members] // nil before it is joined
	onReject func()                  // what a rejection elsewhere is told to; may be nil
	status   func() watch.Status

	confirms    bool   // the record is told of each refresh
	unconfirmed string // why that failed last

	publishing sync.Mutex
	newest     *render.Rendering // what was published last
}

func newRunner(h *Host, o *Options) *runner {
	d := &runner{Host: h, o: o, manager: &serviceManager{socket: h.Env["NOTIFY_SOCKET"]}, metrics: metrics.New(h.Version)}
	d.loader = loader{flags: &o.Flags, host: h, check: d.check}
	d.record = &watch.Record{Path: watch.RecordPath(o.Out), AcceptKey: o.NewKey}
	d.flushed, d.looked = make(chan struct{}, 1), make(chan struct{}, 1)
	return d
}

// Loop returns what the loop of watch works with, and its metrics, for tests that have
// a loop of their own.
func Loop(h *Host, o *Options, applier watch.Applier) (watch.Options, *metrics.Metrics) {
	d := newRunner(h, o)
	return d.options(applier), d.metrics
}

// credentials are the variables that the vault_store and the databases take
// credentials from.
func (d *runner) credentials(l *Loaded) []string {
	return append(d.o.Cluster.credentials(), l.credentials()...)
}

// check refuses a document that cannot be worked for.
func (d *runner) check(ctx context.Context, l *Loaded, next, before *watch.Job) error {
	d.hide(d.credentials(l))
	to, err := d.targets()
	if err == nil {
		err = NotOver(next.Source, to)
	}
	if err == nil && before == nil && d.loader.beside == nil {
		_, err = l.ReachConfigStore(ctx, next.Source)
	}
	return err
}

func (d *runner) targets() (Targets, error) { return d.o.Targets(d.o.Inputs(d.Host)) }

// options are those of the loop that both commands share.
func (d *runner) options(applier watch.Applier) watch.Options {
	o := d.o
	host, _ := os.Hostname() // shown alone
	return watch.Options{
		Load: d.loader.load, Publish: d.publish, Repair: d.repair,
		Applier: applier,
		Keeper:  d.record, Watch: func(files []string) { d.files.Watch(files) }, Log: d.Log,
		Observer: observer{d},
		Interval: o.Interval, Timeout: o.Timeout,
		About: watch.Status{Version: d.Version, Host: host, Config: o.Config, Out: o.Out, Mode: o.Mode},
	}
}

// publish publishes and logs what should be seen.
func (d *runner) publish(r *render.Rendering) (wrote, replaced bool, err error) {
	to, err := d.targets()
	if err != nil {
		return false, false, err
	}
	if d.noted != r.Plan {
		d.noted = r.Plan
		d.warnOfPlaintext(r.Plan)
		lines := render.Problems{Document: r.Plan.Document.Name}
		for i := range r.Notes {
			if r.Notes[i].Warning {
				d.Log.Warn(Clean(lines.Line(&r.Notes[i])), "hint", r.Notes[i].Hint)
				continue
			}
			d.Log.Info("note: "+Clean(lines.Line(&r.Notes[i])), "hint", r.Notes[i].Hint)
		}
	}
	for _, warning := range to.Warnings() {
		if !slices.Contains(d.warned, warning) {
			d.warned = append(d.warned, warning)
			hint := "set the owner with --owner"
			if strings.Contains(warning, "others could replace") {
				hint = "chmod go-w the directory, or chmod +t it; where it is an emptyDir of Kubernetes only the pod's own containers can write there"
			}
			d.Log.Warn(Clean(warning), "hint", hint)
		}
	}
	d.publishing.Lock()
	defer d.publishing.Unlock()
	done, err := d.o.Publish(r, to, d.o.NewKey, watch.KeyHint)
	if err == nil {
		d.newest = r
	}
	if err == nil && done.Changed && d.confirms { // also where it is not confirmed
		d.recorded(d.record.Note(d.o.origin(r.Plan.Document, r.Plan.Store), r.Document()))
	}
	return done.Changed, done.Replaced, err
}

// repair publishes again what was published last, where it is not there any more
// as it was, and says so.
func (d *runner) repair() error {
	d.publishing.Lock()
	defer d.publishing.Unlock()
	if d.newest == nil {
		return nil
	}
	to, err := d.targets()
	if err != nil {
		return err
	}
	done, err := d.o.Publish(d.newest, to, true, watch.KeyHint) // whatever key stands there now
	if done.Changed {
		d.Log.Warn("what was published was gone, had been changed, or had another mode or owner: it was restored", "out", d.o.Out, "hint", "find out who else writes there")
	}
	return err
}

// plaintextShown is how many fields a warning of plaintext names.
const plaintextShown = 10

// warnOfPlaintext tells of secrets that stand in the document itself, where the
// vault_store says that they may be stored: the daemons never do that by
// themselves.
func (d *runner) warnOfPlaintext(plan *render.Plan) {
	now, err := d.o.Of(context.Background(), d.Host, plan.Document)
	if err != nil || now.Store == nil || now.Store.AccessMode != render.ReadAndWrite {
		return
	}
	var paths []string
	for _, it := range autostore.Plaintext(plan.Document, autostore.Options{Literal: d.o.Literal}) {
		paths = append(paths, it.Path)
	}
	if len(paths) == 0 {
		return
	}
	n := len(paths)
	if n > plaintextShown {
		paths = append(paths[:plaintextShown], fmt.Sprintf("and %d more", n-plaintextShown))
	}
	d.Log.Warn("secrets stand in the config in plain text", "count", n, "fields", paths, "hint", "move them into the backend: bifrost-secrets store --config "+d.o.Config+" --gateway NAME")
}

// endTime is how long the end may take, beside that of a child.
const endTime = 10 * time.Second

// endWithin ends the program after a while if it has not ended by then, whatever
// it waits for.
func (d *runner) endWithin(most time.Duration, code int) {
	time.AfterFunc(most, func() {
		if !d.ended.Load() {
			d.Log.Error("the shutdown took too long and is cut short", "after", most.String())
			d.Exit(code)
		}
	})
}

// serve starts what runs beside the loop: the server until serving ends, the rest
// until ctx does. The function that it returns waits until all of it has ended.
func (d *runner) serve(ctx, serving context.Context, watcher control.Watcher) (wait func(), err error) {
	watcher = &asked{watcher, d}
	d.status = watcher.Status
	d.metrics.Follow(d.status)
	d.files = watch.NewFiles(func() { d.loop.FileChanged() }, d.Log)
	var running sync.WaitGroup
	opts, wanted, err := d.o.Listen.Options(d.Host, d.metrics.Handler(d.Log))
	if err != nil {
		return nil, err
	}
	if d.o.Cluster.Listed {
		opts.Peers = d.peers
	}
	if wanted {
		server, err := control.Open(watcher, opts)
		if err != nil {
			return nil, err
		}
		running.Go(func() {
			if err := server.Serve(serving); err != nil {
				d.Log.Error("the control server has ended", "error", err.Error())
			}
		})
	}
	running.Go(func() { d.files.Run(ctx) })
	return running.Wait, nil
}

// asked is a watcher whose status tells of the log too, and that tells the others of
// a cluster what it was asked.
type asked struct {
	control.Watcher
	d *runner
}

// Status implements [control.Watcher].
func (a *asked) Status() watch.Status {
	st := a.Watcher.Status()
	st.LogDropped = a.d.Dropped()
	return st
}

// Flush implements [control.Watcher].
func (a *asked) Flush(ctx context.Context) error {
	a.d.spread()
	return a.Watcher.Flush(ctx)
}

// FlushAsync implements [control.Watcher].
func (a *asked) FlushAsync() {
	a.d.spread()
	a.Watcher.FlushAsync()
}

// logEnd says that a signal asks for the end, and what comes of it.
func (d *runner) logEnd(sig os.Signal, what string) {
	if name := map[os.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT"}[sig]; name != "" {
		d.Log.Info(name+" came: "+what, "signal", name)
	}
}

// observer tells whoever has a use for what the loop does. It implements
// [watch.Observer].
type observer struct{ *runner }

// Refreshed implements [watch.Observer].
func (o observer) Refreshed(a watch.Attempt, failures map[sources.Kind]int, fetched int, source string) {
	o.metrics.Refreshed(a, failures, fetched, source)
	o.manager.refreshed()
	o.look()
	if o.confirms && (a.Result == watch.Changed || a.Result == watch.Unchanged) {
		o.confirm()
	}
}

// Applied implements [watch.Observer]: what is rolled back is applied without a
// refresh.
func (o observer) Applied(kind string, outcomes []watch.Outcome) {
	o.metrics.Applied(kind, outcomes)
	o.look()
}

// Restarted implements [watch.Observer].
func (o observer) Restarted() { o.metrics.Restarted() }

// Turned implements [watch.Observer].
func (o observer) Turned(what string) { o.metrics.Turned(what) }

// look has it looked whether the source is another one.
func (d *runner) look() {
	select {
	case d.looked <- struct{}{}:
	default: // it is looked at anyway
	}
}

// confirm notes in the record that what is published was had just now.
func (d *runner) confirm() {
	r := d.loop.Rendering()
	d.recorded(d.record.Confirm(d.o.origin(r.Plan.Document, r.Plan.Store), r.Document()))
}

// origin returns what the record keeps of a document and its vault_store.
func (f *Flags) origin(doc *walker.Document, store *render.VaultStore) watch.Origin {
	from := watch.Origin{Document: doc.Bytes()}
	if !f.ownBlock() {
		from.Store = strings.Join(append([]string{store.Digest(), f.VaultType}, f.VaultSet...), "\x00")
	}
	return from
}

// recorded says why the record could not be kept.
func (d *runner) recorded(err error) {
	if err == nil {
		d.unconfirmed = ""
	} else if d.unconfirmed != err.Error() {
		d.unconfirmed = err.Error()
		d.Log.Warn("the last good values cannot be recorded as such, and could not be used in an outage", "error", d.unconfirmed, "hint", sources.HintOf(err))
	}
}

// commandApplier makes the applier of --apply command.
func (d *runner) commandApplier() *watch.Command {
	return &watch.Command{
		Line: d.o.Command, Out: d.o.Out, Timeout: d.o.ApplyTimeout, Output: d.Printed,
		Env: func() []string { return d.without(d.hidden) },
	}
}

// hide keeps the variables that a document's vault_store takes credentials from
// out of the command's environment. What was hidden once stays so: another block
// does not make an old credential public.
func (d *runner) hide(names []string) {
	d.hidden = append(d.hidden, names...)
	slices.Sort(d.hidden)
	d.hidden = slices.Compact(d.hidden)
}

// signals refreshes on SIGHUP, unless nohup has it ignored, and has end called for
// those of others that come.
func (d *runner) signals(end func(os.Signal), others ...os.Signal) (stop func()) {
	if !signal.Ignored(syscall.SIGHUP) {
		others = append(others, syscall.SIGHUP)
	}
	if len(others) == 0 { // Notify would take them all
		return func() {}
	}
	got := make(chan os.Signal, 8)
	signal.Notify(got, others...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sig := range got {
			if sig != syscall.SIGHUP {
				end(sig)
				continue
			}
			d.manager.reload()
			d.spread()
			d.loop.Trigger(watch.Signal)
		}
	}()
	return func() {
		signal.Stop(got)
		close(got)
		<-done
	}
}
