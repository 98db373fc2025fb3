package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"bifrost-secrets/sources/postgres/pgtest"
)

// TestPostgres runs the scripts of testdata/postgres, each with a database of
// its own on a real server.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	testscript.Run(t, scripts("testdata/postgres", func(env *testscript.Env) error {
		d := server.Database(t)
		env.Values[storyKey{}].(*story).database = d
		env.Setenv("HOST", d.Host)
		env.Setenv("PORT", fmt.Sprint(d.Port))
		env.Setenv("DATABASE", d.Name)
		env.Setenv("DATABASE_URL", d.URL())
		env.Setenv("PASSWORD", d.Password)
		return nil
	}))
}

// doSQL runs statements as the superuser, and prints the values that they
// answer: sql SELECT count(*) FROM t. Inside of the
// script's own quotes, a quote is doubled.
func doSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sql statement...")
	}
	conn, err := pgx.Connect(context.Background(), of(ts).database.URL())
	ts.Check(err)
	defer conn.Close(context.Background())
	answers, err := conn.PgConn().Exec(context.Background(), strings.Join(args, " ")).ReadAll()
	ts.Check(err)
	for _, answer := range answers {
		for _, row := range answer.Rows {
			for _, value := range row {
				fmt.Fprintf(ts.Stdout(), "%s\n", value)
			}
		}
	}
}

// doTables makes Bifrost's tables of a version, and rows in them: tables 1.5.
func doTables(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tables version")
	}
	conn, err := pgx.Connect(context.Background(), of(ts).database.URL())
	ts.Check(err)
	defer conn.Close(context.Background())
	for _, name := range []string{args[0] + ".sql", "rows.sql"} {
		text, err := os.ReadFile(filepath.Join(scriptsHome, "../../testdata/configstore", name))
		ts.Check(err)
		_, err = conn.PgConn().Exec(context.Background(), string(text)).ReadAll()
		ts.Check(err)
	}
}

// scriptsHome is the folder of these tests; a script runs in one of its own.
var scriptsHome, _ = os.Getwd() // it exists: the tests were started in it
