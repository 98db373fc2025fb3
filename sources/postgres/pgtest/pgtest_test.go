package pgtest

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(M{m}) }

func connect(t *testing.T, address string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err == nil {
		err = conn.Close(t.Context())
	}
	return err
}

func code(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

func TestShared(t *testing.T) {
	s := Shared(t)
	a, b := s.Database(t), s.Database(t)
	a.Exec(t, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
	if got := a.Text(t, "SELECT n FROM t"); got != "7" {
		t.Errorf("got %q", got)
	}
	if got := b.Text(t, "SELECT count(*) FROM pg_tables WHERE tablename = 't'"); got != "0" {
		t.Error("two tests have one database")
	}
	const password = `with space, 'quote', "quotes" and back\slash`
	role := a.Role(t, password, "GRANT tls_only TO %s")
	if err := connect(t, a.As(role, password)+"?sslmode=verify-full&sslrootcert="+url.QueryEscape(s.CAFile)); err != nil {
		t.Error(err)
	}
	if err := connect(t, a.As(role, password)+"?sslmode=disable"); code(err) != "28000" {
		t.Errorf("without TLS: %v", err)
	}
	if name := "\u00e9 " + password; connect(t, a.As(a.Role(t, name), name)) != nil {
		t.Error("a password beyond ASCII is not the same on both sides")
	}
	if err := connect(t, a.As(role, "other")); code(err) != "28P01" {
		t.Errorf("with another password: %v", err)
	}
	if err := connect(t, a.URL()+"?sslmode=verify-full&sslrootcert="+url.QueryEscape(OtherCA(t))); err == nil {
		t.Error("an authority that has signed nothing is believed")
	}
}

func TestRestart(t *testing.T) {
	s := Start(t, Options{NoTLS: true, Config: []string{"max_connections=17"}})
	d := s.Database(t)
	d.Exec(t, "CREATE TABLE t ()")
	if got := d.Text(t, "SELECT current_setting('max_connections')"); got != "17" {
		t.Errorf("max_connections is %s", got)
	}
	conn := d.Connect(t)
	s.Stop(t)
	if _, err := conn.Exec(t.Context(), "SELECT 1"); code(err) != "57P01" {
		t.Errorf("over a stop: %v", err)
	}
	if err := connect(t, d.URL()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while it is down: %v", err)
	}
	s.Restart(t)
	if got := d.Text(t, "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("the data is gone: %s", got)
	}
}

func TestTerminate(t *testing.T) {
	d := Shared(t).Database(t)
	config, err := pgx.ParseConfig(d.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "victim"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if n := d.Terminate(t, "victim"); n != "1" {
		t.Errorf("%s were ended", n)
	}
	if _, err := conn.WaitForNotification(t.Context()); code(err) != "57P01" {
		t.Errorf("%v", err)
	}
}

// TestKept: what one statement leaves in its session is not there for the next,
// statements run beside each other, and a connection that was ended is made anew.
func TestKept(t *testing.T) {
	d := Shared(t).Database(t)
	d.Exec(t, "SET application_name = 'left'; CREATE TEMP TABLE t (); LISTEN c; SELECT pg_advisory_lock(7)")
	const left = `SELECT concat_ws(' ', current_setting('application_name'), to_regclass('t'), (SELECT count(*) FROM pg_listening_channels()),
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))`
	if got := d.Text(t, left); strings.TrimSpace(got) != "0 0" {
		t.Errorf("left behind: %s", got)
	}
	const who = "SELECT pg_backend_pid()"
	first := d.Text(t, who)
	d.do(t, func(context.Context, *pgx.Conn) error {
		if d.Text(t, who) == first {
			t.Error("two at a time have one connection")
		}
		return nil
	})
	d.admin(t, "SELECT pg_terminate_backend(pid, 100000) FROM pg_stat_activity WHERE datname = '"+d.Name+"'")
	if got := d.Text(t, who); got == first {
		t.Error("it was not ended")
	}
}

// TestTemplate: a server is made of what another was made of, or anew where that
// cannot be read, with its password either way.
func TestTemplate(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("go.mod", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	identity := func() (system, password string) {
		s := Start(t, Options{NoTLS: true})
		defer s.stop()
		return (&Database{Server: s, Name: "postgres"}).Text(t, "SELECT system_identifier FROM pg_control_system()"), s.Password
	}
	system, password := identity()
	if again, same := identity(); again != system || same != password {
		t.Error("initdb ran again")
	}
	kept, err := filepath.Glob(".cache/pgtest/*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	if info, err := os.Stat(kept[0]); err != nil || info.Mode() != 0o600 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
	if err := os.Truncate(kept[0], 100_000); err != nil {
		t.Fatal(err)
	}
	if other, _ := identity(); other == system {
		t.Error("half an archive was used")
	}
}

// TestKilled kills the keeper's input the way that the end of a test binary
// does.
func TestKilled(t *testing.T) {
	s := Start(t, Options{NoTLS: true})
	pid, err := os.ReadFile(s.DataDir + "/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	keeper, in := s.keeper, s.stdin
	s.keeper = nil
	s.mu.Unlock()
	_ = in.Close()
	<-s.ended
	_ = keeper.Wait()
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	if err := exec.Command("kill", "-0", first).Run(); err == nil {
		t.Error("the server still runs")
	}
}
