package bifrost

import (
	"context"
	"strings"

	"github.com/tidwall/gjson"

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
	// move gives the place in the object where a place of the document stands; nil
	// where it is the same.
	move func(tree any, p place) (place, *fault)
	// read gives the object that write takes.
	read func(ctx context.Context) (tree any, raw []byte, f *fault)
	// check looks at the object before anything is written; nil for no check.
	check func(tree any, places []place) *fault
	// adapt gives what has to be written in another way than it is read, the places
	// that are changed aside; nil for nothing.
	adapt func(tree any, places []place) ([]change, *fault)
	// write writes it; tree is what raw was before the change.
	write func(ctx context.Context, tree any, raw []byte) *fault
	// passing are members that change by themselves, counted members that every
	// write changes.
	passing, counted map[string]bool
}

func (j *job) fail(places []place, f *fault) {
	for _, p := range places {
		j.outcomes[p.index] = f.outcome(p.path)
	}
}

// settle brings the places of one object about.
func (j *job) settle(ctx context.Context, r record, places []place) {
	before, _, f := r.read(ctx)
	if f != nil {
		j.fail(places, f)
		return
	}
	j.settleFrom(ctx, r, before, places)
}

// settleFrom does so from a reading that was made.
func (j *job) settleFrom(ctx context.Context, r record, before any, places []place) {
	var wanted []place
	had := make(map[int]likeness, len(places))
	for _, p := range places {
		if r.move != nil {
			var f *fault
			if p, f = r.move(before, p); f != nil {
				j.outcomes[p.index] = f.outcome(p.path)
				continue
			}
		}
		like, f := look(r.what, before, p)
		if f != nil {
			j.outcomes[p.index] = f.outcome(p.path)
			continue
		}
		wants, earlier := j.wants(p, like)
		had[p.index] = earlier
		if wants {
			wanted = append(wanted, p)
			continue
		}
		j.outcomes[p.index] = found(p, like)
	}
	if len(wanted) == 0 {
		return
	}
	// Writes of two objects side by side can fail each other in Bifrost's
	// database: seen with 1.4.19, as a status 500.
	const tries = 3
	now, f := j.write(ctx, r, before, wanted, had)
	for n := 1; f != nil && f.busy && n < tries; n++ {
		now, f = j.write(ctx, r, before, wanted, had)
	}
	if f != nil {
		j.fail(wanted, f)
		return
	}
	after, _, f := r.read(ctx)
	if f != nil {
		j.fail(wanted, f)
		return
	}
	for _, p := range wanted {
		like, f := look(r.what, after, p)
		if f != nil {
			j.outcomes[p.index] = f.outcome(p.path)
			continue
		}
		j.outcomes[p.index] = written(p, had[p.index], like)
	}
	j.note(r, now, after, wanted)
}

// note says what else the write has changed, by the names of members alone, where an outcome
// has no other reason.
func (j *job) note(r record, now, after any, places []place) {
	var touched [][]step
	for _, p := range places {
		if _, steps, f := find(r.what, now, p.steps); f == nil {
			touched = append(touched, steps)
		}
	}
	changed := lost(now, after, nil, touched, func(name string) bool { return r.passing[name] || r.counted[name] })
	if len(changed) == 0 {
		return
	}
	for _, p := range places {
		if o := &j.outcomes[p.index]; o.Reason == "" {
			o.Reason = "bifrost has changed " + strings.Join(changed, ", ") + " of " + r.what + " as well"
		}
	}
}

// write makes the change, unless the object is another than it was before. It
// gives the object as it was right before the change.
func (j *job) write(ctx context.Context, r record, before any, places []place, had map[int]likeness) (now any, f *fault) {
	now, raw, f := r.read(ctx)
	if f != nil {
		return nil, f
	}
	if !same(r.part(before), r.part(now), r.passing) {
		return nil, changedMeanwhile(r.what)
	}
	if r.check != nil {
		if f := r.check(now, places); f != nil {
			return nil, f
		}
	}
	var changes []change
	if r.adapt != nil {
		if changes, f = r.adapt(now, places); f != nil {
			return nil, f
		}
	}
	for _, p := range places {
		v, steps, f := find(r.what, now, p.steps)
		if f != nil {
			return nil, f
		}
		l, f := readLeaf(r.what, v)
		if f != nil {
			return nil, f
		}
		l.typed = l.typed && p.owner.kind != config // a typed password locks the admin of 1.5.16 out
		changes = append(changes, change{steps: steps, json: l.literal(p.value)})
	}
	touched := make([][]step, len(changes))
	for i, c := range changes {
		touched[i] = c.steps
	}
	if hasOther(lossy, r.part(now), r.at(), touched) {
		return nil, unknownShape(r.what, "masks another value in a way that cannot be written back")
	}
	body, f := set(r.what, raw, changes)
	if f != nil {
		return nil, f
	}
	if r.only != "" {
		body = []byte("{" + walker.Quote(r.only) + ":" + gjson.GetBytes(body, r.only).Raw + "}")
	}
	j.began(places, had) // Bifrost may have it, whatever comes back
	if f := r.write(ctx, now, body); f != nil {
		return nil, f
	}
	j.ended(places)
	return now, nil
}

// part gives what of an object is written, and at where it stands.
func (r *record) part(tree any) any {
	if o, ok := tree.(map[string]any); ok && r.only != "" {
		return o[r.only]
	}
	return tree
}

func (r *record) at() []step {
	if r.only == "" {
		return nil
	}
	return []step{{kind: member, name: r.only}}
}

func changedMeanwhile(what string) *fault {
	return &fault{state: watch.Failed, reason: what + " was changed meanwhile by somebody else", hint: "it is tried again"}
}

// look compares what stands at a place with what shall.
func look(what string, tree any, p place) (likeness, *fault) {
	v, _, f := find(what, tree, p.steps)
	if f != nil {
		return differs, f
	}
	l, f := readLeaf(what, v)
	if f != nil {
		return differs, f
	}
	return l.compare(p.value), nil
}

// wants reports whether to write a value, given how Bifrost shows what it has.
// had is how it showed what it had before the value was first written.
func (j *job) wants(p place, like likeness) (wants bool, had likeness) {
	j.mu.Lock()
	last, pushed := j.pushed[p.path]
	earlier, unfinished := j.unfinished[p.path]
	j.mu.Unlock()
	known := pushed && string(last.value.Reveal()) == p.value
	switch {
	case j.mode == verify:
		return false, like
	case unfinished && known:
		return true, earlier
	case like == exact:
		return false, like
	case known && last.times >= writesMost && last.during.compare(j.during) != different:
		return false, like
	case j.mode == push || like == differs:
		return true, like
	}
	if known && last.during.compare(j.during) != different {
		return false, like // nothing is known to have happened since it was given
	}
	// What it shows is right. That may be an earlier value all the same.
	return like == blind || !telling(p.value) || pushed, like
}

// pushed is a value that Bifrost was given.
type pushed struct {
	value  sources.Secret
	during run // of Bifrost; 0 where it is not known
	times  int // how often one after the other
}

// writesMost is how often a value is written that Bifrost does not keep, or that
// somebody else changes again: to go on for ever would help nobody.
const writesMost = 3

// began notes that Bifrost is about to be given values, and ended that it has
// taken them.
func (j *job) began(places []place, had map[int]likeness) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range places {
		times := 0
		if last, ok := j.pushed[p.path]; ok && string(last.value.Reveal()) == p.value && last.during.compare(j.during) != different {
			times = last.times
		}
		j.pushed[p.path] = pushed{value: sources.NewSecret([]byte(p.value)), during: j.during, times: times + 1}
		j.unfinished[p.path] = had[p.index]
	}
}

func (j *job) ended(places []place) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range places {
		delete(j.unfinished, p.path)
	}
}

// found is the outcome of a value that was not written.
func found(p place, like likeness) watch.Outcome {
	switch {
	case like == exact || like == alike && telling(p.value):
		return watch.Outcome{Path: p.path, State: watch.Verified}
	case like == differs:
		return watch.Outcome{Path: p.path, State: watch.Failed, Reason: "bifrost holds another value", Hint: "push it, or restart bifrost"}
	}
	return unverifiable(p)
}

// written is the outcome of a value that was written. had is how what was there
// before related to it.
func written(p place, had, like likeness) watch.Outcome {
	switch {
	case like == exact || like == alike && had == differs:
		return watch.Outcome{Path: p.path, State: watch.Verified}
	case like == differs:
		return watch.Outcome{Path: p.path, State: watch.Failed, Reason: "bifrost shows another value than it was given", Hint: "is somebody else changing it? it is tried again"}
	}
	return unverifiable(p)
}

func unverifiable(p place) watch.Outcome {
	return watch.Outcome{Path: p.path, State: watch.Unverifiable, Reason: "bifrost shows too little of the value to tell it from another"}
}
