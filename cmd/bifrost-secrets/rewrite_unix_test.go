//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources/postgres/pgtest"
)

const rewriteConfig = `{"config_store":{"enabled":true,"type":"postgres","config":{"host":"env.DB_HOST","port":"env.DB_PORT","user":"postgres","password":"vault.db","db_name":"env.DB_NAME","ssl_mode":"require"},` +
	`"vault_store":{"enabled":true,"type":"file","file":{"path":"../secrets"}}},"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]}}}`

// rewriteStub says which canaries it has, sorted, and runs until SIGTERM.
const rewriteStub = `trap 'exit 0' TERM; echo "has $(env | grep "^BIFROST_SECRET_.*=CANARY" | sed 's/.*=//' | sort | tr '\n' ' ')"; while :; do sleep 1 & wait $!; done`

// A dashboard types references in while Bifrost runs, secrets rotate, and the
// database goes away and comes back.
func TestExecRewritesDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	d := server.Database(t)
	tables, err := os.ReadFile("../../testdata/configstore/1.5.sql")
	if err != nil {
		t.Fatal(err)
	}
	d.Exec(t, string(tables)+"INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('one', 'openai', 1, 'k1', 'vault.one')")
	s := newHarness(t)
	s.env = append(s.env, "DB_HOST="+d.Host, fmt.Sprintf("DB_PORT=%d", d.Port), "DB_NAME="+d.Name)
	s.write(filepath.Join(s.app, "config.source.json"), rewriteConfig)
	s.put("db", d.Password)
	s.put("one", "CANARY-one-1")
	value := func(name string) string { return d.Text(t, "SELECT value FROM config_keys WHERE name = $1", name) }

	r := s.exec([]string{"--mode", "env", "--apply", "auto", "--rewrite-database"}, "sh", "-c", rewriteStub)
	r.says("has CANARY-1 CANARY-one-1 ")
	if got := value("one"); !strings.HasPrefix(got, "env.BIFROST_SECRET_") {
		t.Errorf("the database has %s", got)
	}
	// A rotation of what only the database refers to.
	s.put("one", "CANARY-one-2")
	r.says("has CANARY-1 CANARY-one-2 ")

	// One that does not resolve keeps nothing else from being fresh.
	d.Exec(t, "INSERT INTO config_keys (name, provider, provider_id, key_id, value) VALUES ('two', 'openai', 1, 'k2', 'vault.two')")
	r.signal(syscall.SIGHUP)
	r.logs("vault.two")
	s.put("openai", "CANARY-2")
	r.says("has CANARY-2 CANARY-one-2 ")
	if got := value("two"); got != "vault.two" {
		t.Errorf("what does not resolve has become %s", got)
	}
	// Then it does.
	s.put("two", "CANARY-two-1")
	r.signal(syscall.SIGHUP)
	r.says("has CANARY-2 CANARY-one-2 CANARY-two-1 ")
	if got := value("two"); !strings.HasPrefix(got, "env.BIFROST_SECRET_") {
		t.Errorf("the database has %s", got)
	}

	// The database goes, and a rotation comes all the same.
	d.Stop(t)
	s.put("openai", "CANARY-3")
	r.logs("the last read stays in force")
	r.says("has CANARY-3 CANARY-one-2 CANARY-two-1 ")
	d.Restart(t)
	d.Exec(t, "DELETE FROM config_keys WHERE name = 'one'")
	r.signal(syscall.SIGHUP)
	s.put("two", "CANARY-two-2")
	r.says("has CANARY-3 CANARY-two-2 ")
	r.signal(syscall.SIGTERM)
	r.ends(0)
	if strings.Contains(s.published(), "CANARY") {
		t.Errorf("published: %s", s.published())
	}
	if got := d.Text(t, "SELECT count(*) FROM config_keys k WHERE strpos(k::text, 'CANARY') > 0"); got != "0" {
		t.Error("a value is in the database")
	}
}
