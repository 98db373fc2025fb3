package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// Job is a document that is worked for, with what is needed to resolve it.
type Job struct {
	Plan *render.Plan
	// Source is nil where there is no vault_store. Two jobs with one Source
	// share their last good values.
	Source sources.Source
	// Store tells one vault_store from another, for Load.
	Store string
	// Files are the files and directories that a change of is a change of what
	// is read: the document, the file of the vault_store, what the source reads.
	Files []string
}

// Keeper remembers the encryption_key over restarts of this program.
type Keeper interface {
	// Check reports that key is another one than what was kept.
	Check(key sources.Secret) error
	// Keep notes the key that was published.
	Keep(key sources.Secret) error
}

// Options say what a [Loop] works with. Load, Publish, Applier and Log are
// needed.
type Options struct {
	// Load reads the document. It returns before itself where that is still what
	// would be read; before is nil at first. It returns early when ctx ends.
	Load func(ctx context.Context, before *Job) (*Job, error)
	// Publish puts what was rendered in place. It reports whether that changed
	// anything, and whether there was something before.
	Publish func(*render.Rendering) (wrote, replaced bool, err error)
	Applier Applier
	// Repair puts right what was published and is no longer as it was; it is called
	// by a refresh that changes nothing. It may be nil.
	Repair func() error

	Observer Observer                    // may be nil
	Keeper   Keeper                      // may be nil
	Watch    func(files []string)        // has FileChanged called for every later change of them; may be nil
	Getenv   func(string) (string, bool) // Bifrost's environment, where it is known
	Log      *slog.Logger

	// Supervised says that Bifrost is a child of this process, which is started
	// after [Loop.Start]: that then applies nothing.
	Supervised bool
	// Refuses says that Bifrost is started anew for new values, and may refuse
	// them by ending: what they replace is kept until it is known to run.
	Refuses bool
	// Rejected is asked which new values are known to have been rejected by the
	// Bifrost of another watcher, and why: by the name of the secret. It may be nil.
	Rejected func(context.Context, []Brought) map[string]string

	// Earlier returns what Bifrost was started with where that is the file of an earlier
	// life, as it is until Publish replaces it; nil where it is not to be had. It may be nil.
	Earlier func() []byte

	Interval time.Duration // between two ticks; a tenth more or less is drawn for each
	Timeout  time.Duration // of fetching, in all
	Ready    func() error  // why /readyz fails, for the log; nil: [Loop.Ready]

	About Status // what does not change: Version, Config, Out, Mode
}

// The waits between tries.
var (
	retryWaits = Backoff{First: 5 * time.Second, Most: 5 * time.Minute}
	startWaits = Backoff{First: time.Second, Most: 15 * time.Second}
	applyWaits = Backoff{First: 2 * time.Second, Most: time.Minute}
)

// Loop keeps what was rendered fresh. Its methods are safe for concurrent use;
// Start and Run are called once, one after the other.
type Loop struct {
	o    Options
	wake chan struct{} // something was asked for; of capacity 1, so that asking never blocks

	asking sync.Mutex
	asked  asked
	cancel context.CancelFunc // ends the refresh under way

	// These are of the goroutine that runs Start and Run.
	gate     gate
	waits    Backoff // between tries of a refresh that failed
	retries  Backoff
	applies  Backoff
	tick     time.Time
	retry    time.Time // zero where none is due
	reapply  time.Time // zero where none is due
	lastGood *fallback // nil while Bifrost is known to run with what is in force
	next     *fallback // what becomes the last good once Bifrost is known to run with what it was started with
	noted    *fallback // the one of them that the refresh under way has noted
	late     late
	refused  refusals
	halves   halves
	intended *render.Rendering // the newest that Bifrost was, or is to be, started anew with
	started  *render.Rendering // what it was started with last

	readiness readiness

	mu    sync.Mutex // guards what follows against Status and Ready
	good  good
	shown shown
}

// asked is what the loop was asked to do and has not begun yet.
type asked struct {
	trigger   Trigger // empty where no refresh was asked for
	waiters   []chan error
	files     fileEvents
	restarted bool
	rejected  *rejection
	accepted  *render.Rendering
	over      bool // the loop has ended
}

// fileEvents are file events that are waiting for quiet.
type fileEvents struct{ first, last time.Time }

// New makes a loop that has not begun.
func New(o Options) *Loop {
	l := &Loop{o: o, wake: make(chan struct{}, 1), waits: retryWaits, retries: retryWaits, applies: applyWaits, halves: halves{}}
	l.refused.values = map[string]refusal{}
	l.shown.fingerprints = newFingerprints()
	return l
}

// ask changes what is asked for and wakes the loop.
func (l *Loop) ask(change func(*asked)) {
	l.asking.Lock()
	change(&l.asked)
	l.asking.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// Trigger asks for a refresh. Whatever is asked during a refresh makes exactly
// one more.
func (l *Loop) Trigger(t Trigger) { l.ask(func(a *asked) { a.trigger = t }) }

// FileChanged tells of a change of one of the files. The refresh waits for
// quiet.
func (l *Loop) FileChanged() {
	now := time.Now()
	l.ask(func(a *asked) {
		if a.files.first.IsZero() {
			a.files.first = now
		}
		a.files.last = now
	})
}

// Flush asks for a refresh that begins after the call, and waits for its end.
// All that wait share one. It returns what the refresh could not bring, as
// *[render.Problems], or why ctx or the loop ended.
func (l *Loop) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	l.ask(func(a *asked) {
		if a.over {
			done <- context.Canceled
			return
		}
		a.trigger = Flush
		a.waiters = append(a.waiters, done)
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// FlushAsync asks for a refresh and does not wait for it.
func (l *Loop) FlushAsync() { l.Trigger(Flush) }

// Restarted tells that Bifrost was started anew, with what is published: all
// values are applied again, since its database may hold older ones.
func (l *Loop) Restarted() {
	l.mu.Lock()
	l.shown.keep(Attempt{Trigger: Restarted, At: time.Now()})
	l.mu.Unlock()
	l.Again()
}

// Again has all values applied again, as [Loop.Restarted] does, where Bifrost was not
// started anew.
func (l *Loop) Again() { l.ask(func(a *asked) { a.restarted = true }) }

// Rejected tells that Bifrost ended so soon after it was started with r that r
// must be the cause. The last good takes its place again, and the secrets that
// differ are not tried again until they change.
func (l *Loop) Rejected(r *render.Rendering, reason string) {
	l.reject(&rejection{rendering: r, reason: reason})
}

func (l *Loop) reject(r *rejection) {
	l.ask(func(a *asked) { a.rejected = r })
	l.asking.Lock()
	defer l.asking.Unlock()
	if l.cancel != nil {
		l.cancel() // Bifrost is down: a backend that hangs may not keep it there
	}
}

// Killed is Rejected for a Bifrost that somebody else has killed: r need not be the
// cause, and is tried again after a while or with the next flush.
func (l *Loop) Killed(r *render.Rendering, reason string) {
	l.reject(&rejection{rendering: r, reason: reason, killed: true})
}

// RejectedElsewhere tells that the Bifrost of another watcher has rejected values
// that this one, which runs with r, was not started with yet, and why. The values of
// r stay in force.
func (l *Loop) RejectedElsewhere(r *render.Rendering, why map[Brought]string) {
	l.ask(func(a *asked) {
		if a.rejected == nil { // what our own has rejected goes back with it
			a.rejected = &rejection{rendering: r, elsewhere: why}
		}
	})
}

// Accepted tells that Bifrost runs with r, which it was started with.
func (l *Loop) Accepted(r *render.Rendering) { l.ask(func(a *asked) { a.accepted = r }) }

// Run refreshes until ctx ends. Where Start has failed it goes on trying.
func (l *Loop) Run(ctx context.Context) {
	l.drawTick()
	if l.good.job == nil {
		l.retries = Backoff{First: startWaits.First, Most: l.waits.Most}
		l.retry = time.Now().Add(l.retries.Next())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer l.release()
	for ctx.Err() == nil {
		now := time.Now()
		at, act := l.due()
		if !at.After(now) {
			act(ctx)
			l.Look()
			continue
		}
		timer.Reset(at.Sub(now))
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// release lets those go who wait for a refresh that will not come.
func (l *Loop) release() {
	l.asking.Lock()
	defer l.asking.Unlock()
	for _, w := range l.asked.waiters {
		w <- context.Canceled
	}
	l.asked.waiters, l.asked.over = nil, true
}

func (l *Loop) drawTick() {
	l.tick = time.Now().Add(jittered(l.o.Interval))
	l.plan()
}

// due returns what is to be done next, and when.
func (l *Loop) due() (at time.Time, act func(context.Context)) {
	l.asking.Lock()
	defer l.asking.Unlock()
	a := &l.asked
	if r := a.accepted; r != nil {
		a.accepted = nil
		return time.Time{}, func(context.Context) { l.accept(r) }
	}
	if a.rejected != nil {
		r := a.rejected
		a.rejected = nil
		return time.Time{}, func(ctx context.Context) { l.rollBack(ctx, r) }
	}
	at, act = l.tick, func(ctx context.Context) { l.refreshNow(ctx, Tick) }
	sooner := func(t time.Time, f func(context.Context)) {
		if t.Before(at) {
			at, act = t, f
		}
	}
	refresh := func(t Trigger) func(context.Context) {
		return func(ctx context.Context) { l.refreshNow(ctx, t) }
	}
	if !l.retry.IsZero() {
		sooner(l.retry, refresh(Retry))
	}
	if a.trigger != "" {
		sooner(l.gate.opens(), refresh(a.trigger))
	}
	if !a.files.first.IsZero() {
		sooner(later(l.gate.opens(), a.files.quiet()), refresh(File))
	}
	if a.restarted {
		sooner(time.Time{}, func(ctx context.Context) { l.applyAgain(ctx, Restarted) })
	}
	if !l.reapply.IsZero() {
		sooner(l.reapply, func(ctx context.Context) { l.applyAgain(ctx, Retry) })
	}
	if t := l.reminds(); !t.IsZero() {
		sooner(t, func(context.Context) { l.remind() })
	}
	return at, act
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// File events are waited for until there was none for fileWait, but no longer than
// fileWaitMost.
const (
	fileWait     = 200 * time.Millisecond
	fileWaitMost = 2 * time.Second
)

// quiet returns the time at which the events have been waited for.
func (f *fileEvents) quiet() time.Time {
	at := f.last.Add(fileWait)
	if end := f.first.Add(fileWaitMost); end.Before(at) {
		return end
	}
	return at
}

// refreshNow is a refresh with all that follows for the times of the next one.
func (l *Loop) refreshNow(ctx context.Context, t Trigger) {
	if err := l.refresh(ctx, t); ctx.Err() != nil && err != nil {
		return
	}
	if !l.tick.After(time.Now()) {
		l.drawTick()
	}
}

// begin takes what was asked for: what is asked from now on makes one more
// refresh. The context that it returns ends early where Bifrost needs help.
func (l *Loop) begin(ctx context.Context) (context.Context, []chan error) {
	now := time.Now()
	l.gate.pass(now)
	l.asking.Lock()
	defer l.asking.Unlock()
	a := &l.asked
	waiters := a.waiters
	a.trigger, a.waiters = "", nil
	if !a.files.first.IsZero() && !a.files.quiet().After(now) {
		a.files = fileEvents{}
	}
	return l.cancelableLocked(ctx), waiters
}

// cancelable returns a context that ends early where Bifrost needs help.
func (l *Loop) cancelable(ctx context.Context) context.Context {
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.cancelableLocked(ctx)
}

func (l *Loop) cancelableLocked(ctx context.Context) context.Context {
	ctx, l.cancel = context.WithCancel(ctx)
	if l.asked.rejected != nil { // it came just before
		l.cancel()
	}
	return ctx
}

// end lets those go who waited for the refresh.
func (l *Loop) end(waiters []chan error, err error) {
	l.asking.Lock()
	l.cancel()
	l.cancel = nil
	l.asking.Unlock()
	for _, w := range waiters {
		w <- err
	}
}
