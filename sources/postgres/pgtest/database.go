package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// callLimit bounds each call that a test makes by way of this package.
const callLimit = 2 * time.Minute

// Database is an empty database, made for one test.
type Database struct {
	*Server
	Name string
}

// Database makes an empty database of a name of its own, which goes when the
// test ends, with whoever is connected to it.
func (s *Server) Database(tb testing.TB) *Database {
	tb.Helper()
	d := &Database{Server: s, Name: "test_" + strings.ToLower(rand.Text()[:10])}
	s.admin(tb, "CREATE DATABASE "+d.Name+" STRATEGY file_copy")
	tb.Cleanup(func() {
		s.mu.Lock()
		up := s.keeper != nil
		s.mu.Unlock()
		if up {
			s.disconnect(d.Name)
			s.drop(tb, d.Name)
		}
	})
	return d
}

// drop removes a database. PostgreSQL waits for five seconds for those whom it has
// ended, which may take longer to be gone on a busy machine.
func (s *Server) drop(tb testing.TB, name string) {
	tb.Helper()
	(&Database{Server: s, Name: "postgres"}).do(tb, func(ctx context.Context, conn *pgx.Conn) error {
		for {
			_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
			if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "55006" || ctx.Err() != nil {
				return err
			}
		}
	})
}

// admin runs a statement in the database that every server has.
func (s *Server) admin(tb testing.TB, sql string) {
	tb.Helper()
	(&Database{Server: s, Name: "postgres"}).Exec(tb, sql)
}

// URL returns the address of the database with the login of [Superuser].
func (d *Database) URL() string { return d.As(Superuser, d.Password) }

// As returns the address of the database with a login. Of TLS it says nothing:
// add a query.
func (d *Database) As(name, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(name, password), Host: fmt.Sprintf("%s:%d", d.Host, d.Port), Path: "/" + d.Name}
	return u.String()
}

// Role makes a role that may log in with the password and do nothing else, and
// returns its name. Every %s in grants is replaced by that name.
func (d *Database) Role(tb testing.TB, password string, grants ...string) string {
	tb.Helper()
	name := "role_" + strings.ToLower(rand.Text()[:10])
	d.Exec(tb, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, strings.ReplaceAll(verifier(password), "'", "''")))
	tb.Cleanup(func() {
		d.mu.Lock()
		up := d.keeper != nil
		d.mu.Unlock()
		if up {
			d.Exec(tb, "DROP OWNED BY "+name+" CASCADE; DROP ROLE "+name)
		}
	})
	for _, grant := range grants {
		d.Exec(tb, strings.ReplaceAll(grant, "%s", name))
	}
	return name
}

// Connect returns a connection as [Superuser] that is closed when the test ends.
func (d *Database) Connect(tb testing.TB) *pgx.Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.URL())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec runs statements, separated by semicolons, as [Superuser].
func (d *Database) Exec(tb testing.TB, sql string) {
	tb.Helper()
	d.do(tb, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
		return err
	})
}

// Text returns the one value that a query answers, as text; NULL is "".
func (d *Database) Text(tb testing.TB, sql string, args ...any) string {
	tb.Helper()
	var text *string
	d.do(tb, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT ("+sql+")::text", args...).Scan(&text)
	})
	if text == nil {
		return ""
	}
	return *text
}

// Terminate ends every connection to the database whose application_name is
// name, as an administrator would (57P01), and returns their number when they have
// ended: until then they would be counted once more by the next.
func (d *Database) Terminate(tb testing.TB, name string) string {
	tb.Helper()
	return d.Text(tb, "SELECT count(pg_terminate_backend(pid, $3)) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2", d.Name, name, callLimit.Milliseconds())
}

// Await waits until the one value that a query answers is want, as text: what a
// connection held that was closed is given back in its own time.
func (d *Database) Await(tb testing.TB, want, sql string, args ...any) {
	tb.Helper()
	for late := time.Now().Add(callLimit); ; time.Sleep(5 * time.Millisecond) {
		got := d.Text(tb, sql, args...)
		if got == want {
			return
		}
		if time.Now().After(late) {
			tb.Fatalf("%s stays %q, want %q", sql, got, want)
		}
	}
}

// do lends f a connection as [Superuser] that is as a new one is: to make one
// costs a hundred times what a query does.
func (d *Database) do(tb testing.TB, f func(context.Context, *pgx.Conn) error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	conn, err := d.lend(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	err = f(ctx, conn)
	if err == nil {
		_, err = conn.PgConn().Exec(ctx, "DISCARD ALL").ReadAll()
	}
	if err != nil {
		_ = conn.Close(context.Background())
		tb.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle[d.Name] = append(d.idle[d.Name], conn)
}

// lend returns an idle connection that the server has not ended, or a new one.
func (d *Database) lend(ctx context.Context) (*pgx.Conn, error) {
	for {
		d.mu.Lock()
		idle := d.idle[d.Name]
		var conn *pgx.Conn
		if n := len(idle); n > 0 {
			conn, d.idle[d.Name] = idle[n-1], idle[:n-1]
		}
		d.mu.Unlock()
		if conn == nil {
			break
		}
		if conn.Ping(ctx) == nil {
			return conn, nil
		}
		_ = conn.Close(ctx)
	}
	config, err := pgx.ParseConfig(d.URL() + "?sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // DISCARD ALL forgets what is prepared
	return pgx.ConnectConfig(ctx, config)
}

// disconnect closes the idle connections to a database, or to all of them for "".
func (s *Server) disconnect(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, conns := range s.idle {
		if name != "" && of != name {
			continue
		}
		for _, conn := range conns {
			_ = conn.Close(context.Background())
		}
		delete(s.idle, of)
	}
}
