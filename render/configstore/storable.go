package configstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

// Storable is what a database holds in plain text and could hold as references,
// as one document: the rows stand in it as they would in a config.json.
type Storable struct {
	Document  *walker.Document
	Left      []Reference // secrets in plain text that have to stay, and why
	Encrypted []Reference // values that Bifrost has encrypted where a reference could stand
	Summary   *Summary

	fields map[string]*Field // by their paths in Document
	root   *node
}

// Storable looks for what could be stored. It changes nothing, and holds the
// rows with plain text where a reference could stand, but no others.
func (s *Store) Storable(ctx context.Context) (*Storable, error) {
	p := &Storable{fields: map[string]*Field{}, root: &node{}}
	err := s.snapshot(ctx, func(tx pgx.Tx) (err error) {
		p.Summary, err = scan(ctx, tx, p.row)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.Document, err = walker.Parse(s.Name(), p.root.append(nil))
	return p, err
}

func (p *Storable) row(r *Row) {
	wanted := false
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.What != walker.Literal || f.Text() == "" {
			continue
		}
		if reason := f.rewritable(); reason == "" {
			wanted = true
		} else if f.Kind() == walker.SecretKind && !strings.HasPrefix(f.Text(), "$2") { // a bcrypt hash
			p.Left = append(p.Left, Reference{Place: f.Place, Entity: f.Entity, Reason: reason})
		}
	}
	for _, place := range r.Encrypted {
		if c := r.table.column(place.Column); c != nil && c.env {
			p.Encrypted = append(p.Encrypted, Reference{
				Place: place, Entity: r.Entity, Reason: "Bifrost has encrypted it, and only Bifrost can read it",
			})
		}
	}
	if wanted {
		p.add(r)
	}
}

func (p *Storable) add(r *Row) {
	at, index := r.in(p.root)
	for _, c := range r.cells {
		if !c.env {
			continue
		}
		to := at
		for _, step := range c.place {
			to = to.child(step)
		}
		to.raw = r.Document.Bytes()[c.start:c.end]
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		steps, ok := walker.SplitPath(f.Path)
		if !ok || !f.cell.env {
			continue
		}
		for k, step := range r.table.steps {
			if step == "[]" && k < len(steps) {
				steps[k].Index = index
			}
		}
		p.fields[walker.JoinPath(steps)] = f
	}
}

// At returns the place in the database of a field of the document. It reports false
// for what cannot become a reference.
func (p *Storable) At(path string) (Place, bool) {
	f := p.fields[path]
	if f == nil || f.rewritable() != "" {
		return Place{}, false
	}
	return f.Place, true
}

// Refer puts references in the places of values, by their paths in the document:
// as variables, whose meaning is remembered, in one transaction. A row that was
// changed since it was read returns a *Conflict, and nothing is written. What tells
// Bifrost whether its file has changed (config_hash) stays as it is: the file has
// not.
func (s *Store) Refer(ctx context.Context, p *Storable, refs map[string]walker.Reference) error {
	plan := &Plan{Summary: p.Summary}
	for _, path := range slices.Sorted(maps.Keys(refs)) {
		f := p.fields[path]
		one := Reference{Place: f.Place, Entity: f.Entity, Reference: refs[path].String(), Variable: render.EnvName(refs[path])}
		one.edit = edit{field: f, text: f.spell("env." + one.Variable), original: f.spell(one.Reference)}
		plan.Attach = append(plan.Attach, one)
	}
	return s.Attach(ctx, plan)
}
