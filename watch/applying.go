package watch

import (
	"context"
	"slices"
	"time"

	"bifrost-secrets/render"
)

// apply has an update applied and notes what became of it. The error, which is
// *[render.Problems], is what is to be tried again.
func (l *Loop) apply(ctx context.Context, u Update) error {
	if !u.Again {
		l.late.forget(u)
		u.Changed = l.withFailed(u)
	}
	began := time.Now()
	outcomes := l.o.Applier.Apply(ctx, u)
	l.observe(outcomes)
	failed := render.Problems{Document: u.Rendering.Plan.Document.Name}
	keep, started := false, false // what it replaces may be needed; Bifrost was started for it
	l.mu.Lock()
	if u.Trigger == Restarted && !u.Again || u.Rollback || l.shown.outcomes == nil {
		l.shown.outcomes = map[string]Outcome{}
	}
	for _, o := range outcomes {
		l.shown.note(o, u)
		switch {
		case o.State == Failed:
			failed.List = append(failed.List, render.Problem{Reason: o.Reason, Hint: o.Hint, Places: []render.Place{{Path: o.Path}}})
		case o.By == "none": // no restart comes of it
		case o.State == RestartRequired:
			keep = true
		case o.State == InForce, o.State == Unverifiable && o.By == "restart":
			keep, started = true, true
		}
	}
	l.mu.Unlock()
	l.late.note(u, outcomes)
	if keep && (u.Trigger != Restarted || u.Rollback) {
		l.intended = u.Rendering
	}
	if started {
		l.started = u.Rendering
	}
	switch {
	case u.Rollback:
		l.fallBack(l.lastGood, nil)
	case keep || l.noted == nil:
		l.noted = nil
	case l.noted == l.lastGood:
		l.fallBack(nil, nil)
	default:
		l.fallBack(l.lastGood, nil)
	}
	late, again, edited := l.failed(u.Rendering)
	switch {
	case len(late) == 0 && len(again) == 0 && !edited:
		l.reapply = time.Time{}
		l.applies.Reset()
	case len(failed.List) > 0 || l.reapply.IsZero():
		l.reapply = time.Now().Add(l.applies.Next())
	} // else others have failed before, and have their time
	l.logApplied(u, outcomes, time.Since(began))
	if len(failed.List) > 0 {
		return &failed
	}
	return nil
}

// observe tells the metrics, each way of applying apart.
func (l *Loop) observe(outcomes []Outcome) {
	if l.o.Observer == nil {
		return
	}
	by := map[string][]Outcome{}
	for _, o := range outcomes {
		kind := o.By
		if kind == "" {
			kind = l.o.Applier.Kind()
		}
		by[kind] = append(by[kind], o)
	}
	for kind, some := range by {
		l.o.Observer.Applied(kind, some)
	}
}

// late are the fields that failed to be applied after a start of Bifrost, and
// have not changed since: Bifrost has read them in its file, so that another
// restart would not help, and its database may hold something older.
type late struct {
	trigger Trigger // Start or Restarted
	paths   map[string]bool
}

// forget takes out what an update brings a newer value of.
func (l *late) forget(u Update) {
	for i := range u.Changed {
		delete(l.paths, u.Changed[i].Path)
	}
}

// note keeps what has failed after a start.
func (l *late) note(u Update, outcomes []Outcome) {
	if u.Rollback || u.Trigger != Start && u.Trigger != Restarted {
		return
	}
	l.trigger, l.paths = u.Trigger, map[string]bool{}
	for _, o := range outcomes {
		if o.State == Failed {
			l.paths[o.Path] = true
		}
	}
}

// failed returns what failed to be applied before: after a start, and else.
func (l *Loop) failed(r *render.Rendering) (late, again []render.Change, edited bool) {
	for _, c := range r.Values() {
		switch {
		case l.shown.outcomes[c.Path].State != Failed:
		case l.late.paths[c.Path]:
			late = append(late, c)
		default:
			again = append(again, c)
		}
	}
	return late, again, l.shown.outcomes[WholeDocument].State == Failed
}

// withFailed returns what changed, and what failed to be applied before. What is
// late has its own way.
func (l *Loop) withFailed(u Update) []render.Change {
	_, again, _ := l.failed(u.Rendering)
	if len(again) == 0 {
		return u.Changed
	}
	has := make(map[string]bool, len(u.Changed))
	for i := range u.Changed {
		has[u.Changed[i].Path] = true
	}
	changed := slices.Clip(u.Changed)
	for _, c := range again {
		if !has[c.Path] {
			changed = append(changed, c)
		}
	}
	return changed
}

// Owes reports whether a Bifrost that runs with current, and is to be restarted, needs
// that for what u asks it for, or for what waits for it already. What went back meanwhile
// needs none.
func (l *Loop) Owes(u Update, current *render.Rendering) bool {
	if current == nil { // it was started with the file of an earlier life
		return true
	}
	changed, edited := u.Rendering.Changes(current)
	if edited {
		return true
	}
	waits := map[string]bool{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, o := range l.shown.outcomes {
		waits[path] = o.State == RestartRequired && o.By != "none"
	}
	for i := range u.Changed {
		path := u.Changed[i].Path
		if l.shown.outcomes[path].By == "api" { // it did not go back: what came by the API did not come by a start
			return true
		}
		waits[path] = true
	}
	return slices.ContainsFunc(changed, func(c render.Change) bool { return waits[c.Path] })
}

// restarts reports whether Bifrost is to be restarted for something.
func (l *Loop) restarts() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.shown.outcomes {
		if o.State == RestartRequired && o.By != "none" {
			return true
		}
	}
	return false
}

// applyAgain applies what is in force: all of it after a restart of Bifrost,
// otherwise what has failed.
func (l *Loop) applyAgain(ctx context.Context, t Trigger) {
	if t == Restarted {
		l.asking.Lock()
		l.asked.restarted = false
		l.asking.Unlock()
	}
	l.reapply = time.Time{}
	r := l.good.rendering
	if r == nil {
		return
	}
	ctx = l.cancelable(ctx)
	defer l.end(nil, nil)
	if t == Restarted {
		_ = l.apply(ctx, Update{Trigger: t, Rendering: r, Before: r, Changed: r.Values()}) // what failed is tried again
		return
	}
	late, again, edited := l.failed(r)
	if len(late) > 0 {
		_ = l.apply(ctx, Update{Trigger: l.late.trigger, Again: true, Rendering: r, Before: r, Changed: late})
	}
	if len(again) > 0 || edited {
		_ = l.apply(ctx, Update{Trigger: t, Rendering: r, Before: r, Changed: again, Edited: edited})
	}
}
