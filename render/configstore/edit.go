package configstore

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

// lockKey is the advisory lock that Bifrost's tables are changed under, so that
// instances that start at once come one after the other.
const lockKey = 0x6266732d636f6e66 // "bfs-conf"

// edit is one field of the database that is written anew. text is the column's
// value, or the JSON of a part of it.
type edit struct {
	field    *Field
	text     string
	original string // what detach puts back
}

// Conflict says that a row was changed by somebody else between the look at it
// and the write: nothing was written, and the whole is to be done again.
type Conflict struct{ Place Place }

func (c *Conflict) Error() string {
	return fmt.Sprintf("%s/%s was changed meanwhile; nothing was written", c.Place.Table, c.Place.Row)
}

func (c *Conflict) Advice() string { return "run again when nobody edits it" }

// ExitCode is that of what was not done.
func (c *Conflict) ExitCode() int { return 1 }

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
		args := []any{r.Key, r.version}
		var sets []string
		texts := rewritten(byRow[r])
		for _, c := range r.cells {
			if text, ok := texts[c]; ok {
				args = append(args, text)
				sets = append(sets, fmt.Sprintf("%s = $%d", pgx.Identifier{c.name}.Sanitize(), len(args)))
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

// rewritten returns the new texts of the cells of a row that edits change.
func rewritten(edits []edit) map[*cell]string {
	slices.SortFunc(edits, func(a, b edit) int { return b.field.Start - a.field.Start }) // from the end, so that the offsets hold
	texts := map[*cell]string{}
	for _, e := range edits {
		c := e.field.cell
		text, ok := texts[c]
		if !ok {
			text = c.text
		}
		start, end := e.field.within()
		texts[c] = text[:start] + e.text + text[end:]
	}
	return texts
}

// within returns where a field stands in the text of its cell.
func (f *Field) within() (start, end int) {
	if f.cell.form == textForm {
		return 0, len(f.cell.text)
	}
	return f.Start - f.cell.start, f.End - f.cell.start
}

// spelled returns what an edit of the field takes the place of.
func (f *Field) spelled() string {
	start, end := f.within()
	return f.cell.text[start:end]
}

// spell returns a text as it is written in the place of the field.
func (f *Field) spell(text string) string {
	if f.cell.form == jsonForm {
		return walker.Quote(text)
	}
	return text
}

// Format implements [fmt.Formatter]: it shows which row it is and nothing of its
// values, whatever the verb.
func (r Row) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.Table+"/"+r.Key) }

// lock waits for the lock, for the length of a transaction.
func lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey))
	return err
}

// Allowed returns an error where the database must not be rewritten, since Enterprise
// uses it: that resolves vault. references itself, and manages what it keeps in the vault.
func (sum *Summary) Allowed() error {
	if sum.Vault == 0 {
		return nil
	}
	return &sources.Error{
		Kind: sources.Unusable, Message: fmt.Sprintf("Bifrost Enterprise keeps what this config store holds in a vault of its own (rows: %d); nothing was written", sum.Vault),
		Hint: "Enterprise resolves vault. references by itself: leave --rewrite-database out",
	}
}
