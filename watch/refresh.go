package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// errInterrupted ends a refresh that something more urgent came between.
var errInterrupted = errors.New("interrupted")

// refreshing is one refresh under way.
type refreshing struct {
	trigger  Trigger
	began    time.Time
	fetches  map[sources.Source]render.Values
	asked    int // secrets
	calls    int
	source   string
	document error            // why config.json as it stands is not in force
	draft    *draft           // nil where nothing can be in force
	failed   *render.Problems // why there is no draft
	publish  error
	wrote    bool
	replaced bool
	changed  []render.Change
}

// refresh makes one refresh, of all that is asked for at its beginning. The
// error is what it could not bring: nil, *[render.Problems], or, where nothing is
// in force yet, whatever Load or Publish said.
func (l *Loop) refresh(outer context.Context, t Trigger) error {
	ctx, waiters := l.begin(outer)
	v := &refreshing{trigger: t, began: time.Now(), fetches: map[sources.Source]render.Values{}}
	l.draw(ctx, v)
	if ctx.Err() != nil {
		if v.draft != nil {
			l.drop(v.draft.job)
		}
		if outer.Err() != nil {
			l.end(waiters, context.Cause(outer))
			return context.Cause(outer)
		}
		// Those who wait are served by the refresh that takes its place.
		l.end(nil, nil)
		l.ask(func(a *asked) { a.trigger, a.waiters = t, append(a.waiters, waiters...) })
		return errInterrupted
	}
	before := l.good.rendering
	edited := l.adopt(v)
	err := l.settle(v)
	switch {
	case !v.took() || l.o.Supervised && t == Start:
	case l.o.Supervised && before == nil && !v.wrote:
		// Bifrost was started with the file of an earlier life, and that is what
		// it would get now.
		l.Again()
	default:
		u := Update{Trigger: t, Rendering: l.good.rendering, Before: before, Changed: v.changed, Edited: edited, Wrote: v.wrote, Replaced: v.replaced}
		// A start has gone well once the file is there: Bifrost may come later.
		if applied := l.apply(ctx, u); err == nil && t != Start {
			err = applied
		}
		if l.o.Supervised && before == nil && !l.restarts() { // which would do the same
			l.Again()
		}
	}
	l.end(waiters, err)
	return err
}

// took reports whether there is something new to apply.
func (v *refreshing) took() bool { return v.draft != nil && !v.draft.same && v.publish == nil }

// draw finds out what should be in force.
func (l *Loop) draw(ctx context.Context, v *refreshing) {
	l.refused.lapse(v.trigger)
	next, err := l.load(ctx)
	if err != nil {
		v.document, next = err, l.good.job
	}
	if next == nil {
		return
	}
	if next != l.good.job && l.refused.document(next) {
		l.drop(next)
		v.document, next = l.refused.why, l.good.job
	}
	draft, problems := l.compose(ctx, v, next)
	if problems != nil && next != l.good.job && l.good.job != nil {
		// The new document cannot be had; the old one stays, and stays fresh.
		l.drop(next)
		v.document, next = problems, l.good.job
		draft, problems = l.compose(ctx, v, next)
	}
	if v.draft, v.failed = draft, problems; draft == nil {
		l.drop(next)
	}
}

// load reads the document and has its files watched. It reads it again once they
// are, since a change just before would not be told of.
func (l *Loop) load(ctx context.Context) (*Job, error) {
	before := l.good.job
	next, err := l.o.Load(ctx, before)
	if err != nil || l.o.Watch == nil {
		return next, err
	}
	for {
		files := next.Files
		if before != nil && next != before {
			files = append(slices.Clip(files), before.Files...)
		}
		l.o.Watch(files)
		again, err := l.o.Load(ctx, next)
		if again == next {
			return next, nil
		}
		if err != nil || again.Source != next.Source {
			l.drop(next)
		}
		if err != nil {
			return nil, err
		}
		next = again
	}
}

// drop closes the source of a job that does not come into force.
func (l *Loop) drop(j *Job) {
	if j.Source != nil && (l.good.job == nil || l.good.job.Source != j.Source) {
		_ = j.Source.Close()
	}
}

// fetch asks the job's source for what this refresh has not asked it for yet.
func (l *Loop) fetch(ctx context.Context, v *refreshing, j *Job) render.Values {
	got := v.fetches[j.Source]
	if got == nil {
		got = render.Values{}
		v.fetches[j.Source] = got
	}
	var names []string
	for _, name := range j.Plan.Secrets {
		if _, ok := got[name]; !ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 || j.Source == nil {
		return got
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.o.Timeout, fmt.Errorf("no answer within %s (--timeout)", l.o.Timeout))
	defer cancel()
	v.asked += len(names)
	v.calls += sources.CallsOf(j.Source, names, func() { maps.Copy(got, sources.FetchWithin(ctx, j.Source, names)) }).Total()
	return got
}

// draft is a rendering that could be put in force.
type draft struct {
	job       *Job
	rendering *render.Rendering
	results   render.Values
	held      map[string]fault // the secrets whose last good value stands in for the newest
	same      bool             // it is what is in force
}

// compose renders a job with what its source has. A secret that is not to be
// had, or whose value is refused, is stood in for by its last good value, so
// that the others are not held back; all fragments of one secret go together.
func (l *Loop) compose(ctx context.Context, v *refreshing, j *Job) (*draft, *render.Problems) {
	got := l.fetch(ctx, v, j)
	if ctx.Err() != nil {
		return nil, nil
	}
	if j.Source != nil {
		v.source = j.Source.Describe()
	}
	d := &draft{job: j, results: make(render.Values, len(j.Plan.Secrets)), held: map[string]fault{}}
	var good render.Values
	if l.good.job != nil && l.good.job.Source == j.Source {
		good = l.good.results
	}
	for _, name := range j.Plan.Secrets {
		d.results[name] = got[name]
	}
	hold := func(name string, f fault) bool {
		last, ok := good[name]
		if _, twice := d.held[name]; !ok || twice {
			return false
		}
		d.results[name], d.held[name] = last, f
		return true
	}
	entities := j.Plan.Entities()
	refused := l.refused.match(d.results, good)
	if f := l.rejectedElsewhere(ctx, refused, entities, d.results, good); f != nil {
		return nil, &render.Problems{Document: j.Plan.Document.Name, List: []render.Problem{f.problem}}
	}
	l.refused.lift(refused, entities, d.results, good)
	for name, f := range refused {
		hold(name, f)
	}
	for name, f := range l.halves.find(entities, d.results, good) {
		hold(name, f)
	}
	for {
		if f := d.keepTogether(entities, good); f != nil {
			return nil, &render.Problems{Document: j.Plan.Document.Name, List: []render.Problem{f.problem}}
		}
		if j == l.good.job && identical(j.Plan.Secrets, d.results, good) {
			d.rendering, d.same = l.good.rendering, true
			return d, nil
		}
		r, problems := j.Plan.Render(d.results)
		if problems == nil {
			f, secret := l.keepsKey(r)
			if f == nil {
				d.rendering = r
				return d, nil
			}
			if !hold(secret, *f) {
				return nil, &render.Problems{Document: j.Plan.Document.Name, List: []render.Problem{f.problem}}
			}
			continue
		}
		held := map[string]bool{}
		for i := range problems.List {
			one := &problems.List[i]
			if !held[one.Secret] && !hold(one.Secret, fault{problem: *one}) {
				return nil, problems
			}
			held[one.Secret] = true
		}
	}
}

// identical reports whether nothing has changed. Each value is compared: not
// every backend has versions.
func identical(names []string, a, b render.Values) bool {
	for _, name := range names {
		x, y := a[name], b[name]
		if x.Err != nil || y.Err != nil || x.Version != y.Version || !equal(x.Value, y.Value) {
			return false
		}
	}
	return true
}

// adopt publishes the draft and puts it in force. It reports whether the
// document is another one.
func (l *Loop) adopt(v *refreshing) (edited bool) {
	d := v.draft
	if d == nil {
		return false
	}
	before := l.good
	if !d.same {
		if before.rendering == nil {
			v.changed, edited = d.rendering.Values(), l.o.Supervised
			if l.o.Earlier != nil {
				if was := l.o.Earlier(); was != nil {
					v.changed, edited = d.rendering.Since(was)
				}
			}
		} else {
			v.changed, edited = d.rendering.Changes(before.rendering)
			// Another version of the same value is nothing to do anything about.
			d.same = len(v.changed) == 0 && !edited
		}
	}
	if d.same && l.o.Repair != nil {
		v.publish = l.o.Repair()
	}
	if !d.same {
		if v.wrote, v.replaced, v.publish = l.o.Publish(d.rendering); v.publish != nil {
			l.drop(d.job)
			return false
		}
		l.keepKey(d.rendering)
		if l.o.Refuses && before.rendering != nil {
			l.noteFallback(before)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	fetched := make(map[string]time.Time, len(d.results))
	for name := range d.results {
		fetched[name] = now
		if _, held := d.held[name]; held {
			fetched[name] = before.fetched[name]
		} else {
			delete(l.refused.values, name)
		}
	}
	if before.job != nil && before.job.Source != d.job.Source && before.job.Source != nil && !l.needs(before.job) {
		_ = before.job.Source.Close()
	}
	if d.rendering == before.rendering {
		d.results = before.results // the same values: they are held once
	}
	l.good = good{job: d.job, rendering: d.rendering, results: d.results, fetched: fetched}
	return edited
}
