package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// rejection is what Bifrost ended over, or that of another watcher.
type rejection struct {
	rendering *render.Rendering // what it ended over; or what ours runs with all the while
	reason    string
	killed    bool               // by somebody else: rendering need not be the cause
	elsewhere map[Brought]string // why; nil where it is our own Bifrost
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
	again, hint, until := "this one is not tried again", acceptedHint, time.Time{}
	if r.killed {
		until = time.Now().Add(killedWait)
		again, hint = "this one is tried again at "+until.Format(time.TimeOnly)+" or with the next flush", "see what killed Bifrost: its limit of memory, or a person"
	}
	changed, _ := bad.rendering.Changes(back.rendering)
	for _, c := range changed {
		if old, ok := back.results[c.Secret]; c.Secret != "" && (!ok || !equal(old.Value, bad.results[c.Secret].Value)) {
			res := bad.results[c.Secret]
			f := rejectedFault(c.Secret, res.Version, r.reason+"; the last good value is in force, and "+again, hint)
			blamed[c.Secret] = f
			l.refused.values[c.Secret] = refusal{version: res.Version, sum: sha256.Sum256(res.Value.Reveal()), fault: f, until: until}
		}
	}
	if bad.job != back.job {
		l.refused.sum = bad.job.sum()
		l.refused.why = errors.New(r.reason + "; the document before it is in force, and " + again)
		l.refused.until = until
	}
	u := Update{Before: r.rendering}
	if bad.job == back.job { // else it may be the document that Bifrost did not live with
		for _, name := range slices.Sorted(maps.Keys(blamed)) {
			if version := bad.results[name].Version; version == r.rendering.Versions[name] { // else there is a newer one, which it was not started with
				u.Blamed = append(u.Blamed, Brought{name, version})
			}
		}
	}
	fields := l.restore(back, blamed)
	l.o.Log.Error("new values were rolled back", "reason", r.reason, "fields", shorten(fields))
	l.fallBack(nil, nil)
	l.putBack(ctx, bad.job, u)
	l.retryRefused()
	l.plan()
}

const (
	// killedWait is how soon what Bifrost was killed with is tried again.
	killedWait   = 5 * time.Minute
	acceptedHint = "store a value that Bifrost accepts"
)

// rejectedFault is the fault of a secret whose newest value a Bifrost rejected.
func rejectedFault(name, version, reason, hint string) fault {
	f := fault{final: true, state: Refused, problem: render.Problem{
		Reference: "vault." + walker.ShownName(name), Secret: name, Kind: sources.Unusable, Hint: hint, Reason: reason,
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
	if to == nil { // Bifrost was started with the file of an earlier life
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.good.rendering.Values() {
			o, waits := l.shown.outcomes[c.Path]
			if reason := r.elsewhere[Brought{c.Secret, c.Version}]; reason != "" && waits && o.State == RestartRequired {
				o.Reason = elsewhereReason(reason)
				l.shown.outcomes[c.Path] = o
			}
		}
		l.o.Log.Warn("new values are not tried, since a Bifrost of the cluster has rejected them", "reason", slices.Min(slices.Collect(maps.Values(r.elsewhere))))
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
		reason := r.elsewhere[Brought{name, res.Version}]
		if reason != "" {
			why = reason
		}
		if reason != "" && ok {
			blamed[name] = rejectedFault(name, res.Version, elsewhereReason(reason), acceptedHint)
		} else {
			others = true
		}
	}
	if why == "" {
		return
	}
	fields := l.restore(back, blamed)
	l.o.Log.Warn("new values are not tried, since a Bifrost of the cluster has rejected them", "reason", why, "fields", shorten(fields))
	l.fallBack(older, nil)
	l.putBack(ctx, bad.job, Update{Before: bad.rendering, Elsewhere: true, Runs: r.rendering})
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
// it in place of what u says, which was rendered of job.
func (l *Loop) putBack(ctx context.Context, job *Job, u Update) {
	l.drop(job)
	if _, _, err := l.o.Publish(l.good.rendering); err != nil {
		l.o.Log.Error("the last good file could not be put back", "error", err.Error())
	}
	if l.o.Watch != nil {
		l.o.Watch(l.good.job.Files)
	}
	u.Trigger, u.Rendering, u.Changed, u.Rollback = Restarted, l.good.rendering, l.good.rendering.Values(), true
	_ = l.apply(ctx, u)
}

// rejectedElsewhere adds to refused the new values that are known to have been
// rejected by the Bifrost of another watcher. Where there is no last good value in
// place of one, it returns its fault: the document cannot be had. What Bifrost starts
// with is not refused, since there is nothing else to start it with.
func (l *Loop) rejectedElsewhere(ctx context.Context, refused map[string]fault, entities []render.Entity, got, good render.Values) *fault {
	if l.o.Rejected == nil || l.good.job == nil {
		return nil
	}
	var brought []Brought
	for name, res := range got {
		last, ok := good[name]
		if _, is := refused[name]; !is && res.Err == nil && (!ok || !equal(last.Value, res.Value)) {
			brought = append(brought, Brought{name, res.Version})
		}
	}
	if len(brought) == 0 {
		return nil
	}
	var none *fault
	for name, why := range stillRejected(l.o.Rejected(ctx, brought), brought, entities) {
		f := rejectedFault(name, got[name].Version, elsewhereReason(why), acceptedHint)
		if _, ok := good[name]; ok {
			refused[name] = f
		} else {
			none = &f
		}
	}
	return none
}

// stillRejected takes those out of why, the reasons by secret, that are brought with
// another secret of their entity which is not rejected: what Bifrost did not live with
// was the two together.
func stillRejected(why map[string]string, brought []Brought, entities []render.Entity) map[string]string {
	if len(why) == 0 {
		return why
	}
	for i := range entities {
		if slices.ContainsFunc(brought, func(b Brought) bool {
			return why[b.Secret] == "" && slices.Contains(entities[i].Secrets, b.Secret)
		}) {
			for _, name := range entities[i].Secrets {
				delete(why, name)
			}
		}
	}
	return why
}

// elsewhereReason is the reason of a reference whose newest value is not tried.
func elsewhereReason(why string) string {
	return strings.TrimSpace(why) + "; the last good value is in force, and this one is not tried"
}
