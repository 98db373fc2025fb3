package cluster

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
)

var (
	versioned = Secret{"aws-secrets-manager in eu-west-1", "prod/CANARY", "v2"}
	without   = Secret{"file /run/secrets", "CANARY", ""}
)

// as makes a target of a role.
func as(t testing.TB, d *pgtest.Database, role string) *database.Target {
	t.Helper()
	to, err := database.New(database.Settings{URL: sources.NewSecret([]byte(d.As(role, "x") + "?sslmode=disable"))})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func (w *watcher) rejected(secrets ...Secret) map[Secret]Rejection {
	w.t.Helper()
	found, err := w.Rejected(context.Background(), secrets)
	if err != nil {
		w.t.Error(err, sources.HintOf(err))
	}
	return found
}

// rejecting is at with what is told of rejections.
func rejecting(to *database.Target) (Config, chan struct{}) {
	c, told := at(to), make(chan struct{}, 10)
	c.OnReject = func() { told <- struct{}{} }
	return c, told
}

const made = "SELECT (to_regclass('" + RejectionsTable + "') IS NOT NULL)::text"

func TestRejections(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	config, told := rejecting(to)
	a, b := join(t, at(to)), join(t, config)
	if got := b.rejected(versioned, without); len(got) != 0 || b.Known([]Secret{versioned}) {
		t.Errorf("%v", got)
	}
	if d.Text(t, made) != "false" {
		t.Error("looking has made the table")
	}
	began := time.Now()
	if err := a.Reject(t.Context(), "pod-7", []Secret{versioned, without, versioned}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(limit):
		t.Fatal("the other is not told")
	}
	other := versioned
	other.Version = "v3"
	got := b.rejected(versioned, without, other)
	if r := got[versioned]; len(got) != 2 || r.By != "pod-7" || r.At.Before(began.Add(-time.Second)) || r.At.After(time.Now().Add(time.Second)) {
		t.Errorf("%v", got)
	}
	if !b.Known([]Secret{other, without}) || b.Known([]Secret{other}) {
		t.Error("what is known")
	}
	// No name stands there.
	if text := d.Text(t, "SELECT string_agg(r::text, ' ') FROM "+RejectionsTable+" r"); strings.Contains(text, "CANARY") || strings.Contains(text, "aws") || strings.Count(text, "pod-7") != 2 {
		t.Error(text)
	}
	// It is told of as no flush, and a flush ends what has no version.
	if a.Status().Heard != 0 || b.Status().Heard != 0 {
		t.Error("a rejection is heard as a flush")
	}
	if err := a.Notify(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(Flushed)
	for _, w := range []*watcher{a, b} {
		if got := w.rejected(versioned, without); len(got) != 1 || got[versioned].By == "" {
			t.Errorf("after a flush: %v", got)
		}
	}
	// What is rejected after that counts again, for an hour.
	if err := b.Reject(t.Context(), "pod-8", []Secret{without}); err != nil {
		t.Fatal(err)
	}
	if got := a.rejected(without); got[without].By != "pod-8" {
		t.Errorf("%v", got)
	}
	d.Exec(t, "UPDATE "+RejectionsTable+" SET rejected_at = now() - interval '61 minutes'")
	c := join(t, at(to))
	if got := c.rejected(versioned, without); len(got) != 1 || got[versioned].By != "pod-7" {
		t.Errorf("after an hour: %v", got)
	}
	// While the database does not answer, what was known counts.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := c.Rejected(ctx, []Secret{versioned, other}); err == nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	d.Exec(t, "DELETE FROM "+RejectionsTable)
	if got := c.rejected(versioned); len(got) != 0 || c.Known([]Secret{versioned}) {
		t.Errorf("%v", got)
	}
	// What is old goes.
	d.Exec(t, "INSERT INTO "+RejectionsTable+" VALUES ('old', 'x', now() - interval '1 year')")
	if err := a.Reject(t.Context(), "pod-7", []Secret{other}); err != nil {
		t.Fatal(err)
	}
	if n := d.Text(t, "SELECT count(*)::text FROM "+RejectionsTable); n != "1" {
		t.Errorf("%s rows", n)
	}
}

// Two that reject at once make one table.
func TestRejectTogether(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	to := target(t, d, d.Port)
	var all sync.WaitGroup
	for range 5 {
		w := join(t, at(to))
		all.Go(func() {
			if err := w.Reject(t.Context(), "pod", []Secret{versioned}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := d.Text(t, "SELECT count(*)::text FROM "+RejectionsTable); n != "1" {
		t.Errorf("%s rows", n)
	}
}

// A table that somebody else could write to is neither believed nor written to: a
// trigger of theirs would have our rights.
func TestRejectionsOfOthers(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	ours, other := d.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s"), d.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s")
	w := join(t, at(as(t, d, ours)))
	for name, test := range map[string]struct{ sql, part string }{
		"another's":      {"DROP TABLE TABLE_; SET ROLE OTHER; " + rejectionsMade + "; GRANT ALL ON TABLE_ TO PUBLIC; RESET ROLE", "belongs to another role"},
		"granted":        {"GRANT INSERT ON TABLE_ TO OTHER", "others than its owner"},
		"to all":         {"GRANT UPDATE ON TABLE_ TO PUBLIC", "others than its owner"},
		"a column":       {"GRANT INSERT (id), UPDATE (rejected_by) ON TABLE_ TO OTHER", "others than its owner"},
		"a trigger":      {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER x BEFORE INSERT ON TABLE_ FOR EACH ROW EXECUTE FUNCTION f()", "triggers"},
		"a rule":         {"CREATE RULE x AS ON INSERT TO TABLE_ DO NOTHING", "rules"},
		"a view":         {"DROP TABLE TABLE_; CREATE VIEW TABLE_ AS SELECT ''::bytea AS id, ''::text AS rejected_by, now() AS rejected_at; ALTER VIEW TABLE_ OWNER TO OURS", "is no table"},
		"tables below":   {"CREATE TABLE more () INHERITS (TABLE_)", "tables below"},
		"read by all":    {"GRANT SELECT ON TABLE_ TO PUBLIC", ""},
		"nothing at all": {"SELECT 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d.Exec(t, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC")
			if err := w.Reject(t.Context(), "pod-7", []Secret{versioned}); err != nil {
				t.Fatal(err)
			}
			d.Exec(t, strings.NewReplacer("TABLE_", RejectionsTable, "OTHER", pgx.Identifier{other}.Sanitize(), "OURS", pgx.Identifier{ours}.Sanitize()).Replace(test.sql))
			fresh := join(t, at(as(t, d, ours)))
			got, err := fresh.Rejected(t.Context(), []Secret{versioned})
			again := fresh.Reject(t.Context(), "pod-8", []Secret{versioned})
			if test.part == "" {
				if len(got) != 1 || err != nil || again != nil {
					t.Errorf("%v, %v, %v", got, err, again)
				}
				return
			}
			for _, err := range []error{err, again} {
				if sources.KindOf(err) != sources.Denied || !strings.Contains(err.Error(), test.part) || !strings.Contains(err.Error(), "not believed") || sources.HintOf(err) == "" {
					t.Errorf("%v", err)
				}
			}
			if len(got) != 0 || d.Text(t, "SELECT count(*)::text FROM "+RejectionsTable+" WHERE rejected_by = 'pod-8'") != "0" {
				t.Errorf("believed, or written to: %v", got)
			}
		})
	}
}

// Without the right to make a table there is an error that says so, and all else works.
func TestRejectNotAllowed(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	d.Exec(t, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	w := join(t, at(as(t, d, d.Role(t, "x"))))
	if err := w.Reject(t.Context(), "pod-7", []Secret{versioned}); sources.KindOf(err) != sources.Denied {
		t.Errorf("%v", err)
	}
	if got := w.rejected(versioned); len(got) != 0 {
		t.Errorf("%v", got)
	}
	w.take(Turn{}, nil).had().giveBack()
	// Default privileges that let others write are found out before anything is written.
	e := pgtest.Shared(t).Database(t)
	role := e.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s")
	e.Exec(t, "ALTER DEFAULT PRIVILEGES FOR ROLE "+pgx.Identifier{role}.Sanitize()+" GRANT INSERT ON TABLES TO PUBLIC")
	if err := join(t, at(as(t, e, role))).Reject(t.Context(), "pod-7", []Secret{versioned}); sources.KindOf(err) != sources.Denied {
		t.Errorf("%v", err)
	}
}

// Functions that somebody else has put into the schema public are not called: they would
// have our rights.
func TestFunctionsOfOthers(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	ours, other := d.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s"), d.Role(t, "x", "GRANT CREATE ON SCHEMA public TO %s")
	// PostgreSQL takes what fits the types of the arguments best before what is its own.
	d.Exec(t, `SET ROLE `+pgx.Identifier{other}.Sanitize()+`;
		CREATE FUNCTION public.steal(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'count of another was called'; END $$;
		CREATE AGGREGATE public.count(int) (SFUNC = public.steal, STYPE = int, INITCOND = '0');
		CREATE FUNCTION public.unnest(bytea[]) RETURNS SETOF bytea LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'unnest of another was called'; END $$;
		RESET ROLE`)
	w := join(t, at(as(t, d, ours)))
	busy := w.take(Turn{}, nil).had()
	next := join(t, at(as(t, d, ours))).take(Turn{Parallel: 2}, nil).had()
	busy.giveBack()
	next.giveBack()
	if err := w.Reject(t.Context(), "pod-7", []Secret{versioned}); err != nil {
		t.Error(err)
	}
	if got := w.rejected(versioned); got[versioned].By != "pod-7" {
		t.Errorf("%v", got)
	}
}
