package configstore

import (
	"context"
	"slices"

	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

// Detachment is what putting the references back does.
type Detachment struct {
	Restored []Reference `json:"restored"` // the reference is back
	Edited   []Reference `json:"edited"`   // somebody has written something else since; it stays
	Left     []Reference `json:"left"`     // the variable stays, or may, and why; its meaning is kept
}

// Detach puts the references back exactly as they were spelled, and forgets what
// the variables meant: all of it in one transaction, or nothing. Copies that
// somebody has made of a variable become references too; what one meant that may
// stand in what cannot be read is not forgotten. With dry it only says what it would
// do.
func (s *Store) Detach(ctx context.Context, dry bool) (*Detachment, error) {
	d := &Detachment{}
	options := pgx.TxOptions{}
	if dry {
		options.AccessMode = pgx.ReadOnly
	}
	err := s.transact(ctx, options, nil, func(tx pgx.Tx) error {
		remembered, err := s.meanings(ctx, tx)
		if err != nil || len(remembered) == 0 {
			return err
		}
		l, err := look(ctx, tx)
		if err != nil {
			return err
		}
		more, err := copies(ctx, tx, remembered)
		if err != nil {
			return err
		}
		edits, forget, err := d.judge(ctx, tx, l, append(remembered, more...))
		if err != nil || dry {
			return err
		}
		if err := write(ctx, tx, l.schema, edits); err != nil {
			return err
		}
		for _, m := range forget {
			if _, err := tx.Exec(ctx, "DELETE FROM "+s.table()+" WHERE in_table = $1 AND in_row = $2 AND in_column = $3 AND in_key = $4", m.Table, m.Row, m.Column, m.Key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// judge finds what to put back.
func (d *Detachment) judge(ctx context.Context, q querier, l *layout, remembered []meaning) (edits []edit, forget []meaning, err error) {
	rows := map[[2]string]*Row{}
	for _, m := range remembered {
		at := [2]string{m.Table, m.Row}
		if _, seen := rows[at]; !seen {
			rows[at] = nil
			if t := tableOf(m.Table); t != nil && slices.Contains(l.columns[m.Table], t.key) {
				if err := l.rows(ctx, q, t, m.Row, &Summary{}, func(r *Row) { rows[at] = r }); err != nil {
					return nil, nil, err
				}
			}
		}
		one := Reference{Place: m.Place, Reference: m.reference, Variable: m.variable, Since: m.since}
		f := rows[at].field(m.Place)
		switch {
		case f == nil && hidden(l, rows[at], m.Place):
			one.Reason = "what stands there cannot be read: Bifrost has encrypted it, or its version keeps it in another way"
			d.Left = append(d.Left, one)
		case f == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Env || f.Ref.Name != m.variable:
			d.Edited = append(d.Edited, one)
			forget = append(forget, m)
		case f.row.Status == "encrypted" && m.status != "encrypted":
			one.Entity = f.Entity
			one.Reason = "Bifrost has encrypted the row meanwhile, and versions before 1.6 could not read a reference in it"
			d.Left = append(d.Left, one)
		default:
			one.Entity = f.Entity
			d.Restored = append(d.Restored, one)
			edits = append(edits, edit{field: f, text: m.original})
			forget = append(forget, m)
		}
	}
	// Whatever still has the variable needs one of its meanings.
	return edits, slices.DeleteFunc(forget, func(m meaning) bool {
		return slices.ContainsFunc(d.Left, func(one Reference) bool { return one.Variable == m.variable })
	}), nil
}

// hidden reports whether a place may still hold its variable although no field is
// found there. Of a row that is gone, in a table that is known, nothing is left.
func hidden(l *layout, r *Row, p Place) bool {
	t := tableOf(p.Table)
	switch {
	case t == nil || !slices.Contains(l.columns[p.Table], t.key) || !slices.Contains(l.columns[p.Table], p.Column):
		return true
	case r == nil:
		return false
	}
	same := func(one Place) bool { return one.Column == p.Column }
	return slices.ContainsFunc(r.Encrypted, same) || slices.ContainsFunc(r.Unreadable, same)
}

// field finds a field by its place; the row may be nil.
func (r *Row) field(p Place) *Field {
	if r == nil {
		return nil
	}
	for i := range r.Fields {
		if r.Fields[i].Place == p {
			return &r.Fields[i]
		}
	}
	return nil
}
