package main

import (
	"fmt"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
)

// notesShown is how many remarks are printed without --verbose.
const notesShown = 10

// notes shows the remarks on a document that is rendered.
func (j *job) notes(all []render.Problem) {
	j.remarks(all)
	if len(j.Plan.Left) > 0 {
		j.p.note(fmt.Sprintf("%s left for Bifrost to resolve from its own environment: %s", count(len(j.Plan.Left), "variable"), listed(shownNames(j.Plan.Left))), "")
	}
}

// noteUnset notes which of the variables that are left to Bifrost are not set here:
// it needs them, and what publishes nothing does not.
func (j *job) noteUnset(left []string) {
	unset := slices.DeleteFunc(slices.Clone(left), func(name string) bool { _, ok := j.p.getenv(name); return ok })
	if len(unset) > 0 {
		j.p.note("not set here, and left for Bifrost to resolve from its own environment: "+listed(shownNames(unset)), "")
	}
}

func (j *job) remarks(all []render.Problem) {
	lines := render.Problems{Document: j.Doc.Name}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b render.Problem) int { // warnings first
		switch {
		case a.Warning == b.Warning:
			return 0
		case a.Warning:
			return -1
		}
		return 1
	})
	shown := len(all)
	if shown > notesShown+1 && !j.p.verbose {
		shown = notesShown
	}
	for i := range shown {
		hint := all[i].Hint
		if i+1 < shown && all[i+1].Hint == hint {
			hint = "" // the last of them says it
		}
		if all[i].Warning {
			j.p.screen.warning(lines.Line(&all[i]), hint)
		} else {
			j.p.note(lines.Line(&all[i]), hint)
		}
	}
	if shown < len(all) {
		j.p.note(fmt.Sprintf("%d more notes; --verbose shows them", len(all)-shown), "")
	}
}

// warnings shows the remarks that people must see, alone.
func (j *job) warnings(all []render.Problem) {
	lines := render.Problems{Document: j.Doc.Name}
	for i := range all {
		if all[i].Warning {
			j.p.screen.warning(lines.Line(&all[i]), all[i].Hint)
		}
	}
}

// warned returns err, which the plan failed with, after the warnings of the plan.
func (j *job) warned(err error) error {
	if j.Loaded != nil && j.Plan != nil {
		j.warnings(j.Plan.Notes)
	}
	return err
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func listed(names []string) string {
	const shown = 8
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
}

func shownNames(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = walker.ShownVariable(name)
	}
	return all
}
