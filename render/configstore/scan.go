package configstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/walker"

	"github.com/jackc/pgx/v5"
)

// Store is a config store of Bifrost's in a PostgreSQL.
type Store struct {
	Target *database.Target
	Schema string // of our own tables; [database.Schema] where it is empty
}

// Name is how messages call the database: postgres://host:port/name.
func (s *Store) Name() string { return "postgres://" + s.Target.Address() + "/" + s.Target.Database() }

// Summary counts what a scan has met.
type Summary struct {
	Schema     string         `json:"schema"` // the one that Bifrost's tables are in
	Rows       int            `json:"rows"`
	Fields     int            `json:"fields"`
	Plaintext  int            `json:"plaintext"`
	References int            `json:"references"`
	Masked     int            `json:"masked"`
	Encrypted  int            `json:"encrypted"`  // columns with ciphertext, which are not read
	Unreadable int            `json:"unreadable"` // columns whose JSON cannot be read
	Own        map[string]Own `json:"own"`        // by table.column: credentials that Bifrost makes itself
	// What this version does not know, and has left alone.
	UnknownTables  []string `json:"unknown_tables"`
	UnknownColumns []string `json:"unknown_columns"`
	// Vault counts rows that Enterprise keeps in a vault of its own.
	Vault int `json:"vault"`
}

// Own counts the values of a column that Bifrost makes itself.
type Own struct {
	Plaintext int `json:"plaintext"`
	Encrypted int `json:"encrypted"`
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// layout is what a database has of the tables that are known.
type layout struct {
	schema  string
	columns map[string][]string // by table
}

// look asks the information_schema. Tables of which the role may read nothing
// are not in it.
func look(ctx context.Context, q querier) (*layout, error) {
	l := &layout{columns: map[string][]string{}}
	// Bifrost finds its tables by the search path; so do we.
	const where = `SELECT table_schema FROM information_schema.tables
WHERE table_schema = ANY (current_schemas(false)) AND table_name = ANY ($1)
GROUP BY table_schema ORDER BY array_position(current_schemas(false), table_schema::name) LIMIT 1`
	secret := []string{"config_keys", "config_providers", "config_mcp_clients", "governance_virtual_keys"}
	if err := q.QueryRow(ctx, where, secret).Scan(&l.schema); err == pgx.ErrNoRows {
		return nil, &sources.Error{
			Kind: sources.NotFound, Message: "there are no tables of Bifrost's config store that this role may read",
			Hint: "is it the right database, and was Bifrost started on it once? docs/configstore.md has the GRANTs that are needed",
		}
	} else if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = $1 ORDER BY table_name, ordinal_position", l.schema)
	if err != nil {
		return nil, err
	}
	var name, column string
	_, err = pgx.ForEachRow(rows, []any{&name, &column}, func() error {
		l.columns[name] = append(l.columns[name], column)
		return nil
	})
	return l, err
}

// unknown finds what this version does not know. A table without a place has
// columns that nobody listed.
func (l *layout) unknown(sum *Summary) {
	for name, columns := range l.columns {
		t := tableOf(name)
		if t == nil {
			sum.UnknownTables = append(sum.UnknownTables, name)
			continue
		}
		for _, c := range columns {
			if t.place != "" && t.column(c) == nil {
				sum.UnknownColumns = append(sum.UnknownColumns, name+"."+c)
			}
		}
	}
	slices.Sort(sum.UnknownTables)
	slices.Sort(sum.UnknownColumns)
}

// Scan reads every secret-bearing column of the database, and calls yield for
// each row as it comes: the cost in memory does not grow with their number. All
// of it is one snapshot. It changes nothing. Errors are *sources.Error.
func (s *Store) Scan(ctx context.Context, yield func(*Row)) (sum *Summary, err error) {
	err = s.snapshot(ctx, func(tx pgx.Tx) error {
		sum, err = scan(ctx, tx, yield)
		return err
	})
	return sum, err
}

func scan(ctx context.Context, q querier, yield func(*Row)) (*Summary, error) {
	l, err := look(ctx, q)
	if err != nil {
		return nil, err
	}
	sum := &Summary{Schema: l.schema, Own: map[string]Own{}, UnknownTables: []string{}, UnknownColumns: []string{}}
	l.unknown(sum)
	for _, t := range known() {
		if !t.secrets() || !slices.Contains(l.columns[t.name], t.key) {
			continue
		}
		if err := l.own(ctx, q, t, sum); err != nil {
			return sum, err
		}
		if t.place == "" {
			continue
		}
		if err := l.rows(ctx, q, t, "", sum, yield); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// wanted are the columns of a table to read: those with secrets and those that
// tell what a row is, as far as the database has them.
func (l *layout) wanted(t *table) []string {
	var names []string
	add := func(name string) {
		if name != "" && slices.Contains(l.columns[t.name], name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, c := range t.columns {
		if c.form == textForm || c.form == jsonForm {
			add(c.name)
			add(c.where.column)
		}
	}
	add(t.star)
	add("name")
	add("encryption_status")
	for _, m := range t.members {
		add(m.column)
	}
	return names
}

// rows reads the rows of a table: all, or the one with that key.
func (l *layout) rows(ctx context.Context, q querier, t *table, only string, sum *Summary, yield func(*Row)) error {
	names := l.wanted(t)
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = pgx.Identifier{name}.Sanitize() + "::text"
	}
	key := pgx.Identifier{t.key}.Sanitize()
	sql := fmt.Sprintf("SELECT %s::text, xmin::text, %s FROM %s", key, strings.Join(list, ", "), pgx.Identifier{l.schema, t.name}.Sanitize())
	var args []any
	if only != "" {
		sql += " WHERE " + key + "::text = $1"
		args = append(args, only)
	} else if conditions := t.conditions(); conditions != "" {
		sql += " WHERE " + conditions
	}
	rows, err := q.Query(ctx, sql+" ORDER BY "+key, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var id, version string
	values := make([]*string, len(names))
	into := []any{&id, &version}
	for i := range values {
		into = append(into, &values[i])
	}
	get := func(name string) (string, bool) {
		if name == t.key {
			return id, true
		}
		if i := slices.Index(names, name); i >= 0 && values[i] != nil {
			return *values[i], true
		}
		return "", false
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r := t.read(id, version, get)
		sum.add(r)
		yield(r)
	}
	return rows.Err()
}

// conditions are those of the rows to read, where not all are: each column with
// a condition has it for all of its lines.
func (t *table) conditions() string {
	var all []string
	for _, c := range t.columns {
		if c.where.column != "" && c.form != ownForm {
			all = append(all, pgx.Identifier{c.where.column}.Sanitize()+" = '"+strings.ReplaceAll(c.where.name, "'", "''")+"'")
		}
	}
	return strings.Join(all, " OR ")
}

// own counts the credentials that Bifrost makes itself, without reading one.
func (l *layout) own(ctx context.Context, q querier, t *table, sum *Summary) error {
	for _, c := range t.columns {
		if c.form != ownForm || !slices.Contains(l.columns[t.name], c.name) {
			continue
		}
		encrypted := "false"
		if slices.Contains(l.columns[t.name], "encryption_status") {
			encrypted = "encryption_status IS NOT DISTINCT FROM 'encrypted'"
		}
		name := pgx.Identifier{c.name}.Sanitize()
		where := fmt.Sprintf("%s IS NOT NULL AND %s <> ''", name, name)
		if c.where.column != "" {
			where += fmt.Sprintf(" AND %s = '%s'", pgx.Identifier{c.where.column}.Sanitize(), c.where.name)
		}
		var all, hidden int
		sql := fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE %s) FROM %s WHERE %s", encrypted, pgx.Identifier{l.schema, t.name}.Sanitize(), where)
		if err := q.QueryRow(ctx, sql).Scan(&all, &hidden); err != nil {
			return err
		}
		if all > 0 {
			sum.Own[t.name+"."+c.name] = Own{Plaintext: all - hidden, Encrypted: hidden}
		}
	}
	return nil
}

func (sum *Summary) add(r *Row) {
	sum.Rows++
	sum.Fields += len(r.Fields)
	sum.Encrypted += len(r.Encrypted)
	sum.Unreadable += len(r.Unreadable)
	if r.Status == "vault" {
		sum.Vault++
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.What {
		case walker.Literal, walker.Other:
			if f.Text() != "" {
				sum.Plaintext++
			}
		case walker.Ref, walker.Broken:
			sum.References++
		case walker.Masked:
			sum.Masked++
		}
	}
}
