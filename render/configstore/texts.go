package configstore

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// chatter are the tables of Bifrost's log store, which may lie in the same
// database: they are large, hold what passed through the gateway, and nothing that
// it reads at a start.
var chatter = []string{"logs", "mcp_tool_logs", "async_jobs"}

// Texts calls text for every text that the database holds, whether or not this
// version knows what it is for, and for what each variable stands for that attach
// has put there; and row for each row that [Store.Scan] finds.
// Left out are credentials that Bifrost makes itself, and its logs. All of it is
// one snapshot. It changes nothing.
func (s *Store) Texts(ctx context.Context, row func(*Row), text func(p Place, text string)) (*Summary, error) {
	var sum *Summary
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		remembered, err := s.meanings(ctx, tx)
		if err != nil {
			return err
		}
		for _, m := range remembered {
			text(m.Place, m.reference)
			text(m.Place, m.original)
		}
		if sum, err = scan(ctx, tx, row); err != nil {
			return err
		}
		return texts(ctx, tx, text)
	})
	if err != nil {
		return nil, err
	}
	return sum, nil
}

// texts reads every column of every table but those that Texts leaves out.
func texts(ctx context.Context, q querier, text func(p Place, text string)) error {
	l, err := look(ctx, q)
	if err != nil {
		return err
	}
	for name, columns := range l.columns {
		if slices.Contains(chatter, name) {
			continue
		}
		var list, read []string
		key := -1
		t := tableOf(name)
		for _, c := range columns {
			if t != nil && slices.ContainsFunc(t.columns, func(k column) bool { return k.name == c && k.form == ownForm && k.where.column == "" }) {
				continue
			}
			if t != nil && c == t.key {
				key = len(read)
			}
			read, list = append(read, c), append(list, pgx.Identifier{c}.Sanitize()+"::text")
		}
		if len(read) == 0 {
			continue
		}
		rows, err := q.Query(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+pgx.Identifier{l.schema, name}.Sanitize())
		if err != nil {
			return err
		}
		values := make([]*string, len(read))
		into := make([]any, len(read))
		for i := range values {
			into[i] = &values[i]
		}
		_, err = pgx.ForEachRow(rows, into, func() error {
			p := Place{Table: name}
			if key >= 0 && values[key] != nil {
				p.Row = *values[key]
			}
			for i, value := range values {
				if p.Column = read[i]; value != nil && *value != "" {
					text(p, *value)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
