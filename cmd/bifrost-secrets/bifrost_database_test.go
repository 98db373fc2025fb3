package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources/postgres/pgtest"
)

// databaseHarness is a harness whose config store is a real PostgreSQL, and which
// Bifrost has used once: its tables have a key of the file.
type databaseHarness struct {
	*realHarness
	db  *pgtest.Database
	env []string
}

func newDatabaseHarness(t *testing.T, more string) *databaseHarness {
	t.Helper()
	s := &databaseHarness{realHarness: newRealHarness(t), db: pgtest.Shared(t).Database(t)}
	// Bifrost of this age passes a password on unquoted, so it is an easy one.
	role := s.db.Role(t, "simple", "GRANT ALL ON DATABASE "+s.db.Name+" TO %s", "GRANT ALL ON SCHEMA public TO %s")
	s.env = []string{"STORE_PASSWORD=simple"}
	s.realHarness.store = fmt.Sprintf(`"type": "postgres", "config": {"host": %q, "port": "%d", "user": %q, "password": "env.STORE_PASSWORD", "db_name": %q, "ssl_mode": "disable"}`,
		s.db.Host, s.db.Port, role, s.db.Name)
	s.secret("openai/key", bifrostKey+"\n")
	s.write(more, `"sk-of-the-file"`)
	s.render()
	b := s.start(s.env)
	b.wantKey(0, "sk-of-the-file")
	b.stop()
	s.provider.forget()
	return s
}

// do runs a command of ours on the harness's config.
func (s *databaseHarness) do(args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--config", s.config)
	if code := run(args, strings.NewReader(""), &out, &errs, s.env); code != exitDone {
		s.t.Fatalf("%v ended with %d:\n%s%s", args, code, &out, &errs)
	}
	return out.String() + errs.String()
}

// exec starts Bifrost below exec.
func (s *databaseHarness) exec(flags ...string) *bifrost {
	s.t.Helper()
	path := "PATH=" + os.Getenv("PATH")
	before := append([]string{"bifrost-secrets", "exec", "--config", s.config, "--app-dir", s.home, "--listen=none", "--restart-settle", "0"}, flags...)
	return s.start(append([]string{path}, s.env...), append(before, "--")...)
}

// value returns what the database has for the key, and the hash beside it.
func (s *databaseHarness) value() (value, hash string) {
	s.t.Helper()
	return s.db.Text(s.t, "SELECT value FROM config_keys WHERE name = 'key-0'"), s.db.Text(s.t, "SELECT config_hash FROM config_keys WHERE name = 'key-0'")
}

// wantNowhere searches all of the database for a value.
func (s *databaseHarness) wantNowhere(value string) {
	s.t.Helper()
	names := s.db.Text(s.t, "SELECT string_agg(quote_ident(table_schema) || '.' || quote_ident(table_name), ' ') FROM information_schema.tables WHERE table_schema IN ('public', 'bifrost_secrets')")
	for _, name := range strings.Fields(names) {
		if n := s.db.Text(s.t, "SELECT count(*) FROM "+name+" r WHERE strpos(r::text, $1) > 0", value); n != "0" {
			s.t.Errorf("%s has the value in %s rows", name, n)
		}
	}
}

func testBifrostDatabase(t *testing.T) {
	s := newDatabaseHarness(t, "")
	_, hash := s.value()
	// As the dashboard stores it.
	const typed = "vault.openai/key"
	s.db.Exec(t, "UPDATE config_keys SET value = '"+typed+"' WHERE name = 'key-0'")

	b := s.exec("--mode", "env", "--rewrite-database")
	b.wantKey(0, bifrostKey)
	s.wantOnly(bifrostKey)
	s.wantNowhere(bifrostKey)
	s.wantHeldByNone(bifrostKey)
	if value, now := s.value(); !strings.HasPrefix(value, "env.BIFROST_SECRET_") || now != hash {
		t.Errorf("the database has %s, and the hash %s after %s", value, now, hash)
	}
	// A rotation: exec starts Bifrost anew, with the new value.
	s.secret("openai/key", bifrostNewKey)
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b.awaitKey(bifrostNewKey)
	s.wantNowhere(bifrostNewKey)
	b.stop()

	// A later start, which nobody told to rewrite anything.
	b = s.exec("--mode", "env")
	b.wantKey(0, bifrostNewKey)
	b.stop()
	s.wantNowhere(bifrostNewKey)

	var report, said bytes.Buffer
	run([]string{"lint", "--config-store", "--fail-on", "never", s.config}, strings.NewReader(""), &report, &said, s.env)
	if text := said.String(); strings.Contains(text, "does not know") || !strings.Contains(text, "fields in") {
		t.Errorf("lint does not know all of this version's database: %s", text)
	}
	if said := s.do("detach", "--yes"); !strings.Contains(said, "put back 1 reference;") {
		t.Error(said)
	}
	if value, now := s.value(); value != typed || now != hash {
		t.Errorf("detached, the database has %s, and the hash %s after %s", value, now, hash)
	}
	if n := s.db.Text(t, "SELECT count(*) FROM bifrost_secrets.reference"); n != "0" {
		t.Errorf("%s references are remembered", n)
	}
}

// testBifrostDatabaseEncrypted shows that a reference stands in an encrypted row
// as its text, and that its variable does too.
func testBifrostDatabaseEncrypted(t *testing.T) {
	s := newDatabaseHarness(t, `"encryption_key": "a passphrase of some length: 0123456789",`)
	if value, _ := s.value(); strings.Contains(value, "sk-of-the-file") {
		t.Fatalf("it is not encrypted: %s", value)
	}
	if said := s.do("attach"); !strings.Contains(said, "encrypted by Bifrost") {
		t.Error(said)
	}
	// As versions from 1.6 on store it.
	s.db.Exec(t, "UPDATE config_keys SET value = 'vault.openai/key' WHERE name = 'key-0'")
	b := s.exec("--mode", "env", "--rewrite-database")
	b.wantKey(0, bifrostKey)
	b.stop()
	s.wantNowhere(bifrostKey)
	if value, _ := s.value(); !strings.HasPrefix(value, "env.BIFROST_SECRET_") {
		t.Errorf("the database has %s", value)
	}
}

// testBifrostHash shows which config_hash a rewritten row needs: the one that it
// had. Bifrost then sees that the file is the same, and the database counts; by
// another hash it would take the file's value again.
func testBifrostHash(t *testing.T) {
	s := newDatabaseHarness(t, "")
	s.db.Exec(t, "UPDATE config_keys SET value = 'env.MY_KEY' WHERE name = 'key-0'")
	b := s.start(append(s.env, "MY_KEY=sk-of-the-database"))
	b.wantKey(0, "sk-of-the-database")
	b.stop()
	if value, _ := s.value(); value != "env.MY_KEY" {
		t.Errorf("with its hash, the row has become %s", value)
	}
	s.db.Exec(t, "UPDATE config_keys SET config_hash = repeat('0', 64) WHERE name = 'key-0'")
	b = s.start(append(s.env, "MY_KEY=sk-of-the-database"))
	b.wantKey(0, "sk-of-the-file")
	b.stop()
	if value, _ := s.value(); value != "sk-of-the-file" {
		t.Errorf("with another hash, the row has become %s", value)
	}
}

// testBifrostStoreRows moves what Bifrost has copied out of its file into the
// backend: its key is the same afterwards, and the database holds none.
func testBifrostStoreRows(t *testing.T) {
	const key = "sk-of-the-file"
	s := newDatabaseHarness(t, "")
	_, hash := s.value()
	s.do("store", "--config-store", "--gateway", "gw", "--yes", "--vault-type", "file", "--vault-set", "path="+s.secrets, "--vault-set", "access_mode=read_and_write")
	s.wantNowhere(key)
	for range 2 {
		b := s.exec()
		b.wantKey(0, key)
		b.stop()
		s.wantNowhere(key)
	}
	if value, now := s.value(); !strings.HasPrefix(value, "env.BIFROST_SECRET_") || now != hash {
		t.Errorf("the database has %s, and the hash %s after %s", value, now, hash)
	}
	s.wantOnly(key)
}

// awaitKey asks until the provider sees the key: Bifrost is being started anew.
func (b *bifrost) awaitKey(want string) {
	b.realHarness.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(bifrostStarts); ; {
		select {
		case <-b.ended:
			b.fatal("it ended: %v", b.failed)
		case <-deadline:
			b.fatal("the provider does not see the new key after %s, but %s", bifrostStarts, b.realHarness.provider.lastChat())
		case <-tick.C:
		}
		resp, err := bifrostClient.Get(b.url + "/health")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			continue
		}
		if status, ok := b.tryChat(); ok && status == http.StatusOK && b.realHarness.provider.lastChat() == "Bearer "+want {
			return
		}
	}
}

// tryChat is chat with a Bifrost that may just be ending.
func (b *bifrost) tryChat() (status int, ok bool) {
	ask := strings.NewReader(`{"model":"openai/model-0","messages":[{"role":"user","content":"ping"}]}`)
	resp, err := bifrostClient.Post(b.url+"/v1/chat/completions", "application/json", ask)
	if err != nil {
		return 0, false
	}
	_ = resp.Body.Close()
	return resp.StatusCode, true
}
