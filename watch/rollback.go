package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// rejection is what Bifrost ended over, or that of another watcher.
type rejection struct {
	rendering *render.Rendering // what it ended over; or what ours runs with all the while
	reason    string
	elsewhere map[string]string // why, by secret; nil where it is our own Bifrost
}

// accept notes that Bifrost runs with r.
func (l *Loop) accept(r *render.Rendering) {
	switch {
	case r == l.intended:
		l.fallBack(nil, nil)
	case l.next != nil && l.next.started == r: // something newer is not known to run yet
		l.fallBack(l.next, nil)
	}
}

// rollBack puts what was in force before in force again.
func (l *Loop) rollBack(ctx context.Context, r *rejection) {
	if r.elsewhere != nil {
		l.keepLastGood(ctx, r)
		return
	}
	if l.lastGood == nil {
		// There is nothing older: Bifrost gets the same once more.
		u := Update{Trigger: Restarted, Rendering: l.good.rendering, Before: r.rendering, Rollback: true, Changed: l.good.rendering.Values()}
		_ = l.apply(ctx, u)
		return
	}
	back, bad := l.lastGood.good, l.good
	// An edited document may only have moved the others, and of a secret that holds
	// many a part may have changed that no field has.
	blamed := map[string]fault{}
	changed, _ := bad.rendering.Changes(back.rendering)
	for _, c := range changed {
		if old, ok := back.results[c.Secret]; c.Secret != "" && (!ok || !equal(old.Value, bad.results[c.Secret].Value)) {
			res := bad.results[c.Secret]
			f := rejectedFault(c.Secret, res.Version, r.reason+"; the last good value is in force, and this one is not tried again")
			blamed[c.Secret] = f
			l.refused.values[c.Secret] = refusal{version: res.Version, sum: sha256.Sum256(res.Value.Reveal()), fault: f}
		}
	}
	if bad.job != back.job {
		l.refused.sum = bad.job.sum()
		l.refused.why = errors.New(r.reason + "; the document before it is in force, and this one is not tried again")
	}
	fields := l.restore(back, blamed)
	l.o.Log.Error("new values were rolled back", "reason", r.reason, "fields", shorten(fields))
	l.fallBack(nil, nil)
	l.putBack(ctx, bad.job, r.rendering)
}

// rejectedFault is the fault of a secret whose newest value a Bifrost rejected.
func rejectedFault(name, version, reason string) fault {
	f := fault{final: true, state: Refused, problem: render.Problem{
		Reference: "vault." + walker.ShownName(name), Secret: name, Kind: sources.Unusable, Hint: "store a value that Bifrost accepts", Reason: reason,
	}}
	if version != "" {
		f.problem.Reference += " (version " + version + ")"
	}
	return f
}

// keepLastGood puts the last good in force again before Bifrost was started with
// what replaced it, since another's Bifrost has rejected that.
func (l *Loop) keepLastGood(ctx context.Context, r *rejection) {
	to, older := l.lastGood, (*fallback)(nil)
	if l.next != nil && l.next.started == r.rendering { // it is not known to run yet, and does
		to, older = l.next, l.lastGood
	}
	if to == nil {
		return
	}
	back, bad := to.good, l.good
	blamed, others := map[string]fault{}, bad.job != back.job
	why := ""
	for name, res := range bad.results {
		old, ok := back.results[name]
		if ok && res.Err == nil && equal(old.Value, res.Value) {
			continue
		}
		if reason := r.elsewhere[name]; reason != "" && ok {
			blamed[name], why = rejectedFault(name, res.Version, elsewhereReason(reason)), reason
		} else {
			others = true
		}
	}
	if len(blamed) == 0 {
		return
	}
	fields := l.restore(back, blamed)
	l.o.Log.Warn("new values are not tried, since a Bifrost of the cluster has rejected them", "reason", why, "fields", shorten(fields))
	l.fallBack(older, nil)
	l.putBack(ctx, bad.job, bad.rendering)
	if others { // they went back with it, and are had again
		l.Trigger(Retry)
	}
}

// restore puts back in force again, and has the status tell of the faults of what
// it replaces. It returns their fields.
func (l *Loop) restore(back good, blamed map[string]fault) (fields []string) {
	bad := l.good
	for _, c := range bad.rendering.Values() {
		if _, is := blamed[c.Secret]; is {
			fields = append(fields, c.Path)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good = back
	l.good.results = maps.Clone(back.results)
	for name, old := range back.results {
		_, is := blamed[name]
		if res, ok := bad.results[name]; ok && !is && equal(old.Value, res.Value) {
			l.good.results[name] = res
			l.good.fetched[name] = bad.fetched[name]
		}
	}
	for name, f := range blamed {
		if _, ok := l.good.results[name]; ok {
			l.shown.held[name] = f
		}
	}
	if l.refused.why != nil {
		l.shown.document = l.refused.why
	}
	l.shown.outcomes = nil
	return fields
}

// putBack publishes the last good, which is in force again, and has Bifrost use
// it in place of bad, which was rendered of job.
func (l *Loop) putBack(ctx context.Context, job *Job, bad *render.Rendering) {
	l.drop(job)
	if _, _, err := l.o.Publish(l.good.rendering); err != nil {
		l.o.Log.Error("the last good file could not be put back", "error", err.Error())
	}
	if l.o.Watch != nil {
		l.o.Watch(l.good.job.Files)
	}
	u := Update{Trigger: Restarted, Rendering: l.good.rendering, Before: bad, Rollback: true, Changed: l.good.rendering.Values()}
	_ = l.apply(ctx, u)
}

// rejectedElsewhere adds to refused the new values that are known to have been
// rejected by the Bifrost of another watcher.
func (l *Loop) rejectedElsewhere(ctx context.Context, refused map[string]fault, got, good render.Values) {
	if l.o.Rejected == nil {
		return
	}
	var brought []Brought
	for name, res := range got {
		last, ok := good[name]
		if _, is := refused[name]; ok && !is && res.Err == nil && !equal(last.Value, res.Value) {
			brought = append(brought, Brought{name, res.Version})
		}
	}
	if len(brought) == 0 {
		return
	}
	for name, why := range l.o.Rejected(ctx, brought) {
		refused[name] = rejectedFault(name, got[name].Version, elsewhereReason(why))
	}
}
