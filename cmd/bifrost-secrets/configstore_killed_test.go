//go:build linux && amd64

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources/postgres/pgtest"
)

const killedRowsConfig = `{"config_store": {"enabled": true,
  "type": "postgres", "config": {"host": "env.HOST", "port": "env.PORT", "user": "postgres", "password": "env.PASSWORD", "db_name": "env.DATABASE", "ssl_mode": "disable"},
  "vault_store": {"enabled": true, "access_mode": "read_and_write", "type": "file", "file": {"path": "secrets"}}}}
`

// killedHarness is a config store that commands are killed over.
type killedHarness struct {
	t   *testing.T
	db  *pgtest.Database
	dir string
	env []string

	conn *pgx.Conn // for the looks: there are many
}

// text returns the one value that a query answers.
func (s *killedHarness) text(sql string, args ...any) string {
	s.t.Helper()
	var text *string
	if err := s.conn.QueryRow(s.t.Context(), "SELECT ("+sql+")::text", args...).Scan(&text); err != nil {
		s.t.Fatal(err)
	}
	if text == nil {
		return ""
	}
	return *text
}

// do runs statements.
func (s *killedHarness) do(sql string) {
	s.t.Helper()
	if _, err := s.conn.PgConn().Exec(s.t.Context(), sql).ReadAll(); err != nil {
		s.t.Fatal(err)
	}
}

func newKilledHarness(t *testing.T, rows string) *killedHarness {
	t.Helper()
	s := &killedHarness{t: t, db: pgtest.Shared(t).Database(t), dir: t.TempDir()}
	tables, err := os.ReadFile("../../testdata/configstore/1.5.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = s.db.Connect(t)
	s.do(string(tables) + rows)
	s.env = append(os.Environ(), "HOST="+s.db.Host, fmt.Sprintf("PORT=%d", s.db.Port), "PASSWORD="+s.db.Password, "DATABASE="+s.db.Name)
	write(t, filepath.Join(s.dir, "config.json"), killedRowsConfig)
	s.secret("a", "sk-a\n")
	s.secret("b", "sk-b\n")
	return s
}

func (s *killedHarness) secret(name, value string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "secrets", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	write(s.t, path, value)
}

// killedAt runs a command that is killed ahead of its nth change, and waits until
// the server has noticed.
func (s *killedHarness) killedAt(n int, args ...string) (out string, killed bool) {
	s.t.Helper()
	out, call := killedAt(s.t, s.dir, s.env, n, args...)
	for s.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'bifrost-secrets%'") != "0" {
		time.Sleep(time.Millisecond)
	}
	return fmt.Sprintf("%skilled at change %d, %s", out, n, call), call != ""
}

// runs runs a command to its end, in the test's own process: it is where a run begins
// that matters.
func (s *killedHarness) runs(args ...string) {
	s.t.Helper()
	args = append(args, "--config", filepath.Join(s.dir, "config.json"))
	if out := said("", s.env, args...); !strings.HasPrefix(out, "0\n") {
		s.t.Fatalf("%v ended with %s", args, out)
	}
}

// resolved returns what each key's value stands for, as exec hands it to Bifrost.
func (s *killedHarness) resolved() string {
	s.t.Helper()
	remembered := s.text("SELECT to_regclass('bifrost_secrets.reference')") != ""
	var all []string
	for _, name := range strings.Fields(s.text("SELECT string_agg(name, ' ' ORDER BY name) FROM config_keys")) {
		value := s.text("SELECT value FROM config_keys WHERE name = $1", name)
		if variable, ok := strings.CutPrefix(value, "env."); ok {
			if !remembered {
				s.t.Fatalf("%s has %s, and nothing remembers what that is", name, value)
			}
			value = s.text("SELECT DISTINCT reference FROM bifrost_secrets.reference WHERE variable = $1", variable)
		}
		if path, ok := strings.CutPrefix(value, "vault."); ok {
			text, err := os.ReadFile(filepath.Join(s.dir, "secrets", filepath.FromSlash(path)))
			if err != nil {
				s.t.Fatalf("%s refers to %s: %v", name, path, err)
			}
			value = strings.TrimSuffix(string(text), "\n")
		}
		all = append(all, name+"="+value)
	}
	return strings.Join(all, " ")
}

func (s *killedHarness) variables() string {
	s.t.Helper()
	return s.text("SELECT count(*) FROM config_keys WHERE value LIKE 'env.BIFROST_SECRET_%'")
}

// meanings counts what is remembered.
func (s *killedHarness) meanings() string {
	s.t.Helper()
	if s.text("SELECT to_regclass('bifrost_secrets.reference')") == "" {
		return "0"
	}
	return s.text("SELECT count(*) FROM bifrost_secrets.reference")
}

const twoReferences = "INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('one', 'openai', 1, 'k1', 'vault.a'), ('two', 'openai', 1, 'k2', 'vault.b');"

// Attach and detach are killed ahead of every word that they say to the server:
// all references are rewritten, or none is, and what each means is known.
func TestAttachKilledAtEveryChange(t *testing.T) {
	starts(t)
	t.Parallel()
	s := newKilledHarness(t, twoReferences)
	want := s.resolved()
	check := func(out string) string {
		t.Helper()
		n := s.variables()
		if n != "0" && n != "2" || n != s.meanings() {
			t.Fatalf("%s: %s variables in the database, and %s meanings", out, n, s.meanings())
		}
		if got := s.resolved(); got != want {
			t.Fatalf("%s: it resolves to %s, want %s", out, got, want)
		}
		return n
	}
	for n := 1; ; n++ {
		out, killed := s.killedAt(n, "bifrost-secrets", "attach", "--quiet", "--yes")
		if after := check(out); !killed {
			if after != "2" || n < 6 {
				t.Fatalf("the last of %d runs has left %s variables", n, after)
			}
			break
		}
		s.runs("attach", "--quiet", "--yes")
		if check(out) != "2" {
			t.Fatalf("%s: the next run has not finished it", out)
		}
		s.do("DROP SCHEMA bifrost_secrets CASCADE; DELETE FROM config_keys;" + twoReferences)
	}
	for n := 1; ; n++ {
		out, killed := s.killedAt(n, "bifrost-secrets", "detach", "--quiet", "--yes")
		if after := check(out); !killed {
			if after != "0" {
				t.Fatalf("the last of %d runs has left %s variables", n, after)
			}
			return
		}
		s.runs("attach", "--quiet", "--yes")
	}
}

// Store is killed ahead of every change that it makes to a file, and every word
// that it says to the server. At each of these moments Bifrost's keys stand for
// the values that they had, and running store again brings the same end.
func TestStoreRowsKilledAtEveryChange(t *testing.T) {
	starts(t)
	t.Parallel()
	const rows = "INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('one', 'openai', 1, 'k1', 'sk-CANARY-1'), ('two', 'openai', 1, 'k2', 'vault.a');"
	s := newKilledHarness(t, rows)
	want := s.resolved()
	store := []string{"store", "--quiet", "--gateway", "gw", "--config-store", "--yes"}
	for n := 1; ; n++ {
		out, killed := s.killedAt(n, append([]string{"bifrost-secrets"}, store...)...)
		if got := s.resolved(); got != want {
			t.Fatalf("%s: it resolves to %s, want %s", out, got, want)
		}
		if v := s.variables(); v != "0" && v != "1" || v != s.meanings() {
			t.Fatalf("%s: %s variables in the database, and %s meanings", out, v, s.meanings())
		}
		s.runs(store...)
		if got := s.resolved(); got != want || s.variables() != "1" {
			t.Fatalf("%s: run again, it resolves to %s", out, got)
		}
		if !killed {
			if n < 15 {
				t.Errorf("only %d changes were seen", n)
			}
			t.Logf("killed ahead of each of %d changes", n-1)
			return
		}
		s.do("DROP SCHEMA bifrost_secrets CASCADE; DELETE FROM config_keys;" + rows)
		if err := os.RemoveAll(filepath.Join(s.dir, "secrets", "bifrost")); err != nil {
			t.Fatal(err)
		}
	}
}
