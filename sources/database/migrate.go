package database

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
)

// Schema is where our tables are when nothing else is said.
const Schema = "bifrost_secrets"

// lockKey is the advisory lock that migrations are made under: the first eight
// bytes of "bifrost-secrets", as PostgreSQL's clients see it in pg_locks.
const lockKey = 0x626966726f73742d

var schemaForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`) })

// CheckSchema refuses a name that would need quotes.
func CheckSchema(name string) error {
	if schemaForm().MatchString(name) {
		return nil
	}
	return sources.NewError(sources.BadSettings, "schema is not a plain name", "write a name of a-z, 0-9 and _, as "+Schema)
}

// Migrations are the tables of one part of this program: files of SQL, each of
// which takes the tables from the version before to its own. A file is named
// for its version and what it does (0001_secret.sql), is never changed once
// released, and only adds, so that programs of neighbouring versions can work
// side by side. Names in it are without a schema.
type Migrations struct {
	Part  string // secret
	Files fs.FS
}

// step is one file.
type step struct {
	version int
	sql     string
}

func (m Migrations) steps() ([]step, error) {
	entries, err := fs.ReadDir(m.Files, ".") // sorted
	if err != nil {
		return nil, err
	}
	var all []step
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(all)+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", entry.Name(), len(all)+1)
		}
		sql, err := fs.ReadFile(m.Files, entry.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, step{version, string(sql)})
	}
	return all, nil
}

// Version returns the version that the tables in schema have: 0 where there are
// none.
func (m Migrations) Version(ctx context.Context, t *Target, conn Querier, schema string) (int, error) {
	table := pgx.Identifier{schema, "migration"}.Sanitize()
	var there bool
	// The name is looked up with the caller's rights: a schema that may not be
	// used is no error here, but at the query.
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'migration')", schema).Scan(&there); err != nil {
		return 0, t.Explain(err)
	}
	if !there {
		return 0, nil
	}
	var version int
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+table+" WHERE part = $1", m.Part).Scan(&version); err != nil {
		return 0, t.Explain(err)
	}
	return version, nil
}

// Querier is a connection, a pool or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Migrate brings the tables in schema to the newest version, and reports
// whether that took anything: all of it in one transaction and under an
// advisory lock, so that several instances may start at once. Tables of a newer
// version than this program knows are an error.
func (m Migrations) Migrate(ctx context.Context, t *Target, conn *pgx.Conn, schema string) (changed bool, err error) {
	if err := CheckSchema(schema); err != nil {
		return false, err
	}
	steps, err := m.steps()
	if err != nil {
		return false, err
	}
	done := func(version int, err error) (bool, error) {
		switch {
		case err != nil:
			return false, err
		case version > len(steps):
			return false, sources.NewError(sources.BadSettings, fmt.Sprintf("the tables of %s in %s have version %d, and this program knows %d", m.Part, t.Describe(), version, len(steps)),
				"use the newer bifrost-secrets that made them")
		}
		return version == len(steps), nil
	}
	// Most starts find everything done, and need neither a lock nor rights.
	if ok, err := done(m.Version(ctx, t, conn, schema)); ok || err != nil {
		return false, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		version, err := m.Version(ctx, t, tx, schema)
		if ok, err := done(version, err); ok || err != nil {
			return err
		}
		if err := prepare(ctx, tx, schema); err != nil {
			return err
		}
		for _, one := range steps[version:] {
			if _, err := tx.Conn().PgConn().Exec(ctx, one.sql).ReadAll(); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO migration (part, version) VALUES ($1, $2)", m.Part, one.version); err != nil {
				return err
			}
		}
		changed = true
		return nil
	})
	if err != nil {
		return false, t.Explain(err)
	}
	return changed, nil
}

// prepare makes the schema and the table of versions where they are missing,
// and lets the rest of the transaction work in the schema. To create a schema
// takes a right even where it exists, hence a look first.
func prepare(ctx context.Context, tx pgx.Tx, schema string) error {
	name := pgx.Identifier{schema}.Sanitize()
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+name); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS migration (
	part text NOT NULL,
	version integer NOT NULL,
	applied timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (part, version))`)
	return err
}
