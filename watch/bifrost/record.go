package bifrost

import (
	"context"
	"net/http"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// record is an object of the API that is read and written as a whole.
type record struct {
	what string // for messages
	// only is the member that is written alone, where the rest stays as it is; empty
	// where the whole is written.
	only string
	// steps returns where a place stands in the object; nil where it has that itself.
	steps func(top value, p place) ([]walker.Step, *Error)
	// read returns the object.
	read func(ctx context.Context) (value, *Error)
	// path is where the object is written.
	path func(top value) string
	// check looks at the object before anything is written.
	check func(top value, places []place) *Error
	// adapt returns what has to be written in another way than it is read, the places
	// that are changed aside; nil for nothing.
	adapt func(top value, changed [][]walker.Step) ([]change, *Error)
	// after is what has to follow a write; nil for nothing.
	after   func(ctx context.Context, top value) *Error
	passing map[string]bool // members that change by themselves, or with every write
}

func (j *job) fail(places []place, f *Error) {
	for _, p := range places {
		j.outcomes[p.index] = f.outcome(p.path)
	}
}

// look returns what Bifrost shows at a place, and how it relates to what shall stand
// there.
func (r *record) look(top value, p place) (l leaf, steps []walker.Step, like likeness, f *Error) {
	if steps = p.steps; r.steps != nil {
		if steps, f = r.steps(top, p); f != nil {
			return l, nil, differs, f
		}
	}
	v, f := top.follow(r.what, steps)
	if f != nil {
		return l, nil, differs, f
	}
	if l, f = readLeaf(r.what, v); f != nil {
		return l, nil, differs, f
	}
	return l, steps, l.compare(p.value), nil
}

// settle brings the places of one object about, from a reading of it or the error of
// that; where there is neither it is read.
func (j *job) settle(ctx context.Context, r record, before value, f *Error, places []place) {
	if f == nil && before.doc == nil {
		before, f = r.read(ctx)
	}
	if f != nil {
		j.fail(places, f)
		return
	}
	var wanted []place
	for _, p := range places {
		_, _, like, f := r.look(before, p)
		if f != nil {
			j.outcomes[p.index] = f.outcome(p.path)
			continue
		}
		wants, had := j.wants(p, like)
		if p.had = had; wants {
			wanted = append(wanted, p)
			continue
		}
		j.outcomes[p.index] = p.outcome(like, false)
	}
	if len(wanted) == 0 {
		return
	}
	// Writes of two objects side by side can fail each other in Bifrost's
	// database: seen with 1.4.19, as a status 500.
	now, changed, f := j.write(ctx, r, before, wanted)
	for tries := 1; f != nil && f.busy && tries < 3; tries++ {
		now, changed, f = j.write(ctx, r, before, wanted)
	}
	var after value
	if f == nil {
		after, f = r.read(ctx)
	}
	if f != nil {
		j.fail(wanted, f)
		return
	}
	for _, p := range wanted {
		if _, _, like, f := r.look(after, p); f != nil {
			j.outcomes[p.index] = f.outcome(p.path)
		} else {
			j.outcomes[p.index] = p.outcome(like, true)
		}
	}
	j.note(r, now, after, changed, wanted)
}

// note says what else the write has changed, by the names of members alone, where an
// outcome has no other reason. What was added is no change, nor is a default in the
// place of nothing.
func (j *job) note(r record, now, after value, changed [][]walker.Step, places []place) {
	var all []string
	differences(now, after, nil, r.passing, func(at []walker.Step, was, _ value) {
		if !was.empty() && !within(at, changed) {
			all = append(all, walker.JoinPath(at))
		}
	})
	for _, p := range places {
		if o := &j.outcomes[p.index]; len(all) > 0 && o.Reason == "" {
			o.Reason = "bifrost has changed " + strings.Join(all, ", ") + " of " + r.what + " as well"
		}
	}
}

// write makes the change, unless the object is another than it was before. It returns
// the object as it was right before the change, and the places that were changed.
func (j *job) write(ctx context.Context, r record, before value, places []place) (now value, changed [][]walker.Step, f *Error) {
	if now, f = r.read(ctx); f != nil {
		return now, nil, f
	}
	old, part, at := before, now, []walker.Step(nil)
	if r.only != "" {
		old, part, at = before.member(r.only), now.member(r.only), []walker.Step{{Name: r.only}}
	}
	if !same(old, part, r.passing) {
		return now, nil, later(r.what+" was changed meanwhile by somebody else", "it is tried again")
	}
	if f = r.check(now, places); f != nil {
		return now, nil, f
	}
	var changes []change
	for _, p := range places {
		l, steps, _, f := r.look(now, p)
		if f != nil {
			return now, nil, f
		}
		l.typed = l.typed && p.object.kind != config // a typed password locks the admin of 1.5.16 out
		changes, changed = append(changes, change{steps, l.literal(p.value)}), append(changed, steps)
	}
	if r.adapt != nil {
		more, f := r.adapt(now, changed)
		if f != nil {
			return now, nil, f
		}
		for _, c := range more {
			changes, changed = append(changes, c), append(changed, c.steps)
		}
	}
	if len(part.texts(lossy, at, changed)) > 0 {
		return now, nil, unknownShape(r.what, "masks another value in a way that cannot be written back")
	}
	body, f := splice(r.what, now, part, changes)
	if f != nil {
		return now, nil, f
	}
	if r.only != "" {
		body = []byte("{" + walker.Quote(r.only) + ":" + string(body) + "}")
	}
	j.began(places) // Bifrost may have it, whatever comes back
	if f = j.put(ctx, http.MethodPut, r.path(now), body); f == nil && r.after != nil {
		f = r.after(ctx, now)
	}
	if f == nil {
		j.ended(places)
	}
	return now, changed[:len(places)], f
}

// pushed is a value that Bifrost was given.
type pushed struct {
	value  sources.Secret
	during run // of Bifrost; 0 where it is not known
	times  int // how often one after the other
	// unfinished says that the last write came to no good end: Bifrost may have the
	// value all the same. had is how it showed what it had before.
	unfinished bool
	had        likeness
}

// writesMost is how often a value is written that Bifrost does not keep, or that
// somebody else changes again: to go on for ever would help nobody.
const writesMost = 3

// given returns what Bifrost was last given at a place, if anything; whether that was
// the value, and whether that was in this run, as far as is known.
func (j *job) given(p place) (last *pushed, any, same, here bool) {
	if last, any = j.pushed[p.path]; !any {
		last = &pushed{}
	}
	_, other := last.during.compare(j.during)
	return last, any, any && string(last.value.Reveal()) == p.value, !other
}

// wants reports whether to write a value, where Bifrost shows what it has. had is how it
// showed what it had before the value was first written.
func (j *job) wants(p place, like likeness) (wants bool, had likeness) {
	j.mu.Lock()
	defer j.mu.Unlock()
	last, any, same, here := j.given(p)
	switch {
	case j.mode == verify:
		return false, like
	case same && last.unfinished:
		return true, last.had
	case like == exact, same && here && last.times >= writesMost:
		return false, like
	case j.mode == push || like == differs:
		return true, like
	case same && here: // nothing is known to have happened since it was given
		return false, like
	}
	// What it shows is right. That may be an earlier value all the same.
	return like == blind || !telling(p.value) || any, like
}

// began notes that Bifrost is about to be given values, and ended that it has
// taken them.
func (j *job) began(places []place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range places {
		last, _, same, here := j.given(p)
		if !same || !here {
			last = &pushed{value: sources.NewSecret([]byte(p.value))}
		}
		last.during, last.unfinished, last.had = j.during, true, p.had
		last.times++
		j.pushed[p.path] = last
	}
}

func (j *job) ended(places []place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range places {
		j.pushed[p.path].unfinished = false
	}
}

// outcome is what becomes of a place, where Bifrost shows like of the value in the end,
// which was written or not.
func (p place) outcome(like likeness, written bool) watch.Outcome {
	o := watch.Outcome{Path: p.path, State: watch.Verified}
	switch {
	case like == exact, like == alike && written && p.had == differs, like == alike && !written && telling(p.value):
	case like != differs:
		o.State, o.Reason = watch.Unverifiable, "bifrost shows too little of the value to tell it from another"
	case written:
		o.State, o.Reason, o.Hint = watch.Failed, "bifrost shows another value than it was given", "is somebody else changing it? it is tried again"
	default:
		o.State, o.Reason, o.Hint = watch.Failed, "bifrost holds another value", "push it, or restart bifrost"
	}
	return o
}
