package watch

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// The results of a refresh.
const (
	Unchanged    = "unchanged"
	Changed      = "changed"
	PartlyFailed = "partly failed" // some secrets, or the document, are not as new as they should be
	AllFailed    = "failed"
)

// The kinds of failure that are no source's, beside those of the package sources.
const (
	BadDocument sources.Kind = "document not usable" // config.json as it stands, or its vault_store
	NotWritten  sources.Kind = "not written"         // the published file
	DiskFull    sources.Kind = "disk full"           // it, for want of room
)

// shown is what is shown of the loop. The loop's mutex guards it.
type shown struct {
	last         *Attempt
	recent       []Attempt
	success      time.Time
	next         time.Time
	problems     []string
	hints        []string          // what to do about them, each once
	failing      lasting           // the last refresh could not bring all
	unapplied    lasting           // Bifrost does not have all
	held         map[string]fault  // by secret
	unwritten    map[string]string // why the newest value is not published, by path
	document     error             // why the document as it stands is not in force
	outcomes     map[string]Outcome
	since        map[string]time.Time // when each of them began, for a value
	fingerprints fingerprints
}

// recentKept is how many refreshes and starts of Bifrost are remembered.
const recentKept = 100

func (s *shown) keep(a Attempt) {
	s.recent = append(s.recent, a)
	s.recent = s.recent[max(0, len(s.recent)-recentKept):]
}

// settle accounts for a refresh: for the status, the log, the metrics and the
// next try. It returns what the refresh could not bring.
func (l *Loop) settle(v *refreshing) error {
	a := &Attempt{Trigger: v.trigger, At: v.began, Took: time.Since(v.began), Calls: v.calls}
	held := map[string]fault{}
	failures := map[sources.Kind]int{}
	problems := &render.Problems{Document: l.o.About.Config}
	note := func(list []render.Problem, otherwise sources.Kind) {
		problems.List = append(problems.List, list...)
		for i := range list {
			failures[cmp.Or(list[i].Kind, otherwise)]++
		}
	}
	again := v.publish != nil
	if v.document != nil {
		note(problemsOf(v.document, problems.Document), BadDocument)
		var p *render.Problems
		again = again || v.document != l.refused.why && errors.As(v.document, &p) && !p.Invalid()
	}
	if v.failed != nil {
		note(v.failed.List, "")
		again = true
	}
	if v.draft != nil {
		held = v.draft.held
		v.draft.sayWhoWaits()
		for _, name := range slices.Sorted(maps.Keys(held)) {
			if held[name].waits != "" {
				continue // who it waits for says so
			}
			note([]render.Problem{held[name].problem}, "")
			again = again || !held[name].final
		}
	}
	if v.publish != nil {
		kind := NotWritten
		if errors.Is(v.publish, syscall.ENOSPC) || errors.Is(v.publish, syscall.EDQUOT) {
			kind = DiskFull
		}
		note(problemsOf(v.publish, problems.Document), kind)
	}
	slices.SortStableFunc(problems.List, inOrder)
	merged := render.Merged(problems.List)
	lines := make([]string, len(merged))
	for i := range merged {
		lines[i] = problems.Line(&merged[i])
	}
	var hints []string
	for i := range problems.List {
		hints = addHint(hints, problems.List[i].Hint)
	}
	if v.document != nil && v.draft != nil {
		hints = addHint(hints, documentHint)
	}
	switch {
	case v.draft == nil || v.publish != nil || len(held) > 0 && len(held) == len(v.draft.results):
		a.Result = AllFailed
	case len(lines) > 0:
		a.Result = PartlyFailed
	case v.took():
		a.Result = Changed
	default:
		a.Result = Unchanged
	}
	l.retry = time.Time{}
	if again || l.good.job == nil {
		l.retry = time.Now().Add(l.retries.Next())
	} else {
		l.retries = l.waits
	}
	l.retryRefused()
	l.mu.Lock()
	l.shown.last, l.shown.held, l.shown.document, l.shown.problems, l.shown.hints = a, held, v.document, lines, hints
	l.shown.keep(*a)
	l.shown.unwritten = nil
	if v.publish != nil {
		l.shown.unwritten = make(map[string]string, len(v.changed))
		for i := range v.changed {
			l.shown.unwritten[v.changed[i].Path] = problemsOf(v.publish, problems.Document)[0].Reason
		}
	}
	if len(lines) == 0 {
		l.shown.success = time.Now()
	}
	failing := signature(v, held)
	l.shown.failing.turn(failing, time.Now())
	l.mu.Unlock()
	l.plan()
	if l.o.Observer != nil {
		l.o.Observer.Refreshed(*a, failures, v.asked, v.source)
	}
	l.logRefreshed(a, v, failing)
	switch {
	case len(lines) == 0:
		return nil
	case l.good.job != nil:
		return problems
	case v.failed != nil:
		return v.failed
	case v.publish != nil:
		return v.publish
	}
	return v.document
}

// retryRefused has what was refused tried again in its time.
func (l *Loop) retryRefused() {
	if at := l.refused.due(); !at.IsZero() && (l.retry.IsZero() || at.Before(l.retry)) {
		l.retry = at
	}
}

// inOrder has problems in the order of the document; what has no place in it comes
// first.
func inOrder(a, b render.Problem) int {
	at := func(p *render.Problem) (one render.Place) {
		if len(p.Places) > 0 {
			one = p.Places[0]
		}
		return one
	}
	x, y := at(&a), at(&b)
	return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
}

// plan notes when the next refresh is due.
func (l *Loop) plan() {
	next := l.tick
	if !l.retry.IsZero() && (next.IsZero() || l.retry.Before(next)) {
		next = l.retry
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown.next = next
}

// Enabled reports whether secrets are had from a vault_store. It is taken to be
// so until it is known.
func (l *Loop) Enabled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good.job == nil || l.good.job.Source != nil
}

// Status tells of every reference and of the last and the next refresh.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.o.About
	s.Apply = l.o.Applier.Kind()
	s.Last, s.Success, s.Next = l.shown.last, l.shown.success, l.shown.next
	s.Recent = slices.Clone(l.shown.recent)
	s.Problems = append([]string{}, l.shown.problems...)
	s.Hints = slices.Clone(l.shown.hints)
	_, _, _, hints := l.shown.missing()
	for _, hint := range hints {
		s.Hints = addHint(s.Hints, hint)
	}
	if l.shown.document != nil {
		s.Unusable, _, _ = strings.Cut(l.shown.document.Error(), "\n")
	}
	s.Failing, s.Unapplied = l.shown.failing.status(), l.shown.unapplied.status()
	for _, o := range l.shown.outcomes {
		switch o.State {
		case RestartRequired:
			s.RestartRequired++
		case Failed:
			s.NotApplied++
		}
	}
	s.References = []ReferenceStatus{}
	if err := l.ready(); err != nil {
		s.NotReady = err.Error()
	}
	s.Ready = s.NotReady == ""
	if l.good.job == nil {
		return s
	}
	if l.good.job.Source != nil {
		s.Source = l.good.job.Source.Describe()
	}
	for _, c := range l.good.rendering.Values() {
		r := ReferenceStatus{Path: c.Path, Reference: c.Reference, Secret: walker.ShownName(c.Secret), Version: l.good.results[c.Secret].Version, Fresh: true, Fingerprint: l.shown.fingerprints.of(c.Value)}
		if c.Secret != "" {
			r.Fetched = l.good.fetched[c.Secret]
			r.Age = int64(time.Since(r.Fetched).Seconds())
		}
		if o, ok := l.shown.outcomes[c.Path]; ok {
			r.State, r.Reason, r.Since = o.State, o.Reason, l.shown.since[c.Path]
		}
		if f, held := l.shown.held[c.Secret]; held && c.Secret != "" {
			r.Fresh = false
			f.show(&r)
		} else if why, ok := l.shown.unwritten[c.Path]; ok {
			(&fault{problem: render.Problem{Reason: "new value not published: " + why}}).show(&r)
		}
		s.References = append(s.References, r)
	}
	return s
}
