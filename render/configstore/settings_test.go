package configstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/walker"
)

func parse(t testing.TB, text string) *walker.Document {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestPart(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{
		{`{}`, ""},
		{`{"config_store":{"type":"sqlite","config":{"path":"x"}}}`, ""},
		{`{"config_store":{"type":"postgres","enabled":false,"config":{"host":"h"}}}`, ""},
		{`{"config_store":null}`, ""},
		{`{"config_store":{"type":"postgres"}}`, `{"config_store":{"type":"postgres","config":{}}}`},
		{`{"config_store":{"type":"sqlite"},"Config_Store":{"Enabled":true,"Type":"postgres","Config":{"host":"a"},"config":{"host": "b"},"vault_store":{"token":"x"}}}`,
			`{"config_store":{"type":"postgres","config":{"host": "b"}}}`},
	} {
		got := ""
		if part := Part(parse(t, tt.doc)); part != nil {
			got = string(part.Bytes())
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.doc, got, tt.want)
		}
	}
}

// document makes a config with a config store, its password being the JSON given.
func document(d *pgtest.Database, user, password string) string {
	return fmt.Sprintf(`{"config_store":{"enabled":true,"type":"postgres","config":{"host":%q,"port":%d,"user":%q,%s,"db_name":%q,"ssl_mode":"require"}}}`,
		d.Host, d.Port, user, password, d.Name)
}

func ping(t *testing.T, doc string, getenv func(string) (string, bool)) error {
	t.Helper()
	settings, err := Settings(Part(parse(t, doc)).Bytes(), getenv, os.Environ, true)
	if err != nil {
		return err
	}
	target, err := database.New(settings)
	if err != nil {
		return err
	}
	return target.Ping(t.Context())
}

// The passwords that Bifrost's own connection was tried with, and more.
func TestSettingsPasswords(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	for _, password := range []string{
		"plain", "with space", " spaces around ", "'quoted'", `in"ner`, `back\slash`, `ends\`, "'", "a=b&c#d%41/e?f@g:h",
		"pässwörd 世", `x' host='evil.example' y=\'`,
	} {
		t.Run(password, func(t *testing.T) {
			role := d.Role(t, password)
			getenv := func(name string) (string, bool) { return password, name == "PASSWORD" }
			for _, written := range []string{
				`"password":` + walker.Quote(password), `"password":"env.PASSWORD"`,
				`"password":{"value":"","env_var":"env.PASSWORD","from_env":true}`,
				fmt.Sprintf(`"password_command":{"command":"printf","args":["%%s\n",%s],"timeout":"2m"}`, walker.Quote(password)),
			} {
				if err := ping(t, document(d, role, written), getenv); err != nil {
					t.Errorf("%s: %v", written, err)
				}
			}
			err := ping(t, document(d, role, `"password":`+walker.Quote(password+"x")), getenv)
			if sources.KindOf(err) != sources.NoLogin || len(password) > 1 && strings.Contains(err.Error(), password) {
				t.Errorf("a wrong one: %v", err)
			}
		})
	}
}

func TestSettingsTrouble(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	script := filepath.Join(t.TempDir(), "password.sh")
	syscall.ForkLock.RLock() // a program that another test starts meanwhile would have it open for writing: "text file busy"
	err := os.WriteFile(script, []byte("#!/bin/sh\necho CANARY-said >&2\n[ \"$1\" = empty ] || exit 3\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	d := pgtest.Shared(t).Database(t)
	for _, tt := range []struct {
		doc, want string
		kind      sources.Kind
	}{
		{`{"config_store":{"type":"postgres","config":{"user":"u"}}}`, "config_store.config has no host", sources.BadSettings},
		{`{"config_store":{"type":"postgres","config":{"host":"env.NOPE"}}}`, "config_store.config.host is env.NOPE, and that variable is not set", sources.BadSettings},
		{`{"config_store":{"type":"postgres","config":{"host":"h","password":"********"}}}`, "config_store.config.password is a masked", sources.BadSettings},
		{`{"config_store":{"type":"postgres","config":{"host":"h","password":"vault."}}}`, "config_store.config.password is a broken reference", sources.BadSettings},
		{`{"config_store":{"type":"postgres","config":{"host":"h","port":"CANARY"}}}`, "port is no number", sources.BadSettings},
		{`{"config_store":{"type":"postgres","config":{"host":"h","ssl_mode":"CANARY"}}}`, "ssl_mode is none that is known", sources.BadSettings},
		{document(d, "postgres", `"password_command":{"command":"/nowhere/CANARY"}`), "password_command failed: it cannot be started", sources.NoLogin},
		{document(d, "postgres", `"password_command":{"command":"`+script+`"}`), "password_command failed: exit status 3", sources.NoLogin},
		{document(d, "postgres", `"password_command":{"command":"`+script+`","args":["empty"]}`), "password_command printed no password", sources.NoLogin},
		{document(d, "postgres", `"password_command":{"command":"cat","args":["/dev/zero"]}`), "password_command failed: it printed more than 65536 bytes", sources.NoLogin},
		{document(d, "postgres", `"password_command":{"command":"sleep","args":["60"],"timeout":"20ms"}`), "it did not end within 20ms", sources.NoLogin},
	} {
		err := ping(t, tt.doc, none)
		if sources.KindOf(err) != tt.kind || !strings.Contains(fmt.Sprint(err), tt.want) || strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: %v", tt.doc, err)
		}
	}
}

// Bifrost's block has no place for the authority's certificate; libpq's variable
// says where it is.
func TestSettingsTLS(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	doc := strings.Replace(document(d, "postgres", `"password":`+walker.Quote(d.Password)), `"ssl_mode":"require"`, `"ssl_mode":"verify-full"`, 1)
	doc = strings.Replace(doc, d.Host, "localhost", 1)
	t.Setenv("PGSSLROOTCERT", pgtest.OtherCA(t))
	if err := ping(t, doc, os.LookupEnv); sources.KindOf(err) != sources.Unreachable || !strings.Contains(err.Error(), "signed by an unknown authority") {
		t.Error(err)
	}
	t.Setenv("PGSSLROOTCERT", d.CAFile)
	if err := ping(t, doc, os.LookupEnv); err != nil {
		t.Error(err)
	}
}

func TestRights(t *testing.T) {
	_, d := newStore(t, "1.5")
	// Those of docs/configstore.md: to look, and to rewrite.
	look := []string{"GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s"}
	reader := storeOf(t, d.As(d.Role(t, "p", look...), "p"))
	if p := mustPlan(t, reader); len(p.Attach) != 5 {
		t.Errorf("%+v", p)
	} else if err := reader.Attach(t.Context(), p); sources.KindOf(err) != sources.Denied || sources.HintOf(err) == "" {
		t.Error(err)
	}
	d.Exec(t, "CREATE SCHEMA bifrost_secrets")
	writer := storeOf(t, d.As(d.Role(t, "p", append(look, "GRANT USAGE, CREATE ON SCHEMA bifrost_secrets TO %s", "GRANT UPDATE ON config_keys, config_mcp_clients TO %s")...), "p"))
	if err := writer.Attach(t.Context(), mustPlan(t, writer)); err != nil {
		t.Fatal(err)
	}
	if done, err := writer.Detach(t.Context(), false); err != nil || len(done.Restored) != 5 {
		t.Errorf("%+v %v", done, err)
	}
	if err := writer.Attach(t.Context(), mustPlan(t, writer)); err != nil {
		t.Fatal(err)
	}
	// Only some of the tables may be read: the others are as if they were not.
	some := storeOf(t, d.As(d.Role(t, "p", "GRANT SELECT ON config_keys TO %s", "GRANT USAGE ON SCHEMA bifrost_secrets TO %s", "GRANT SELECT ON bifrost_secrets.reference, bifrost_secrets.migration TO %s"), "p"))
	if p := mustPlan(t, some); len(p.Attached) != 4 || p.Summary.Rows != 7 {
		t.Errorf("%+v %+v", p, p.Summary)
	}
	// Our table may not be read.
	blind := storeOf(t, d.As(d.Role(t, "p", look...), "p"))
	if _, err := blind.Plan(t.Context(), nil); sources.KindOf(err) != sources.Denied {
		t.Error(err)
	}
	readOnly := storeOf(t, d.As(d.Role(t, "p", "GRANT SELECT ON ALL TABLES IN SCHEMA public, bifrost_secrets TO %s", "GRANT USAGE, CREATE ON SCHEMA bifrost_secrets TO %s", "GRANT UPDATE, INSERT ON ALL TABLES IN SCHEMA public, bifrost_secrets TO %s", "ALTER ROLE %s SET default_transaction_read_only = on"), "p"))
	d.Exec(t, "UPDATE config_keys SET value = 'vault.x' WHERE id = 1")
	if err := readOnly.Attach(t.Context(), mustPlan(t, readOnly)); sources.KindOf(err) != sources.Denied || !strings.Contains(err.Error(), "read-only") {
		t.Error(err)
	}
}
