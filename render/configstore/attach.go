package configstore

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations
var files embed.FS

// meanings is the table that remembers what a variable stands for.
var meanings = func() database.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is well formed
	}
	return database.Migrations{Part: "reference", Files: sub}
}()

// Reference is a vault. reference of the database.
type Reference struct {
	Place     Place     `json:"place"`
	Entity    string    `json:"entity"`
	Reference string    `json:"reference"`
	Variable  string    `json:"variable,omitempty"` // that carries its value; empty where it cannot
	Reason    string    `json:"reason,omitempty"`   // why it stays as it is
	Since     time.Time `json:"since,omitzero"`     // when the variable took its place

	edit edit // what puts a variable there
}

// Plan is what the database has of references, and what rewriting would do. It
// holds no value of a secret.
type Plan struct {
	Attach   []Reference `json:"attach"`   // references that become variables
	Attached []Reference `json:"attached"` // variables whose meaning is known
	Left     []Reference `json:"left"`     // references that stay as they are, and why
	Unknown  []Reference `json:"unknown"`  // variables of ours whose meaning nobody remembers
	Summary  *Summary    `json:"summary,omitempty"`
}

// meaning is a line of our table.
type meaning struct {
	Place
	variable, reference, original, status string
	since                                 time.Time
}

// Plan looks for references. It changes nothing. own, which may be nil, reports
// whether a variable is one that the document itself brings, so that its meaning
// need not be known here.
func (s *Store) Plan(ctx context.Context, own func(variable string) bool) (*Plan, error) {
	var p *Plan
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		remembered, err := s.meanings(ctx, tx)
		if err != nil {
			return err
		}
		p, err = plan(ctx, tx, remembered, own)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func plan(ctx context.Context, q querier, remembered []meaning, own func(string) bool) (p *Plan, err error) {
	byVariable := map[string]*meaning{}
	for i := range remembered {
		byVariable[remembered[i].variable] = &remembered[i]
	}
	p = &Plan{}
	p.Summary, err = scan(ctx, q, func(r *Row) {
		for i := range r.Fields {
			f := &r.Fields[i]
			if f.What != walker.Ref {
				continue
			}
			one := Reference{Place: f.Place, Entity: f.Entity, Reference: f.Ref.String(), edit: edit{field: f}}
			switch {
			case f.Ref.Scheme == walker.Vault && f.rewritable() == "":
				one.Variable = render.EnvName(f.Ref)
				one.edit.text, one.edit.original = f.spell("env."+one.Variable), f.spelled()
				p.Attach = append(p.Attach, one)
			case f.Ref.Scheme == walker.Vault:
				one.Reason = f.rewritable()
				p.Left = append(p.Left, one)
			case !strings.HasPrefix(f.Ref.Name, render.EnvPrefix):
			case byVariable[f.Ref.Name] != nil:
				m := byVariable[f.Ref.Name]
				one.Reference, one.Variable, one.Since = m.reference, m.variable, m.since
				p.Attached = append(p.Attached, one)
			case own == nil || !own(f.Ref.Name):
				one.Variable = f.Ref.Name
				p.Unknown = append(p.Unknown, one)
			}
		}
	})
	return p, err
}

// rewritable says why a reference in the field has to stay as it is, and nothing
// if a variable can take its place.
func (f *Field) rewritable() string {
	switch {
	case f.Place.Table == "governance_virtual_keys":
		return "the hash of the virtual key stands beside it, and would no longer fit"
	case f.Object:
		return "it is written as an object"
	case !f.Env:
		return "Bifrost does not resolve env. in this column, or writes the value back into it"
	}
	return ""
}

// Beside returns the references whose values have to be in Bifrost's environment,
// in the form that render plans with.
func (p *Plan) Beside() (all []render.Beside) {
	for _, one := range slices.Concat(p.Attach, p.Attached) {
		if ref, err := walker.ParseReference(one.Reference); err == nil && ref.Scheme == walker.Vault {
			all = append(all, render.Beside{Ref: ref, Entry: one.edit.field.Entry, Path: one.Place.String(), Entity: one.Place.Table + "/" + one.Place.Row})
		}
	}
	return all
}

// meanings reads our table, where it is there.
func (s *Store) meanings(ctx context.Context, tx pgx.Tx) ([]meaning, error) {
	version, err := meanings.Version(ctx, s.Target, tx, s.schema())
	if err != nil || version == 0 {
		return nil, err
	}
	rows, err := tx.Query(ctx, "SELECT in_table, in_row, in_column, in_key, variable, reference, original, encryption_status, since FROM "+s.table()+" ORDER BY 1, 2, 3, 4")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m meaning, err error) {
		err = row.Scan(&m.Table, &m.Row, &m.Column, &m.Key, &m.variable, &m.reference, &m.original, &m.status, &m.since)
		return m, err
	})
}

func (s *Store) schema() string {
	if s.Schema == "" {
		return database.Schema
	}
	return s.Schema
}

func (s *Store) table() string { return pgx.Identifier{s.schema(), "reference"}.Sanitize() }

// Attach puts the variables in the places of the references, and remembers what
// they mean: all of it in one transaction, or nothing. A row that was changed
// since the plan was made is a *Conflict. Enterprise's databases are refused.
func (s *Store) Attach(ctx context.Context, p *Plan) error {
	if err := p.Summary.Allowed(); err != nil {
		return err
	}
	if len(p.Attach) == 0 {
		return nil
	}
	return s.change(ctx, func(tx pgx.Tx) error {
		// A place has one meaning, so what another stood for there goes now. First
		// every copy of its variable gets one of its own.
		remembered, err := s.meanings(ctx, tx)
		if err != nil {
			return err
		}
		all, err := copies(ctx, tx, remembered)
		if err != nil {
			return err
		}
		var edits []edit
		for _, one := range p.Attach {
			edits = append(edits, one.edit)
			all = append(all, meaning{Place: one.Place, variable: one.Variable, reference: one.Reference, original: one.edit.original, status: one.edit.field.row.Status})
		}
		for _, m := range all {
			if err := s.remember(ctx, tx, m); err != nil {
				return err
			}
		}
		return write(ctx, tx, p.Summary.Schema, edits)
	})
}

// remember keeps what the variable at a place means.
func (s *Store) remember(ctx context.Context, tx pgx.Tx, m meaning) error {
	_, err := tx.Exec(ctx, "INSERT INTO "+s.table()+` (in_table, in_row, in_column, in_key, variable, reference, original, encryption_status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (in_table, in_row, in_column, in_key) DO UPDATE SET variable = EXCLUDED.variable, reference = EXCLUDED.reference,
original = EXCLUDED.original, encryption_status = EXCLUDED.encryption_status, since = now()`,
		m.Table, m.Row, m.Column, m.Key, m.variable, m.reference, m.original, m.status)
	return err
}

// copies returns the meanings of variables that stand where attach did not put
// them, such as in a row that somebody has copied.
func copies(ctx context.Context, q querier, remembered []meaning) (all []meaning, err error) {
	byVariable, byPlace := map[string]*meaning{}, map[Place]string{}
	for i := range remembered {
		m := &remembered[i]
		byVariable[m.variable], byPlace[m.Place] = m, m.variable
	}
	if len(remembered) == 0 {
		return nil, nil
	}
	_, err = scan(ctx, q, func(r *Row) {
		for i := range r.Fields {
			f := &r.Fields[i]
			m := byVariable[f.Ref.Name]
			if f.What == walker.Ref && f.Ref.Scheme == walker.Env && m != nil && byPlace[f.Place] != m.variable {
				all = append(all, meaning{f.Place, m.variable, m.reference, f.spell(m.reference), m.status, m.since})
			}
		}
	})
	return all, err
}

// snapshot looks at the database as it is at one moment.
func (s *Store) snapshot(ctx context.Context, look func(pgx.Tx) error) error {
	return s.transact(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, nil, look)
}

// change does one thing to the database in a transaction, under the lock, and
// makes our table first where it is missing.
func (s *Store) change(ctx context.Context, do func(pgx.Tx) error) error {
	return s.transact(ctx, pgx.TxOptions{}, func(conn *pgx.Conn) error {
		_, err := meanings.Migrate(ctx, s.Target, conn, s.schema())
		return err
	}, do)
}

// transact does something in a transaction; under the lock where it may write.
// before, which may be nil, comes ahead of it. Errors are explained, but for a
// *Conflict.
func (s *Store) transact(ctx context.Context, options pgx.TxOptions, before func(*pgx.Conn) error, do func(pgx.Tx) error) error {
	conn, err := s.Target.Connect(ctx)
	if err != nil {
		return err
	}
	defer database.Close(conn)
	if before != nil {
		if err := before(conn); err != nil {
			return err
		}
	}
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		if options.AccessMode != pgx.ReadOnly {
			if err := lock(ctx, tx); err != nil {
				return err
			}
		}
		return do(tx)
	})
	var conflict *Conflict
	if errors.As(err, &conflict) {
		return conflict
	}
	return s.Target.Explain(err)
}

// Retried calls do until it ends with anything but a *Conflict, five times at most.
func Retried(do func() error) (err error) {
	var conflict *Conflict
	for range 5 {
		if err = do(); !errors.As(err, &conflict) {
			break
		}
	}
	return err
}

// Drop leaves references as they are that would become variables.
func (p *Plan) Drop(drop func(Reference) bool) { p.Attach = slices.DeleteFunc(p.Attach, drop) }
