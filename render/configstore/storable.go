package configstore

import (
	"context"
	"slices"
	"strings"

	"bifrost-secrets/render"
	"bifrost-secrets/sources/database"
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
	root   *part
}

// part is a part of a document that is made of many rows.
type part struct {
	raw     []byte
	names   []string
	members map[string]*part
	list    []*part // of an array
}

func (p *part) member(name string) *part {
	if p.members == nil {
		p.members = map[string]*part{}
	}
	if p.members[name] == nil {
		p.members[name] = &part{}
		p.names = append(p.names, name)
	}
	return p.members[name]
}

func (p *part) append(b []byte) []byte {
	if p.raw != nil {
		return append(b, p.raw...)
	}
	if p.list != nil {
		b = append(b, '[')
		for i, one := range p.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = one.append(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, name := range p.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, walker.Quote(name)...), ':')
		b = p.members[name].append(b)
	}
	return append(b, '}')
}

// Storable looks for what could be stored. It changes nothing, and holds the
// rows with plain text where a reference could stand, but no others.
func (s *Store) Storable(ctx context.Context) (*Storable, error) {
	conn, err := s.Target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer database.Close(conn)
	p := &Storable{fields: map[string]*Field{}, root: &part{}}
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var err error
		p.Summary, err = scan(ctx, tx, p.row)
		return err
	})
	if err != nil {
		return nil, s.Target.Explain(err)
	}
	p.Document, err = walker.Parse(s.Name(), p.root.append(nil))
	return p, err
}

// row takes what can be stored of a row, and notes what cannot.
func (p *Storable) row(r *Row) error {
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
		i := slices.IndexFunc(r.table.columns, func(c column) bool { return c.name == place.Column })
		if i >= 0 && r.table.columns[i].env {
			p.Encrypted = append(p.Encrypted, Reference{
				Place: place, Entity: r.Entity, Reason: "Bifrost has encrypted it, and only Bifrost can read it",
			})
		}
	}
	if wanted {
		p.add(r)
	}
	return nil
}

// add puts a row into the document.
func (p *Storable) add(r *Row) {
	at, index := p.root, -1
	for i, name := range walkedSteps(r) {
		if r.table.steps[i] != "[]" {
			at = at.member(name)
			continue
		}
		element := &part{}
		at.list = append(at.list, element)
		index, at = len(at.list)-1, element
	}
	for _, m := range r.table.members {
		if text := r.told[m.name]; text != "" {
			at.member(m.name).raw = []byte(walker.Quote(text))
		}
	}
	for i := range r.cells {
		c := &r.cells[i]
		if !c.env {
			continue
		}
		to := at
		for _, step := range c.place {
			to = to.member(step)
		}
		to.raw = r.Document.Bytes()[c.start:c.end]
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		steps, ok := walker.SplitPath(f.Path)
		if !ok || !r.cells[f.column].env {
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

// walkedSteps are the names of the steps to a row.
func walkedSteps(r *Row) []string {
	names := slices.Clone(r.table.steps)
	for i, step := range names {
		if step == "*" {
			names[i] = r.starred
		}
	}
	return names
}

// At gives the place in the database of a field of the document. It reports false
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
// changed since it was read gives a *Conflict, and nothing is written. What tells
// Bifrost whether its file has changed (config_hash) stays as it is: the file has
// not.
func (s *Store) Refer(ctx context.Context, p *Storable, refs map[string]walker.Reference) error {
	plan := &Plan{Summary: p.Summary}
	paths := make([]string, 0, len(refs))
	for path := range refs {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, strings.Compare)
	for _, path := range paths {
		f := p.fields[path]
		one := Reference{Place: f.Place, Entity: f.Entity, Reference: refs[path].String(), Variable: render.EnvName(refs[path])}
		text, original := "env."+one.Variable, one.Reference
		if f.row.cells[f.column].form == jsonForm {
			text, original = walker.Quote(text), walker.Quote(original)
		}
		plan.Attach = append(plan.Attach, one)
		plan.edits = append(plan.edits, edit{field: f, text: text, original: original})
	}
	return s.Attach(ctx, plan)
}

// Allowed gives an error where the database must not be rewritten.
func (p *Storable) Allowed() error { return p.Summary.enterprise() }
