package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"bifrost-secrets/sources/postgres/pgtest"
)

// testBifrostPasswordCommand has `secret get` as Bifrost's password_command: the
// password of its database stands in no file, and rotates without a restart.
func testBifrostPasswordCommand(t *testing.T) {
	s := newRealHarness(t)
	db := pgtest.Shared(t).Database(t)
	const before, after = "the password's 1st", `the \ 2nd`
	role := db.Role(t, before, "GRANT ALL ON DATABASE "+db.Name+" TO %s", "GRANT ALL ON SCHEMA public TO %s")
	s.secret("db/login", `{"password": `+fmt.Sprintf("%q", before)+`}`)
	s.secret("openai/key", bifrostKey)
	s.store = fmt.Sprintf(`"type": "postgres", "config": {"host": %q, "port": "%d", "user": %q, "db_name": %q, "ssl_mode": "disable", "password_command": {
		"command": "bifrost-secrets", "cache_ttl": "1ms",
		"args": ["secret", "get", "db/login#password", "--reveal", "--vault-type", "file", "--vault-set", "path=%s"]}}`, db.Host, db.Port, role, db.Name, s.secrets)
	s.write(``, `"vault.openai/key"`)
	s.render()
	b := s.launch([]string{"PATH=" + os.Getenv("PATH")})
	if !b.healthy() {
		if known := s.bifrostVersion(); known < 10516 {
			t.Skip("this version knows no password_command")
		}
		b.fatal("it does not start: %v", b.failed)
	}
	b.wantKey(0, bifrostKey)
	s.wantHeldByNone(before)

	s.secret("db/login", `{"password": `+fmt.Sprintf("%q", after)+`}`)
	db.Exec(t, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, after))
	db.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
	status, answer := 0, []byte(nil)
	for range 20 { // the pool's dead connections are found one by one
		if status, answer = b.ask(http.MethodGet, "/api/plugins", nil); status == http.StatusOK {
			break
		}
	}
	if status != http.StatusOK {
		t.Errorf("with the new password, its database answers %d %s", status, answer)
	}
	b.end()
	s.wantHeldByNone(after)
}

// bifrostVersion asks a Bifrost of the same binary, which has a database of its own.
func (s *realHarness) bifrostVersion() int {
	s.t.Helper()
	other := newRealHarness(s.t)
	other.file("k", bifrostKey, "")
	b := other.start(nil)
	defer b.end()
	return versionNumber(b.version())
}
