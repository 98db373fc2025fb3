package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"bifrost-secrets/sources/postgres/pgtest"
)

// TestPostgres runs the scripts of testdata/postgres, each with a database of
// its own on a real server.
func TestPostgres(t *testing.T) {
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
// answer: sql SELECT count(*) FROM t. A quote is written ”'.
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
