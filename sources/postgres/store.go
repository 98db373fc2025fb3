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

// MaxValue is that of every source: PostgreSQL would take more.
func (*store) MaxValue() int { return sources.MaxValue }

// Put stores a value as a new version and forgets those that are too old to be
// kept.
func (s *store) Put(ctx context.Context, w sources.Write) (version string, err error) {
	if err := s.refuse(w); err != nil {
		return "", err
	}
	recipients, fingerprint, err := s.keys.Readers()
	if err != nil {
		return "", of(w.Name, err)
	}
	err = s.write(ctx, w.Name, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		now, err := s.lock(ctx, tx, w)
		if err != nil || now.done != "" {
			version = now.done
			return false, err
		}
		if err := admit(w, now, s.Describe()); err != nil {
			return false, err
		}
		version = strconv.FormatInt(now.next, 10)
		text, err := sealed.Seal(sealed.Label{Name: w.Name, Version: version}, w.Value, recipients)
		if err != nil {
			return false, &sources.Error{Kind: sources.Refused, Message: "the value cannot be sealed"}
		}
		batch := &pgx.Batch{}
		if now.exists {
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

// refuse finds what no look at the database is wanted for.
func (s *store) refuse(w sources.Write) error {
	refused := func(message, hint string) error {
		return &sources.Error{Kind: sources.Refused, Name: w.Name, Message: message, Hint: hint}
	}
	if err := checkName(w.Name); err != nil {
		return err
	}
	switch {
	case w.Mark.Owner == "":
		return refused(fmt.Sprintf("%q would have no gateway", w.Name), "name the gateway that it is for: --gateway")
	case w.Value.Len() > s.MaxValue():
		return refused(fmt.Sprintf("the value of %q has %d bytes, and %d are the most", w.Name, w.Value.Len(), s.MaxValue()), "keep what is so large in a file")
	}
	return nil
}

// state is what a secret is before a write.
type state struct {
	exists  bool
	version int64
	owner   *string
	done    string // the version that the same write has made already
	next    int64  // the version that a write now would make
}

// lock looks at a secret and keeps others from changing it until tx ends. One
// that does not exist cannot be locked: two who create it meet at its key.
func (s *store) lock(ctx context.Context, tx pgx.Tx, w sources.Write) (now state, err error) {
	batch := &pgx.Batch{}
	batch.Queue("SELECT version, owner FROM "+s.table("secret")+" WHERE name = $1 FOR UPDATE", w.Name).QueryRow(func(r pgx.Row) error {
		err := r.Scan(&now.version, &now.owner)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		now.exists = err == nil
		return err
	})
	// A statement of its own, since it sees what was committed while the one
	// before it waited.
	batch.Queue("SELECT (SELECT max(version) FROM "+s.table("secret_version")+" WHERE name = $1 AND token = $2), nextval($3::regclass)", w.Name, w.Token, s.table("secret_number")).QueryRow(func(r pgx.Row) error {
		var done *int64
		if err := r.Scan(&done, &now.next); err != nil {
			return err
		}
		// A write that was made is not made again, as long as nothing came after it.
		if done != nil && now.exists && *done == now.version {
			now.done = strconv.FormatInt(*done, 10)
		}
		return nil
	})
	return now, tx.SendBatch(ctx, batch).Close()
}

// admit says whether a secret in that state may be written so.
func admit(w sources.Write, now state, where string) error {
	subject := fmt.Sprintf("%q in %s", w.Name, where)
	if now.exists {
		if err := ours(subject, w.Mark.Owner, now.owner); err != nil {
			return err
		}
	}
	current := ""
	if now.exists {
		current = strconv.FormatInt(now.version, 10)
	}
	if current == w.Expect {
		return nil
	}
	e := &sources.Error{Kind: sources.Conflict, Message: subject + " was changed meanwhile", Hint: "look again, and decide anew"}
	switch {
	case current == "":
		e.Message = subject + " was deleted meanwhile"
	case w.Expect == "":
		e.Message = subject + " was created meanwhile"
	}
	return e
}

// ours refuses what does not bear a mark of owner.
func ours(subject, owner string, has *string) error {
	switch {
	case has == nil:
		return &sources.Error{Kind: sources.Refused, Message: subject + " was not stored by this program for a gateway", Hint: "take another name, or delete it by hand"}
	case *has != owner:
		return &sources.Error{Kind: sources.Refused, Message: fmt.Sprintf("%s belongs to another gateway, %q", subject, *has), Hint: "take another name or prefix, or that gateway's name with --gateway"}
	}
	return nil
}

// Delete removes a secret with all its versions, beyond recovery.
func (s *store) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	if err := checkName(name); err != nil {
		return err
	}
	if owner == "" {
		return &sources.Error{Kind: sources.Refused, Name: name, Message: fmt.Sprintf("%q is deleted for nobody", name), Hint: "name it: --gateway"}
	}
	err := s.write(ctx, name, func(ctx context.Context, tx pgx.Tx) (bool, error) {
		var has *string
		var version int64
		switch err := tx.QueryRow(ctx, "SELECT owner, version FROM "+s.table("secret")+" WHERE name = $1 FOR UPDATE", name).Scan(&has, &version); {
		case errors.Is(err, pgx.ErrNoRows):
			return false, nil
		case err != nil:
			return false, err
		}
		if err := ours(fmt.Sprintf("%q in %s", name, s.Describe()), owner, has); err != nil {
			return false, err
		}
		if o.Expect != "" && o.Expect != strconv.FormatInt(version, 10) {
			return false, &sources.Error{
				Kind: sources.Conflict, Name: name, Message: fmt.Sprintf("%q in %s was changed meanwhile", name, s.Describe()), Hint: "look again, and decide anew",
			}
		}
		_, err := tx.Exec(ctx, "DELETE FROM "+s.table("secret")+" WHERE name = $1", name)
		return true, err
	})
	return err
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
		err = &sources.Error{Kind: sources.Conflict, Message: fmt.Sprintf("%q in %s was created meanwhile", name, s.Describe()), Hint: "look again, and decide anew"}
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

// Recoverable implements [sources.Store].
func (*store) Recoverable() bool { return false }

// History implements [sources.Store].
func (s *store) History() bool { return s.keep > 1 }

// Recipients returns whom values are sealed for.
func (s *store) Recipients() ([]age.Recipient, error) {
	to, _, err := s.keys.Readers()
	return to, err
}
