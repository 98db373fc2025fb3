package database

import (
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres/pgtest"
)

func migrations(part string, sql ...string) Migrations {
	files := fstest.MapFS{}
	for i, one := range sql {
		files["000"+string(rune('1'+i))+"_step.sql"] = &fstest.MapFile{Data: []byte(one)}
	}
	return Migrations{Part: part, Files: files}
}

const one, two = "CREATE TABLE a (n int); CREATE INDEX ON a (n)", "ALTER TABLE a ADD m text; INSERT INTO a VALUES (1, 'x')"

func (m Migrations) run(t *testing.T, s Settings, schema string) (bool, error) {
	t.Helper()
	target, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := target.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer Close(conn)
	return m.Migrate(t.Context(), target, conn, schema)
}

func TestMigrate(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	for i, step := range []struct {
		of      Migrations
		changed bool
	}{
		{migrations("secret", one), true}, {migrations("secret", one), false},
		{migrations("secret", one, two), true}, {migrations("secret", one, two), false},
		{migrations("other", "CREATE TABLE b ()"), true}, // another part in the same schema
	} {
		changed, err := step.of.run(t, settings(d), Schema)
		if err != nil || changed != step.changed {
			t.Errorf("%d: %v %v", i, changed, err)
		}
	}
	if got := d.Text(t, "SELECT string_agg(part || version, ' ' ORDER BY part, version) FROM bifrost_secrets.migration"); got != "other1 secret1 secret2" {
		t.Error(got)
	}
	_, err := migrations("secret", one).run(t, settings(d), Schema)
	wantError(t, err, sources.BadSettings, "", "have version 2, and this program knows 1", "newer bifrost-secrets")
	if _, err := migrations("secret", one).run(t, settings(d), `x"; DROP`); sources.KindOf(err) != sources.BadSettings {
		t.Error(err)
	}
	// What goes wrong leaves nothing half done.
	_, err = migrations("broken", "CREATE TABLE c ()", "CREATE TABLE c ()").run(t, settings(d), Schema)
	wantError(t, err, sources.Unreachable, "42P07", "its tables are not those that are expected")
	if got := d.Text(t, "SELECT to_regclass('bifrost_secrets.c')"); got != "" {
		t.Error("half of a migration stayed")
	}
}

func TestMigrateAtOnce(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	changes := 0
	for range 12 {
		all.Go(func() {
			changed, err := migrations("secret", one, two).run(t, settings(d), Schema)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if changed {
				changes++
			}
		})
	}
	all.Wait()
	if got := d.Text(t, "SELECT count(*) FROM bifrost_secrets.a"); changes != 1 || got != "1" {
		t.Errorf("%d made the tables, which have %s rows", changes, got)
	}
}

func TestMigrateWithoutRights(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	s := settings(d)
	s.User, s.Password = d.Role(t, "p"), secret("p")
	_, err := migrations("secret", one).run(t, s, Schema)
	wantError(t, err, sources.Denied, "42501", "does not let", "docs/postgres.md")
	// An administrator may have made the schema.
	d.Exec(t, "CREATE SCHEMA bifrost_secrets; GRANT USAGE, CREATE ON SCHEMA bifrost_secrets TO "+s.User)
	if changed, err := migrations("secret", one).run(t, s, Schema); !changed || err != nil {
		t.Error(changed, err)
	}
	// Everything is there: no right is wanted but to look.
	d.Exec(t, "REVOKE CREATE ON SCHEMA bifrost_secrets FROM "+s.User)
	if changed, err := migrations("secret", one).run(t, s, Schema); changed || err != nil {
		t.Error(changed, err)
	}
	d.Exec(t, "ALTER ROLE "+s.User+" SET default_transaction_read_only = on; GRANT CREATE ON SCHEMA bifrost_secrets TO "+s.User)
	_, err = migrations("secret", one, two).run(t, s, Schema)
	wantError(t, err, sources.Denied, "25006", "is read-only")
}

func TestMigrationFiles(t *testing.T) {
	for _, name := range []string{"0002_x.sql", "x.sql", "0001.txt/x"} {
		m := Migrations{Part: "p", Files: fstest.MapFS{name: {Data: []byte("SELECT 1")}}}
		if _, err := m.steps(); err == nil || !strings.Contains(err.Error(), "migration") && !strings.Contains(err.Error(), "directory") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
