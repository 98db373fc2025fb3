package configstore

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"bifrost-secrets/sources"

	"github.com/jackc/pgx/v5"
)

// lockKey is the advisory lock that Bifrost's tables are changed under, so that
// instances that start at once come one after the other.
const lockKey = 0x6266732d636f6e66 // "bfs-conf"

// edit is one field of the database that is written anew. text is the column's
// value, or the JSON of a part of it.
type edit struct {
	field *Field
	text  string
	// original is what detach puts back; what stands there now, where it is empty.
	original string
}

// Conflict says that a row was changed by somebody else between the look at it
// and the write: nothing was written, and the whole is to be done again.
type Conflict struct{ Place Place }

// Error names the row.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%s/%s was changed meanwhile; nothing was written", c.Place.Table, c.Place.Row)
}

// write makes the edits, one statement a row. A row that is not as it was when
// it was read is a *Conflict.
func write(ctx context.Context, tx pgx.Tx, schema string, edits []edit) error {
	byRow := map[*Row][]edit{}
	var order []*Row
	for _, e := range edits {
		if byRow[e.field.row] == nil {
			order = append(order, e.field.row)
		}
		byRow[e.field.row] = append(byRow[e.field.row], e)
	}
	for _, r := range order {
		texts := r.rewritten(byRow[r])
		args := []any{r.Key, r.version}
		var sets []string
		for i := range r.cells {
			if text, ok := texts[i]; ok {
				args = append(args, text)
				sets = append(sets, fmt.Sprintf("%s = $%d", pgx.Identifier{r.cells[i].name}.Sanitize(), len(args)))
			}
		}
		sql := fmt.Sprintf("UPDATE %s SET %s WHERE %s::text = $1 AND xmin::text = $2",
			pgx.Identifier{schema, r.Table}.Sanitize(), strings.Join(sets, ", "), pgx.Identifier{r.table.key}.Sanitize())
		tag, err := tx.Exec(ctx, sql, args...)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return &Conflict{byRow[r][0].field.Place}
		}
	}
	return nil
}

// rewritten gives the new texts of the cells that edits change.
func (r *Row) rewritten(edits []edit) map[int]string {
	slices.SortFunc(edits, func(a, b edit) int { return b.field.Start - a.field.Start }) // from the end, so that the offsets hold
	texts := map[int]string{}
	for _, e := range edits {
		c := &r.cells[e.field.column]
		if c.form == textForm {
			texts[e.field.column] = e.text
			continue
		}
		text, ok := texts[e.field.column]
		if !ok {
			text = c.text
		}
		start, end := e.field.Start-c.start, e.field.End-c.start
		texts[e.field.column] = text[:start] + e.text + text[end:]
	}
	return texts
}

// spelled gives what an edit of the field takes the place of.
func (f *Field) spelled() string {
	c := &f.row.cells[f.column]
	if c.form == textForm {
		return c.text
	}
	return c.text[f.Start-c.start : f.End-c.start]
}

// Format implements [fmt.Formatter]: it shows which row it is and nothing of its
// values, whatever the verb.
func (r Row) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.Table+"/"+r.Key) }

// lock waits for the lock, for the length of a transaction.
func lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey))
	return err
}

// enterprise refuses a database that Enterprise uses: it resolves vault.
// references itself, and manages what it keeps in the vault.
func (sum *Summary) enterprise() error {
	if sum.Vault == 0 {
		return nil
	}
	return &sources.Error{
		Kind: sources.Unusable, Message: fmt.Sprintf("Bifrost Enterprise keeps what this config store holds in a vault of its own (rows: %d); nothing was written", sum.Vault),
		Hint: "Enterprise resolves vault. references by itself: leave --rewrite-database out",
	}
}
