package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// A state that lasts is told again when it has lasted for so long, and then so
// often.
const (
	remindAfter = 10 * time.Minute
	remindEvery = time.Hour
)

// lasting is a state that should not last: it is told when it begins, when it
// changes, again while it lasts, and when it ends.
type lasting struct {
	what  string // which state it is; empty while it is not so
	since time.Time
	tries int // that have ended in it
	again time.Time

	// What the last turn has ended, and whether what it is is news.
	ended lastingEnd
	news  bool
}

type lastingEnd struct {
	lasted time.Duration
	tries  int
}

// turn notes what the state is after a try.
func (s *lasting) turn(what string, now time.Time) {
	s.ended, s.news = lastingEnd{}, what != s.what
	switch {
	case what == "" && s.what != "":
		s.ended = lastingEnd{now.Sub(s.since), s.tries}
		s.since, s.tries, s.again = time.Time{}, 0, time.Time{}
	case what != "":
		if s.what == "" {
			s.since = now
		}
		s.tries++
		if s.news {
			s.again = now.Add(remindAfter)
		}
	}
	s.what = what
}

// due reports whether the state is to be told again, and notes that it was.
func (s *lasting) due(now time.Time) bool {
	if s.again.IsZero() || s.again.After(now) {
		return false
	}
	s.again = now.Add(remindEvery)
	return true
}

// attrs are what a line about a state that lasts has of it.
func (s *lasting) attrs(now time.Time) []any {
	return []any{"since", s.since.UTC().Format(time.RFC3339), "for", now.Sub(s.since).Round(time.Second).String(), "tries", s.tries}
}

func (s *lasting) status() *Lasting {
	if s.what == "" {
		return nil
	}
	return &Lasting{Since: s.since, Tries: s.tries}
}

// documentHint is what to do about a document that cannot be used.
const documentHint = "the changed config is not used; the previous one stays in force until it is fixed"

// addHint adds a hint that is not there yet.
func addHint(hints []string, hint string) []string {
	if hint == "" || slices.Contains(hints, hint) {
		return hints
	}
	return append(hints, hint)
}

// note keeps an outcome, and since when it is so for the value.
func (s *shown) note(o Outcome, u Update) {
	if s.since == nil {
		s.since = map[string]time.Time{}
	}
	before, had := s.outcomes[o.Path]
	renewed := slices.ContainsFunc(u.Changed, func(c render.Change) bool { return c.Path == o.Path }) && !u.Again && u.Trigger != Retry && u.Trigger != Restarted
	if !had || renewed || o.State != before.State {
		s.since[o.Path] = time.Now()
	}
	s.outcomes[o.Path] = o
}

// show says in a reference's status that its value is an earlier one, and why.
func (f *fault) show(r *ReferenceStatus) {
	why := f.problem.Reason
	if f.problem.Invalid || f.problem.Kind == sources.Unusable {
		why = "new value refused: " + why
	}
	switch {
	case f.state != "":
		r.State, r.Reason = f.state, f.problem.Reason
	case r.State == Failed || r.State == RestartRequired || r.State == Refused:
		r.Reason = joined(r.Reason, why) // Bifrost does not even have this one
	default:
		r.State, r.Reason = LastGood, why
	}
}

// logRefreshed writes a line about a refresh. A failure is told of when what fails
// changes, and while it lasts by [Loop.remind]; not at every try.
func (l *Loop) logRefreshed(a *Attempt, v *refreshing, failing string) {
	attrs := []any{"trigger", string(a.Trigger), "result", a.Result, "secrets", v.asked, "calls", a.Calls, "took", a.Took.Round(time.Millisecond).String()}
	if v.took() {
		var paths []string
		for i := range v.changed {
			paths = append(paths, v.changed[i].Path)
		}
		attrs = append(attrs, "changed", len(paths), "fields", shorten(paths))
	}
	l.mu.Lock()
	state := l.shown.failing
	l.mu.Unlock()
	level, message := slog.LevelInfo, "refreshed"
	switch {
	case failing != "" && state.news:
		level, message = slog.LevelWarn, "refresh failed"
		if state.tries > 1 {
			attrs = append(attrs, state.attrs(time.Now())...)
		}
		attrs = append(attrs, l.troubles()...)
	case failing != "" && !v.took():
		level, message = slog.LevelDebug, "refresh failed"
	case state.ended.tries > 0:
		message = "refreshed, all is well again"
		attrs = append(attrs, "failed_for", state.ended.lasted.Round(time.Second).String(), "tries", state.ended.tries)
	case !v.took() && (a.Trigger == Tick || a.Trigger == Retry):
		level = slog.LevelDebug
	}
	l.o.Log.Log(context.Background(), level, message, attrs...)
}

// troubles are what a line about failing refreshes has of them: what, what to do,
// and when the next try is.
func (l *Loop) troubles() []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	attrs := appendList([]any{"problems", shorten(l.shown.problems)}, "hints", l.shown.hints)
	if len(l.shown.held) > 0 {
		var oldest time.Duration
		for _, at := range l.good.fetched {
			oldest = max(oldest, time.Since(at))
		}
		attrs = append(attrs, "oldest_value", oldest.Round(time.Second).String())
	}
	if next := time.Until(l.shown.next); next > 0 && (l.good.job != nil || l.shown.last.Trigger != Start) { // who starts says that itself
		attrs = append(attrs, "next_in", next.Round(time.Second).String())
	}
	return attrs
}

// signature names what fails. Texts of errors are no part of it: they may hold
// a port or a time.
func signature(v *refreshing, held map[string]fault) string {
	var b strings.Builder
	kinds := func(p *render.Problems) {
		for i := range p.List {
			fmt.Fprintf(&b, "%s %s %s\n", p.List[i].Secret, p.List[i].Reference, p.List[i].Kind)
		}
	}
	var p *render.Problems
	switch {
	case errors.As(v.document, &p):
		kinds(p)
	case v.document != nil:
		b.WriteString(v.document.Error() + "\n")
	}
	if v.failed != nil {
		kinds(v.failed)
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		fmt.Fprintf(&b, "%s %s\n", name, held[name].problem.Kind)
	}
	if v.publish != nil {
		b.WriteString("publish\n")
	}
	return b.String()
}

// missing is what Bifrost does not have of what is in force. The lock is held.
func (s *shown) missing() (signature string, failed, required, hints []string) {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(s.outcomes)) {
		o := s.outcomes[path]
		switch o.State {
		case Failed:
			failed = append(failed, said(o))
		case RestartRequired, Refused:
			required = append(required, said(o))
		default:
			continue
		}
		hints = addHint(hints, o.Hint)
		fmt.Fprintf(&b, "%s %s\n", path, o.State)
	}
	return b.String(), failed, required, hints
}

// logApplied writes a line about an update, unless it would be the same again.
func (l *Loop) logApplied(u Update, outcomes []Outcome, took time.Duration) {
	l.mu.Lock()
	what, _, _, _ := l.shown.missing()
	l.shown.unapplied.turn(what, time.Now())
	state := l.shown.unapplied
	l.mu.Unlock()
	count := map[State]int{}
	var paths, required, failed, hints []string
	for _, o := range outcomes {
		count[o.State]++
		paths = append(paths, o.Path)
		switch o.State {
		case RestartRequired, Refused:
			required = append(required, said(o))
		case Failed:
			failed = append(failed, said(o))
		default:
			continue
		}
		hints = addHint(hints, o.Hint)
	}
	trigger := u.Trigger
	if u.Again {
		trigger = Retry
	}
	attrs := []any{"kind", l.o.Applier.Kind(), "trigger", string(trigger)}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		attrs = append(attrs, strings.ReplaceAll(string(s), " ", "_"), count[s])
	}
	attrs = append(attrs, "took", took.Round(time.Millisecond).String())
	lacking := len(failed) + len(required)
	level, message := slog.LevelInfo, "applied"
	switch {
	case lacking > 0 && lacking == len(outcomes):
		level, message = slog.LevelWarn, "not applied"
	case lacking > 0:
		level, message = slog.LevelWarn, "partly applied"
	case state.ended.tries > 1:
		attrs = append(attrs, "not_applied_for", state.ended.lasted.Round(time.Second).String(), "tries", state.ended.tries)
	}
	if len(outcomes) == 0 || lacking > 0 && !state.news && trigger == Retry {
		level = slog.LevelDebug
	}
	attrs = appendList(appendList(appendList(attrs, "restart_required_fields", required), "not_applied", failed), "hints", hints)
	if next := time.Until(l.reapply); len(failed) > 0 && next > 0 {
		attrs = append(attrs, "next_in", next.Round(time.Second).String())
	}
	if trigger != Restarted {
		attrs = append(attrs, "fields", shorten(paths))
	}
	l.o.Log.Log(context.Background(), level, message, attrs...)
}

// reminds returns when a state that lasts is told again; zero where none lasts.
func (l *Loop) reminds() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return soonest(l.shown.failing.again, l.shown.unapplied.again, l.readiness.reminds())
}

func soonest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// remind tells again of what lasts.
func (l *Loop) remind() {
	now := time.Now()
	l.mu.Lock()
	failing, unapplied := l.shown.failing, l.shown.unapplied
	refresh, apply := l.shown.failing.due(now), l.shown.unapplied.due(now)
	_, failed, required, hints := l.shown.missing()
	l.mu.Unlock()
	if refresh {
		l.o.Log.Warn("refresh still failing", append(failing.attrs(now), l.troubles()...)...)
	}
	if apply {
		attrs := append([]any{"kind", l.o.Applier.Kind()}, unapplied.attrs(now)...)
		attrs = appendList(appendList(appendList(attrs, "not_applied", failed), "restart_required_fields", required), "hints", hints)
		if next := l.reapply.Sub(now); next > 0 {
			attrs = append(attrs, "next_in", next.Round(time.Second).String())
		}
		l.o.Log.Warn("still not applied", attrs...)
	}
	l.readiness.remind(l.o.Log, now)
}

// appendList adds a list that is not empty.
func appendList(attrs []any, name string, list []string) []any {
	if len(list) == 0 {
		return attrs
	}
	return append(attrs, name, shorten(list))
}

func said(o Outcome) string {
	if o.Reason == "" {
		return o.Path
	}
	return o.Path + ": " + o.Reason
}

// pathsShown is how many JSON paths a line of the log names.
const pathsShown = 20

// shorten keeps a list of the log readable.
func shorten(list []string) []string {
	if more := len(list) - pathsShown; more > 0 {
		return append(slices.Clone(list[:pathsShown]), fmt.Sprintf("and %d more", more))
	}
	return list
}
