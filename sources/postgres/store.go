package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
)

// store implements sources.Store.
type store struct {
	*source

	migrated chan bool // holds whether the tables are known to be there
}

// Traits implements [sources.Store].
func (s *store) Traits() sources.Traits {
	t := sources.Postgres.Traits
	t.History = s.keep > 1
	return t
}

// Put stores a value as a new version and forgets those that are too old to be
// kept.
func (s *store) Put(ctx context.Context, w sources.Write) (version string, err error) {
	if err := checkName(w.Name); err != nil {
		return "", err
	}
	if bad := s.Traits().Limits.Check(w); bad != nil {
		return "", bad
	}
	recipients, fingerprint, err := s.keys.Readers()
	if err != nil {
		return "", of(w.Name, err)
	}
	err = s.write(ctx, w.Name, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		now, err := s.lock(ctx, tx, w)
		if err != nil {
			return false, err
		}
		version = now.Version
		if done, err := now.AdmitPut(w); done || err != nil {
			return false, err
		}
		version = strconv.FormatInt(now.next, 10)
		text, err := sealed.Seal(sealed.Label{Name: w.Name, Version: version}, w.Value, recipients)
		if err != nil {
			return false, sources.NewError(sources.Refused, "the value cannot be sealed", "")
		}
		batch := &pgx.Batch{}
		if now.Exists {
			batch.Queue("UPDATE "+s.table("secret")+" SET version = $2, owner = $3, field = $4, changed = now() WHERE name = $1", w.Name, now.next, w.Mark.Owner, w.Mark.Path)
		} else {
			batch.Queue("INSERT INTO "+s.table("secret")+" (name, version, owner, field) VALUES ($1, $2, $3, $4)", w.Name, now.next, w.Mark.Owner, w.Mark.Path)
		}
		batch.Queue("INSERT INTO "+s.table("secret_version")+" (name, version, sealed, recipients, token) VALUES ($1, $2, $3, $4, $5)", w.Name, now.next, text, fingerprint, w.Token)
		versions := s.table("secret_version")
		batch.Queue("DELETE FROM "+versions+" WHERE name = $1 AND version <= (SELECT version FROM "+versions+" WHERE name = $1 ORDER BY version DESC OFFSET $2 LIMIT 1)", w.Name, s.keep)
		return true, tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// standing returns what the rule of changes is told of a secret.
func (s *store) standing(name string, version *int64, owner *string) sources.Standing {
	is := sources.Standing{Subject: sources.Subject{Name: name, Text: fmt.Sprintf("%q in %s", name, s.Describe())}}
	if version != nil {
		is.Exists, is.Version = true, strconv.FormatInt(*version, 10)
	}
	if owner != nil {
		is.Mark = &sources.Mark{Owner: *owner}
	}
	return is
}

// state is what a secret is before a write.
type state struct {
	sources.Standing
	next int64 // the version that a write now would make
}

// lock looks at a secret and keeps others from changing it until tx ends. One
// that does not exist cannot be locked: two who create it meet at its key.
func (s *store) lock(ctx context.Context, tx pgx.Tx, w sources.Write) (now state, err error) {
	var version, made *int64
	var owner *string
	batch := &pgx.Batch{}
	batch.Queue("SELECT version, owner FROM "+s.table("secret")+" WHERE name = $1 FOR UPDATE", w.Name).QueryRow(func(r pgx.Row) error {
		return noRows(r.Scan(&version, &owner))
	})
	// A statement of its own, since it sees what was committed while the one
	// before it waited.
	batch.Queue("SELECT (SELECT max(version) FROM "+s.table("secret_version")+" WHERE name = $1 AND token = $2), nextval($3::regclass)", w.Name, w.Token, s.table("secret_number")).QueryRow(func(r pgx.Row) error {
		return r.Scan(&made, &now.next)
	})
	err = tx.SendBatch(ctx, batch).Close()
	now.Standing = s.standing(w.Name, version, owner)
	now.Made = func() (bool, error) { return made != nil && *made == *version, nil }
	return now, err
}

// noRows returns nil for an error that says that there is no such row.
func noRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// Delete removes a secret with all its versions, beyond recovery.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := sources.CheckDelete(name, owner); err != nil {
		return err
	}
	return s.write(ctx, name, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		var version *int64
		var has *string
		err := tx.QueryRow(ctx, "SELECT version, owner FROM "+s.table("secret")+" WHERE name = $1 FOR UPDATE", name).Scan(&version, &has)
		if err = noRows(err); err != nil {
			return false, err
		}
		if gone, err := s.standing(name, version, has).AdmitDelete(owner, o.Expect); gone || err != nil {
			return false, err
		}
		_, err = tx.Exec(ctx, "DELETE FROM "+s.table("secret")+" WHERE name = $1", name)
		return true, err
	})
}

// write does something to one secret in a transaction. If it says that it
// changed anything, those who listen are told.
func (s *store) write(ctx context.Context, name string, do func(context.Context, pgx.Tx) (changed bool, err error)) error {
	if err := s.migrate(ctx); err != nil {
		return of(name, err)
	}
	err := s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			changed, err := do(ctx, tx)
			if err == nil && changed {
				_, err = tx.Exec(ctx, "SELECT pg_notify($1, '')", s.channel())
			}
			return err
		})
	})
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "23505" {
		err = s.standing(name, nil, nil).Subject.Conflict("was made meanwhile")
	}
	if err != nil {
		return of(name, err)
	}
	return nil
}

// Migrate implements [sources.Migrator].
func (s *store) Migrate(ctx context.Context) (changed bool, err error) {
	err = s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) (err error) {
			changed, err = tables.Migrate(ctx, s.target, conn.Conn(), s.schema)
			return err
		})
	})
	return changed, err
}

// migrate does that before the first write.
func (s *store) migrate(ctx context.Context) error {
	var known bool
	select {
	case known = <-s.migrated:
	case <-ctx.Done():
		return s.target.Explain(ctx.Err())
	}
	defer func() { s.migrated <- known }()
	if known {
		return nil
	}
	_, err := s.Migrate(ctx)
	known = err == nil
	return err
}

// Recipients returns whom values are sealed for.
func (s *store) Recipients() ([]age.Recipient, error) {
	to, _, err := s.keys.Readers()
	return to, err
}
