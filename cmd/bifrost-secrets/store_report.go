package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sort"

	"bifrost-secrets/render"
	"bifrost-secrets/render/autostore"
	"bifrost-secrets/render/configstore"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

type storing struct {
	Config    string           `json:"config"`
	Database  string           `json:"database,omitempty"` // with --config-store
	Source    string           `json:"source,omitempty"`
	Gateway   string           `json:"gateway"`
	Items     []autostore.Item `json:"items"`
	New       int              `json:"new"`
	Changed   int              `json:"changed"`
	Unchanged int              `json:"unchanged"`
	Refused   int              `json:"refused"`
	Writes    int              `json:"writes"` // calls that it takes
	Reads     int              `json:"reads"`
	Done      bool             `json:"done"` // everything is stored and the file, or the database, is written
	// With --config-store: the secrets that cannot become references there.
	Left []configstore.Reference `json:"left,omitempty"`
	// Without it: the secrets that are no value of a field to store.
	Remaining []render.Problem `json:"remaining,omitempty"`
	Error     string           `json:"error,omitempty"`

	wrote string // the file, or the database; empty where it had no change
}

func (r *storing) fill(p *autostore.Plan) {
	r.Items = listOf(p.Items)
	r.New, r.Changed = p.Count(autostore.New), p.Count(autostore.Changed)
	r.Unchanged, r.Refused = p.Count(autostore.Unchanged), p.Count(autostore.Refuse)
	if r.Refused == 0 {
		r.Writes, r.Reads = p.Calls()
	}
}

// signs are what stands before each line of a plan.
var signs = map[autostore.Action]string{autostore.New: "+", autostore.Changed: "~", autostore.Unchanged: "=", autostore.Refuse: "!"}

func (r *storing) print(w io.Writer) error {
	var rows [][]string
	for _, it := range r.Items {
		reference := "-"
		if it.Name != "" {
			reference = it.Reference()
		}
		rows = append(rows, []string{signs[it.Action] + " " + string(it.Action), it.Path, reference})
	}
	return table(w, rows)
}

func (j *storeJob) sayPlan(r *storing) {
	defer j.sayLeft(r)
	if len(r.Items) == 0 {
		j.sayNothing(r)
		return
	}
	j.p.say("%s would go to %s: %d new, %d changed, %d unchanged", count(len(r.Items), "secret"), clean(r.Source), r.New, r.Changed, r.Unchanged)
	j.p.say("it takes %s and %s; nothing was written", count(r.Writes, "write"), count(r.Reads, "read"))
	j.p.advise("--yes makes the changes")
}

func (j *storeJob) sayDone(r *storing) {
	defer j.sayLeft(r)
	switch {
	case len(r.Items) > 0:
		j.p.say("%s in %s: %d new, %d changed, %d unchanged", count(len(r.Items), "secret"), clean(r.Source), r.New, r.Changed, r.Unchanged)
	case j.rows:
		j.p.say("no secret that a reference could replace stands in %s in plain text", clean(r.Database))
		return
	default:
		j.sayNothing(r)
	}
	if r.wrote != "" {
		j.p.say("wrote %s", clean(r.wrote))
	}
	if j.rows {
		j.p.advise("restart Bifrost, with bifrost-secrets exec: it has the values in its environment from now on; detach undoes it")
	}
}

func (j *storeJob) sayNothing(r *storing) {
	if len(r.Remaining) > 0 {
		j.p.say("there is nothing to store in %s", clean(j.Config))
		return
	}
	j.p.say("no secret stands in %s in plain text", clean(cmp.Or(r.Database, j.Config)))
}

func (j *storeJob) sayLeft(r *storing) {
	const shown = 10
	for i, one := range r.Left {
		if i == shown {
			j.p.note(fmt.Sprintf("%d more secrets stay in plain text", len(r.Left)-shown), "")
			return
		}
		j.p.note(fmt.Sprintf("%s: %s: %s stays in plain text: %s", r.Database, one.Place, one.Entity, one.Reason), "")
	}
}

// remaining returns the secrets in plain text that storing the items of a document
// leaves there: parts of a setting, such as the address of a server, and what stands
// outside of every known field. wanted leaves out those that nobody asked for; nil
// wants all.
func remaining(doc *walker.Document, items []autostore.Item, wanted func(path string) bool) (all []render.Problem) {
	var spans []walker.Span // of the items: the path of a finding may be shown otherwise than it is
	for i := range items {
		spans = append(spans, items[i].Span)
	}
	slices.SortFunc(spans, func(a, b walker.Span) int { return a.Start - b.Start })
	stored := func(at walker.Span) bool {
		next := sort.Search(len(spans), func(i int) bool { return spans[i].Start > at.Start })
		return next > 0 && at.End <= spans[next-1].End
	}
	fields := fieldsOf(doc)
	for _, f := range lint.Check(doc, lint.Options{}) {
		if f.Rule != lint.PlaintextSecret || f.Severity < lint.Warning || stored(f.Span) || wanted != nil && !wanted(f.Path) {
			continue
		}
		at, hint := doc.Position(f.Span.Start), f.Hint
		if slices.Contains(fields, f.Path) {
			hint += "; --include-settings --only '" + f.Path + "' stores it whole"
		}
		all = append(all, render.Problem{
			Reason: f.Message + ", which is not stored", Hint: hint, Warning: true,
			Places: []render.Place{{Path: f.Path, Line: at.Line, Column: at.Column, Span: f.Span}},
		})
	}
	return all
}
