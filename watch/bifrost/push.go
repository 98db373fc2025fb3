package bifrost

import (
	"context"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// State says what became of a value. The words are those of the package watch.
type State string

// The states of a value.
const (
	Verified        State = "verified"         // Bifrost has it: read back, as far as it shows it
	Unverifiable    State = "unverifiable"     // Bifrost was given it, and shows too little of it to tell
	RestartRequired State = "restart required" // the API cannot take it, or is not as we know it
	Refused         State = "refused"          // it must not change: an encryption key
	Failed          State = "failed"           // to be tried again
)

// Outcome is what became of one target. It holds no value.
type Outcome struct {
	Path   string
	State  State
	Reason string // lower case, no full stop; empty where the value is in force
	Hint   string
	// Note says what else Bifrost has changed with the write, if anything: by the
	// names of members, never their values.
	Note string
}

// mode is what to do with a value that Bifrost may have already.
type mode uint8

const (
	verify   mode = iota // nothing
	converge             // write it unless Bifrost shows it
	push                 // write it unless Bifrost shows the whole of it
)

// Push writes the values that have changed and reads them back. doc is the
// rendered document, in which the targets stand: it tells what they belong to.
// There is one outcome for each target, in their order. When ctx ends, what is
// not done is Failed; without an end, a Bifrost that does not answer takes the
// deadline of a call for each object.
//
// An object of the API is read twice before it is written: where the two
// readings differ somebody else is editing it, and the targets in it are Failed.
func (c *Client) Push(ctx context.Context, doc *walker.Document, targets []Target) []Outcome {
	return c.run(ctx, doc, targets, push)
}

// Converge is for a Bifrost that was started: it writes what Bifrost shows to be
// another value or does not show enough of, and leaves alone what it has. Its
// database outlives it, and may hold what was pushed after its file was written.
func (c *Client) Converge(ctx context.Context, doc *walker.Document, targets []Target) []Outcome {
	return c.run(ctx, doc, targets, converge)
}

// Verify reads and writes nothing: a value that Bifrost does not have is Failed.
func (c *Client) Verify(ctx context.Context, doc *walker.Document, targets []Target) []Outcome {
	return c.run(ctx, doc, targets, verify)
}

// job is one Push, Verify or Converge.
type job struct {
	*session
	mode     mode
	of       string // the version of Bifrost; empty where it is not known
	during   run    // the run of Bifrost; 0 where it is not known
	outcomes []Outcome

	// clients gives the first reading of the list of MCP clients, which is made once.
	clients func() listing

	// pluginConfigs are the configs of the document by the plugin's name, as they
	// stand there.
	pluginConfigs map[string][]byte
}

func (c *Client) run(ctx context.Context, doc *walker.Document, targets []Target, m mode) []Outcome {
	select {
	case c.operation <- struct{}{}:
		defer func() { <-c.operation }()
	case <-ctx.Done():
		all := make([]Outcome, len(targets))
		for i, t := range targets {
			all[i] = (&fault{state: Failed, reason: "stopped before bifrost was asked"}).outcome(t.Path)
		}
		return all
	}
	j := &job{session: c.session(doc), mode: m, outcomes: make([]Outcome, len(targets)), pluginConfigs: pluginConfigs(doc)}
	if len(targets) == 0 {
		return j.outcomes
	}
	version, f := j.version(ctx)
	if f != nil && f.state != RestartRequired {
		for i, t := range targets {
			j.outcomes[i] = f.outcome(t.Path)
		}
		return j.outcomes
	}
	j.of = version
	if m == converge {
		j.during = j.running(ctx)
	}
	c.mu.Lock()
	c.found = version
	if m == converge {
		c.current = j.during
	}
	j.during = c.current
	c.mu.Unlock()
	j.clients = sync.OnceValue(func() listing { return j.clientList(ctx) })
	var order []owner
	groups := map[owner][]place{}
	known := names(doc)
	for i, t := range targets {
		p, f := locate(i, t, known)
		if f == nil || f.state == RestartRequired {
			f = notLive(t.Entry, version, f)
		}
		if f != nil {
			j.outcomes[i] = f.outcome(t.Path)
			continue
		}
		if groups[p.owner] == nil {
			order = append(order, p.owner)
		}
		groups[p.owner] = append(groups[p.owner], p)
	}
	var work errgroup.Group
	work.SetLimit(c.concurrency)
	for _, o := range order {
		if o.kind != config {
			work.Go(func() error { j.settleOwner(ctx, o, groups[o]); return nil })
		}
	}
	_ = work.Wait()
	// The credentials come last: with them all that is under way would fail.
	if all := groups[owner{kind: config}]; all != nil {
		j.settleAdmin(ctx, all)
	}
	return j.outcomes
}

// notLive gives why the API does not take a field, if it does not. f is what
// locating it has brought.
func notLive(e *walker.Entry, version string, f *fault) *fault {
	if e == nil {
		return f
	}
	t := takingOf(e, version)
	switch {
	case e.Change == walker.Never:
		return &fault{state: Refused, reason: t.reason, hint: t.hint}
	case !t.live:
		return &fault{state: RestartRequired, reason: t.reason, hint: t.hint}
	}
	return f
}

func (j *job) settleOwner(ctx context.Context, o owner, places []place) {
	switch o.kind {
	case provider:
		j.settleProvider(ctx, o.name, places)
	case mcpClient:
		before, _, f := j.clients().client(o.name)
		if f != nil {
			j.fail(places, f)
			return
		}
		j.settleFrom(ctx, j.mcpRecord(o.name), before, places)
	case plugin:
		j.settle(ctx, j.pluginRecord(o.name), places)
	}
}

// listing is a list that was read.
type listing struct {
	tree  any
	raw   []byte
	fault *fault
}

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

// note adds to the outcomes what else the write has changed.
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
		j.outcomes[p.index].Note = "bifrost has changed " + strings.Join(changed, ", ") + " of " + r.what + " as well"
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
	return &fault{state: Failed, reason: what + " was changed meanwhile by somebody else", hint: "it is tried again"}
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
func found(p place, like likeness) Outcome {
	switch {
	case like == exact || like == alike && telling(p.value):
		return Outcome{Path: p.path, State: Verified}
	case like == differs:
		return Outcome{Path: p.path, State: Failed, Reason: "bifrost holds another value", Hint: "push it, or restart bifrost"}
	}
	return unverifiable(p)
}

// written is the outcome of a value that was written. had is how what was there
// before related to it.
func written(p place, had, like likeness) Outcome {
	switch {
	case like == exact || like == alike && had == differs:
		return Outcome{Path: p.path, State: Verified}
	case like == differs:
		return Outcome{Path: p.path, State: Failed, Reason: "bifrost shows another value than it was given", Hint: "is somebody else changing it? it is tried again"}
	}
	return unverifiable(p)
}

func unverifiable(p place) Outcome {
	return Outcome{Path: p.path, State: Unverifiable, Reason: "bifrost shows too little of the value to tell it from another"}
}
