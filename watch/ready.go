package watch

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// readiness tells the log where /readyz turns, and again while it fails. It is safe
// for concurrent use.
type readiness struct {
	mu    sync.Mutex
	known bool
	not   lasting
	why   string
}

// look notes whether it is ready, and why not. It reports whether it has ceased to be,
// of which the log is to be reminded.
func (r *readiness) look(log *slog.Logger, err error) (ceased bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what, now := "", time.Now()
	if err != nil {
		what, r.why = "not ready", err.Error()
	}
	first := !r.known
	r.known = true
	r.not.turn(what, now)
	switch {
	case first && err != nil: // nobody has been told otherwise
	case err != nil && r.not.news:
		log.Warn("not ready: /readyz fails from now on", "reason", r.why)
	case r.not.ended.tries > 0:
		log.Info("ready", "not_ready_for", r.not.ended.lasted.Round(time.Millisecond).String())
	case first:
		log.Info("ready")
	}
	return r.not.news && err != nil
}

func (r *readiness) reminds() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.not.again
}

func (r *readiness) remind(log *slog.Logger, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.not.due(now) {
		log.Warn("still not ready", "since", r.not.since.UTC().Format(time.RFC3339), "for", now.Sub(r.not.since).Round(time.Second).String(), "reason", r.why)
	}
}

// Look tells the log where what [Options] calls Ready has turned. The loop looks by
// itself after all that it does: whoever changes something else calls it.
func (l *Loop) Look() {
	ready := l.o.Ready
	if ready == nil {
		ready = l.Ready
	}
	if l.readiness.look(l.o.Log, ready()) {
		l.ask(func(*asked) {}) // or it would sleep past the time to remind of it
	}
}

// Ready says why Bifrost should not be sent requests: nothing is in force yet.
func (l *Loop) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready()
}

func (l *Loop) ready() error {
	if l.good.job == nil {
		return errors.New("nothing was rendered yet")
	}
	return nil
}
