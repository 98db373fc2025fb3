package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
)

// RejectionsTable is made with the first rejection. It stands where Bifrost has
// its own tables.
const RejectionsTable = "public.bifrost_secrets_rejections"

const (
	rejectionsMade = `CREATE TABLE ` + RejectionsTable + ` (
		id bytea PRIMARY KEY,
		rejected_by text NOT NULL,
		rejected_at timestamptz NOT NULL DEFAULT pg_catalog.now())`
	// rejectionsKept is how long a row stays: longer than a value that nothing can
	// be started with should be the newest.
	rejectionsKept = "180 days"
	// unversioned is how long a rejection counts where the source has no versions.
	unversioned = time.Hour
	// rejected ends the payload that tells of a rejection. What it says is only
	// where to look.
	rejected = " rejected"
)

// Secret is what a rejection is of: a version of a secret.
type Secret struct {
	Source  string // as it describes itself
	Name    string
	Version string // empty where the source has none
}

// id stands for a secret in the table: no name is written there.
func (s Secret) id() (id [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range []string{s.Source, s.Name, s.Version} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		h.Write([]byte(part))
	}
	h.Sum(id[:0])
	return id
}

// Rejection says whose Bifrost rejected a value, and when.
type Rejection struct {
	By string // a host; it is to be cleaned before it is shown
	At time.Time
}

// notOurs is the error for a table that another than its owner's role could write
// to, so that it is not believed.
func notOurs(reason string) error {
	return &sources.Error{
		Kind: sources.Denied, Message: reason + ": what stands there is not believed",
		Hint: "have the watchers of a cluster sign in as one role, that owns it and grants nobody to write; or drop the table",
	}
}

// Rejected returns the rejections that count of some secrets. Where there is an
// error, which is a *sources.Error, it returns those that were known before.
func (m *Member) Rejected(ctx context.Context, secrets []Secret) (map[Secret]Rejection, error) {
	now, err := m.read(ctx, secrets)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		for _, s := range secrets {
			delete(m.known, s)
		}
	}
	if m.known == nil {
		m.known = map[Secret]Rejection{}
	}
	for s, r := range now {
		m.known[s] = r
	}
	counts := map[Secret]Rejection{}
	for _, s := range secrets {
		r, ok := m.known[s]
		if ok && (s.Version != "" || r.At.After(m.flushed) && time.Since(r.At) < unversioned) {
			counts[s] = r
		}
	}
	return counts, err
}

// Known reports whether one of the secrets was seen to be rejected.
func (m *Member) Known(secrets []Secret) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range secrets {
		if _, ok := m.known[s]; ok {
			return true
		}
	}
	return false
}

func (m *Member) readRejections(ctx context.Context, secrets []Secret) (map[Secret]Rejection, error) {
	conn, err := m.config.Target.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer database.Close(conn)
	if there, err := ours(ctx, conn, RejectionsTable); !there || err != nil {
		return nil, m.config.Target.Explain(err)
	}
	found := map[Secret]Rejection{}
	of, ids := map[[sha256.Size]byte]Secret{}, [][]byte{}
	for _, s := range secrets {
		id := s.id()
		of[id] = s
		ids = append(ids, id[:])
	}
	rows, err := conn.Query(ctx, `SELECT id, pg_catalog.left(rejected_by, 253), extract(epoch FROM pg_catalog.now() - rejected_at)::float8 FROM ONLY `+RejectionsTable+` WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, m.config.Target.Explain(err)
	}
	var id []byte
	var by string
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&id, &by, &age}, func() error {
		if len(id) == sha256.Size {
			if s, ok := of[[sha256.Size]byte(id)]; ok {
				// The clocks of two hosts may differ.
				found[s] = Rejection{By: by, At: time.Now().Add(-time.Duration(age * float64(time.Second)))}
			}
		}
		return nil
	})
	return found, m.config.Target.Explain(err)
}

// ours reports whether there is a table, and fails where another than its owner
// could write to it, or its owner is not who we are: then nothing is read of it, and
// nothing written, since it might have triggers.
func ours(ctx context.Context, conn database.Querier, table string) (there bool, err error) {
	schema, name, _ := strings.Cut(table, ".")
	var mine, plain, alone bool
	err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_get_userbyid(c.relowner) = current_user,
			c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relhastriggers AND NOT c.relrowsecurity AND NOT c.relhassubclass,
			NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) g WHERE g.grantee <> c.relowner AND g.privilege_type <> 'SELECT')
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) g
					WHERE a.attrelid = c.oid AND g.grantee <> c.relowner AND g.privilege_type <> 'SELECT')
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, schema, name).Scan(&mine, &plain, &alone)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case !mine:
		return false, notOurs("the table " + table + " belongs to another role")
	case !plain:
		return false, notOurs(table + " has rules, triggers, policies or tables below it, or is no table")
	case !alone:
		return false, notOurs("others than its owner may write to the table " + table)
	}
	return true, nil
}

// executor is a connection that statements are sent to.
type executor interface {
	database.Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// haveOurs makes a table where there is none, and fails as ours does.
func haveOurs(ctx context.Context, conn executor, table, create string) error {
	there, err := ours(ctx, conn, table)
	if there || err != nil {
		return err
	}
	var refused *pgconn.PgError
	if _, err = conn.Exec(ctx, create); errors.As(err, &refused) && (refused.Code == "42P07" || refused.Code == "23505") {
		err = nil // somebody else has made it just now
	}
	if err == nil {
		_, err = ours(ctx, conn, table) // with what the default privileges are
	}
	return err
}

// Reject notes that the Bifrost of this host has rejected some secrets' values, and
// has the others look. Errors are as those of [Member.Rejected].
func (m *Member) Reject(ctx context.Context, by string, secrets []Secret) error {
	conn, err := m.config.Target.Connect(ctx)
	if err != nil {
		return err
	}
	defer database.Close(conn)
	if err := haveOurs(ctx, conn, RejectionsTable, rejectionsMade); err != nil {
		return m.config.Target.Explain(err)
	}
	var ids [][]byte
	for _, s := range secrets {
		id := s.id()
		ids = append(ids, id[:])
	}
	_, err = conn.Exec(ctx, `WITH old AS (DELETE FROM ONLY `+RejectionsTable+` WHERE rejected_at < pg_catalog.now() - interval '`+rejectionsKept+`')
		INSERT INTO `+RejectionsTable+` (id, rejected_by) SELECT DISTINCT i, $2 FROM pg_catalog.unnest($1::bytea[]) i
		ON CONFLICT (id) DO UPDATE SET rejected_by = excluded.rejected_by, rejected_at = excluded.rejected_at`, ids, by)
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT pg_catalog.pg_notify($1, $2)", Channel, mark(m.id)+rejected)
	}
	return m.config.Target.Explain(err)
}
