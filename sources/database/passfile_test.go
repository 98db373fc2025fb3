package database

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

// The file of passwords is used whatever the login is made of, as libpq does,
// and read again for each connection.
func TestPassfile(t *testing.T) {
	const password = `CANARY:pass\wörd`
	d := pgtest.Shared(t).Database(t)
	role := d.Role(t, password)
	named := d.Role(t, password) // a database is called as it is
	d.Exec(t, "CREATE DATABASE "+named)
	t.Cleanup(func() { d.Exec(t, "DROP DATABASE "+named) })
	for _, name := range []string{"PGPASSWORD", "PGUSER", "PGDATABASE", "PGHOST", "PGPORT", "PGSERVICE"} {
		t.Setenv(name, "")
		_ = os.Unsetenv(name)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PGPASSFILE", "")
	_ = os.Unsetenv("PGPASSFILE")
	elsewhere := filepath.Join(t.TempDir(), "pgpass")
	escaped := strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(password)
	port := fmt.Sprint(d.Port)
	parts := Settings{Host: d.Host, Port: port, User: role, DBName: d.Name}
	for name, c := range map[string]struct {
		settings Settings
		line     string // HOST:PORT:DATABASE:USER
		end      string // behind the password
		env      map[string]string
		wrong    bool
	}{
		"exact":                {settings: parts, line: d.Host + ":" + port + ":" + d.Name + ":" + role},
		"any":                  {settings: parts, line: "*:*:*:*"},
		"a comment before":     {settings: parts, line: "# passwords\n\n*:*:*:" + role},
		"a mark before":        {settings: parts, line: "\ufeff*:*:*:" + role},
		"a mark behind":        {settings: parts, line: "*:*:*:" + role, end: "\u200b"},
		"another port":         {settings: parts, line: "*:1:*:*", wrong: true},
		"another database":     {settings: parts, line: "*:*:other:*", wrong: true},
		"another user":         {settings: parts, line: "*:*:*:other", wrong: true},
		"another host":         {settings: parts, line: "db.example:*:*:*", wrong: true},
		"no database":          {settings: Settings{Host: d.Host, Port: port, User: named}, line: "*:*:" + named + ":" + named},
		"url":                  {settings: Settings{URL: secret(fmt.Sprintf("postgres://%s@%s:%s/%s", role, d.Host, port, d.Name))}, line: d.Host + ":" + port + ":" + d.Name + ":" + role},
		"url without database": {settings: Settings{URL: secret(fmt.Sprintf("postgres://%s@%s:%s", named, d.Host, port))}, line: "*:*:" + named + ":*"},
		"keywords":             {settings: Settings{URL: secret(fmt.Sprintf("host=%s port=%s user=%s dbname=%s", d.Host, port, role, d.Name))}, line: "*:*:" + d.Name + ":*"},
		"variables":            {settings: Settings{Host: d.Host}, line: "*:" + port + ":" + d.Name + ":" + role, env: map[string]string{"PGPORT": port, "PGUSER": role, "PGDATABASE": d.Name}},
	} {
		for _, path := range []string{filepath.Join(home, ".pgpass"), elsewhere} {
			t.Run(name+" in "+filepath.Base(path), func(t *testing.T) {
				for key, value := range c.env {
					t.Setenv(key, value)
				}
				if path == elsewhere {
					t.Setenv("PGPASSFILE", elsewhere)
				}
				write := func(password string, mode os.FileMode) {
					t.Helper()
					_ = os.Remove(path)
					if err := os.WriteFile(path, []byte(c.line+":"+password+c.end+"\r\n"), mode); err != nil {
						t.Fatal(err)
					}
				}
				var warned []string
				s := c.settings
				s.Warn = func(line string) { warned = append(warned, line) }
				write("old", 0o600)
				defer os.Remove(path)
				target, err := New(s)
				if err != nil {
					t.Fatal(err)
				}
				pool, err := target.Pool(t.Context(), 1)
				if err != nil {
					t.Fatal(err)
				}
				defer pool.Close()
				text := "wants a password"
				if !c.wrong {
					text = "refuses the password"
				}
				wantError(t, target.Ping(t.Context()), sources.NoLogin, "28P01", text)
				write(escaped, 0o600)
				switch err := target.Ping(t.Context()); {
				case c.wrong:
					wantError(t, err, sources.NoLogin, "28P01", "wants a password", "where none matches")
				case err != nil:
					t.Errorf("with the new password: %v", err)
				default:
					if err := pool.Ping(t.Context()); err != nil {
						t.Errorf("with the new password, of a pool: %v", err)
					}
				}
				if len(warned) > 0 {
					t.Errorf("warned: %q", warned)
				}
				write(escaped, 0o640)
				if _, err := New(s); err != nil {
					t.Fatal(err)
				}
				if all := strings.Join(warned, " "); !c.wrong && (!strings.Contains(all, path+" may be read by others (mode 0640)") || strings.Contains(all, "CANARY")) {
					t.Errorf("warned: %q", warned)
				}
			})
		}
	}
	t.Run("what is set wins", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(home, ".pgpass"), []byte("*:*:*:*:wrong\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := parts
		s.Password, s.Warn = secret(password), func(line string) { t.Error(line) }
		target, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := target.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
