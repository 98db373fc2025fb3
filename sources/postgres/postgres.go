// Package postgres keeps secrets in a PostgreSQL: a store for those without a
// cloud.
//
// A value is sealed (see package sealed) before it reaches the database, so that
// neither its administrator nor a stolen dump shows one; names, versions, owners
// and lengths are in the clear. A number of versions is kept of each secret.
// Writes are transactions, and tell those who listen, so that a rotation arrives
// without a tick.
//
// The tables are made at the first write, if the role may; reading makes
// nothing. docs/postgres.md has the least rights of those who read and of those
// who write.
package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/perkey"
	"bifrost-secrets/sources/sealed"
)

const block = "vault_store.postgres"

const (
	batchSize   = 1000 // names in one statement
	connections = 4    // at a time
	defaultKeep = 10
	mostKept    = 1000
)

// Backend is the entry for the list of backends. docs/postgres.md has its settings.
var Backend = sources.Backend{Facts: sources.Postgres, Open: open}

//go:embed migrations
var files embed.FS

// tables are what the store keeps its secrets in.
var tables = func() database.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the name is well formed
	}
	return database.Migrations{Part: "secret", Files: sub}
}()

// source implements sources.Inspector.
type source struct {
	sources.Tally

	target  *database.Target
	schema  string
	keys    *sealed.Keys
	keep    int
	log     *slog.Logger
	timeout time.Duration

	opening chan struct{} // one for each value that is decrypted at a time

	mu   sync.Mutex
	pool *pgxpool.Pool // nil until the first use
}

func open(_ context.Context, set sources.Settings, opts sources.Options) (sources.Source, error) {
	s, err := newSource(set, opts)
	if err != nil {
		return nil, err // not s: a nil *source is not a nil Source
	}
	if !opts.Write {
		return s, nil
	}
	if s.keys.Recipients.Len() == 0 && s.keys.Identity.Len() == 0 {
		return nil, sources.NewError(sources.BadSettings, "postgres has neither recipients nor an identity: there is nobody to seal a value for", "set recipients to the age1... lines that age-keygen prints")
	}
	w := &store{source: s, migrated: make(chan bool, 1)}
	w.migrated <- false
	return w, nil
}

func newSource(set sources.Settings, opts sources.Options) (*source, error) {
	if err := sources.Postgres.CheckKeys(set); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		// An empty password is as good as none; the others are mistakes, such as
		// a variable that was not filled.
		if strings.TrimSpace(set.Text(key)) == "" && key != "password" {
			return nil, sources.NewError(sources.BadSettings, key+" is empty", "give it a value, or check the environment variable that it refers to")
		}
	}
	s := &source{
		schema: database.Schema, keep: defaultKeep, log: opts.Log, timeout: perkey.Timeout(opts),
		keys: &sealed.Keys{
			Block: block, Path: opts.Path, Exposed: sealed.WarnOnce(opts.Warn),
			Identity: set["identity"], Recipients: set["recipients"],
		},
		opening: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	if name := set.Text("schema"); name != "" {
		s.schema = name
	}
	if err := database.CheckSchema(s.schema); err != nil {
		return nil, err
	}
	if text := set.Text("keep"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostKept {
			return nil, sources.NewError(sources.BadSettings, fmt.Sprintf("keep is no number from 1 to %d", mostKept), "it is the number of versions that are kept of each secret; 10 where it is not set")
		}
		s.keep = n
	}
	if sealed.HoldsIdentity(set.Text("recipients")) && strings.Contains(strings.ToUpper(set.Text("recipients")), "AGE-SECRET-KEY-") {
		return nil, sources.NewError(sources.BadSettings, "recipients holds an identity, which is secret", "a recipient begins with age1; age-keygen -y prints it")
	}
	if err := s.keys.Check(); err != nil {
		return nil, err
	}
	return s, s.aim(set, opts)
}

// aim says which database it is.
func (s *source) aim(set sources.Settings, opts sources.Options) error {
	_, hosted := opts.Getenv("PGHOST")
	_, service := opts.Getenv("PGSERVICE")
	if set["url"].Len() == 0 && set["host"].Len() == 0 && !hosted && !service {
		return sources.NewError(sources.BadSettings, "postgres has neither a url nor a host", "set url to postgres://user@host:5432/name, or host, user, password and db_name")
	}
	authority, err := set.Text("ssl_root_cert"), error(nil)
	if authority != "" {
		authority, err = opts.Path(block+".ssl_root_cert", authority)
	}
	if err != nil {
		return err
	}
	s.target, err = database.New(database.Settings{
		URL: set["url"], Password: set["password"],
		Host: set.Text("host"), Port: set.Text("port"), User: set.Text("user"), DBName: set.Text("db_name"),
		SSLMode: set.Text("ssl_mode"), SSLRootCert: authority, Warn: opts.Warn, Elsewhere: opts.Elsewhere, Path: opts.Path,
	})
	return err
}

// Plan foretells the statements of a Fetch.
func (s *source) Plan(names []string) sources.Calls {
	n := 0
	for _, name := range names {
		if checkName(name) == nil {
			n++
		}
	}
	return sources.Calls{Batch: (n + batchSize - 1) / batchSize}
}

// Ping reads name, or, where name is empty, looks whether the tables may be
// read.
func (s *source) Ping(ctx context.Context, name string) error {
	if name != "" {
		return s.Fetch(ctx, []string{name})[name].Err
	}
	return s.query(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, "SELECT FROM "+s.table("secret")+" JOIN "+s.table("secret_version")+" USING (name, version) LIMIT 1")
		return err
	})
}

// Describe names the database.
func (s *source) Describe() string { return "postgres " + s.target.Describe() }

// Close ends the connections. What is under way fails.
func (s *source) Close() error {
	s.mu.Lock()
	pool := s.pool
	s.pool = nil
	s.mu.Unlock()
	if pool != nil {
		// A pool waits for those who use it, and they end by their deadlines.
		go pool.Close()
	}
	return nil
}

// Inputs returns the files that the settings name: nothing may be published over
// them.
func (s *source) Inputs() []string { return s.keys.Files() }

// Changes says where those who want to hear of writes can listen: the database,
// and the channel that each write notifies, with an empty payload.
func (s *source) Changes() (*database.Target, string) { return s.target, s.channel() }

// channel is short enough for PostgreSQL: a schema's name is at most 48 bytes.
func (s *source) channel() string { return s.schema + "_changed" }

// table returns the name of one of our tables as SQL.
func (s *source) table(name string) string { return pgx.Identifier{s.schema, name}.Sanitize() }

// query does one thing with the database within the deadline of a call, and
// puts what goes wrong into words.
func (s *source) query(ctx context.Context, do func(context.Context, *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := ctx.Err()
	var pool *pgxpool.Pool
	if err == nil {
		pool, err = s.connected(ctx)
	}
	if err == nil {
		s.Add(true)
		err = do(ctx, pool)
	}
	if err == nil {
		return nil
	}
	return s.explain(err)
}

func (s *source) connected(ctx context.Context) (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pool == nil {
		pool, err := s.target.Pool(context.WithoutCancel(ctx), connections)
		if err != nil {
			return nil, err
		}
		s.pool = pool
	}
	return s.pool, nil
}
