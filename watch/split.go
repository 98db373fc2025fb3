package watch

import (
	"context"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
)

// Split is an [Applier] of two: what Bifrost takes live goes through its API,
// and the rest by a restart. Which field is which, the catalogue says.
type Split struct {
	Word string // what it is called: auto, api or restart
	// API applies what is taken live. Without it everything wants a restart,
	// as it must be in env mode: a push would write the value over the reference.
	API Applier
	// Restart starts Bifrost anew. Without it, what wants a restart is reported.
	Restart Applier
	// Takes returns the function that reports whether a Bifrost that was started takes
	// a changed field from its file, and if not, or not always, why and what to do;
	// inEnv says that the value is in its environment. It may be nil: then every field
	// is taken.
	Takes func(context.Context, Update) func(e *walker.Entry, path string, inEnv bool) (takes bool, reason, hint string)
}

// Kind implements [Applier].
func (s *Split) Kind() string { return s.Word }

// Apply implements [Applier].
func (s *Split) Apply(ctx context.Context, u Update) []Outcome {
	live, rest := s.sort(u.Changed)
	switch {
	case u.Rollback && s.Restart != nil:
		return s.restart(ctx, u, u.Changed)
	case u.Trigger == Restarted:
		// The file was read at the start. What is taken live is looked at all
		// the same: Bifrost's database may hold something older.
		return append(s.pushed(ctx, u, live), s.started(ctx, u, rest)...)
	}
	if s.Restart == nil {
		return append(s.push(ctx, u, live), s.report(u, rest)...)
	}
	var out, kept []Outcome
	if !u.Edited {
		rest, kept = s.worth(ctx, u, rest)
	}
	if len(rest) == 0 && !u.Edited {
		out = s.push(ctx, u, live)
		// What the API turned out not to take is left for a restart.
		refused := map[string]string{}
		for _, o := range out {
			if o.State == RestartRequired {
				refused[o.Path] = o.Reason
			} else {
				kept = append(kept, o)
			}
		}
		if len(refused) == 0 {
			return kept
		}
		for _, c := range live {
			if _, ok := refused[c.Path]; ok {
				rest = append(rest, c)
			}
		}
		again := s.restart(ctx, u, rest)
		for i := range again {
			if why := refused[again[i].Path]; why != "" && again[i].State != InForce {
				again[i].Reason = joined(why, again[i].Reason)
			}
		}
		return append(kept, again...)
	}
	out = s.restart(ctx, u, rest)
	for _, o := range out {
		if o.State != InForce || o.runs {
			// It comes later, or not at all: what is taken live need not wait for it.
			pushed := s.push(ctx, u, live)
			for i := range pushed {
				if pushed[i].State == RestartRequired && o.State == RestartRequired { // it comes with that one
					pushed[i].Reason, pushed[i].Hint = joined(pushed[i].Reason, o.Reason), o.Hint
				}
			}
			return append(append(pushed, out...), kept...)
		}
	}
	return append(append(s.seen(ctx, u, live, each(live, InForce, "", "restart")), out...), kept...)
}

// worth parts what a restart brings in from what it does not, which is told of and
// no reason for one.
func (s *Split) worth(ctx context.Context, u Update, rest []render.Change) (worth []render.Change, kept []Outcome) {
	if s.Takes == nil || len(rest) == 0 {
		return rest, nil
	}
	takes := s.Takes(ctx, u)
	for _, c := range rest {
		ok, reason, hint := takes(c.Entry, c.Path, c.How == render.ValueInEnv)
		if ok || c.Entry.Change == walker.Never {
			worth = append(worth, c)
		} else {
			kept = append(kept, Outcome{Path: c.Path, State: RestartRequired, Reason: reason, Hint: hint, By: "none"})
		}
	}
	return worth, kept
}

// joined joins two reasons, of which either may be empty.
func joined(a, b string) string {
	return strings.Trim(a+"; "+b, "; ")
}

// sort parts what is taken live from what is not.
func (s *Split) sort(changed []render.Change) (live, rest []render.Change) {
	for _, c := range changed {
		if s.API != nil && c.How == render.ValueInFile && c.Entry.Change == walker.Live {
			live = append(live, c)
		} else {
			rest = append(rest, c)
		}
	}
	return live, rest
}

func (s *Split) push(ctx context.Context, u Update, live []render.Change) []Outcome {
	if len(live) == 0 {
		return nil
	}
	u.Changed, u.Edited = live, false
	return by("api", s.API.Apply(ctx, u))
}

// pushed is push after a restart, which another restart does not mend.
func (s *Split) pushed(ctx context.Context, u Update, live []render.Change) []Outcome {
	out := s.push(ctx, u, live)
	for i := range out {
		if out[i].State == RestartRequired {
			out[i].State = Unverifiable
		}
	}
	return out
}

// started tells of the fields that Bifrost has read at its start.
func (s *Split) started(ctx context.Context, u Update, rest []render.Change) []Outcome {
	return s.seen(ctx, u, rest, each(rest, InForce, "", "restart"))
}

// seen has nothing in force that a start is not known to bring in. out are the
// outcomes of changed, one for each.
func (s *Split) seen(ctx context.Context, u Update, changed []render.Change, out []Outcome) []Outcome {
	if s.Takes == nil || !slices.ContainsFunc(out, func(o Outcome) bool { return o.State == InForce }) {
		return out
	}
	takes := s.Takes(ctx, u)
	for i, c := range changed {
		if c.Entry.Change == walker.Never || i >= len(out) || out[i].State != InForce || out[i].Path != c.Path {
			continue // it is what it always was
		}
		if ok, reason, hint := takes(c.Entry, c.Path, c.How == render.ValueInEnv); !ok || reason != "" {
			out[i].State, out[i].Reason, out[i].Hint = Unverifiable, reason, hint
		}
	}
	return out
}

func (s *Split) restart(ctx context.Context, u Update, rest []render.Change) []Outcome {
	u.Changed = rest
	return s.seen(ctx, u, rest, by("restart", s.Restart.Apply(ctx, u)))
}

// report says what wants a restart that is not ours to make.
func (s *Split) report(u Update, rest []render.Change) []Outcome {
	if u.Trigger == Start && !u.Replaced {
		// No Bifrost can have been started with anything else.
		return each(rest, Delivered, "", "none")
	}
	out := each(rest, RestartRequired, "Bifrost does not take it while it runs", "none")
	if u.Edited {
		out = append(out, Outcome{Path: WholeDocument, State: RestartRequired, Reason: "config.json was edited, and Bifrost reads it when it starts", Hint: "restart Bifrost", By: "none"})
	}
	for i := range out {
		out[i].Hint = "restart Bifrost"
	}
	return out
}

// each returns an outcome of one state for each change.
func each(changed []render.Change, state State, reason, kind string) []Outcome {
	out := make([]Outcome, len(changed))
	for i := range changed {
		out[i] = Outcome{Path: changed[i].Path, State: state, Reason: reason, By: kind}
	}
	return out
}

func by(kind string, out []Outcome) []Outcome {
	for i := range out {
		out[i].By = kind
	}
	return out
}

// None is the [Applier] that leaves the published file to others.
type None struct{}

// Kind implements [Applier].
func (None) Kind() string { return "none" }

// Apply implements [Applier].
func (None) Apply(_ context.Context, u Update) []Outcome { return each(u.Changed, Delivered, "", "") }
