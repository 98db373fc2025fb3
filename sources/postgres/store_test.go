package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
)

func TestSettings(t *testing.T) {
	id := newIdentity(t)
	for name, test := range map[string]struct {
		pairs []string
		parts []string
	}{
		"unknown":     {[]string{"url", "postgres://h/d", "database", "x"}, []string{"not known: database", "db_name"}},
		"empty":       {[]string{"host", " "}, []string{"host is empty", "environment variable"}},
		"nowhere":     {[]string{"user", "u"}, []string{"neither a url nor a host"}},
		"both":        {[]string{"url", "postgres://u:" + canary + "@h/d", "host", "h"}, []string{"url is set beside"}},
		"url":         {[]string{"url", canary}, []string{"url is not an address"}},
		"schema":      {[]string{"host", "h", "schema", "Bad Name"}, []string{"schema is not a plain name"}},
		"long schema": {[]string{"host", "h", "schema", strings.Repeat("x", 49)}, []string{"schema is not"}},
		"keep":        {[]string{"host", "h", "keep", "0"}, []string{"keep is no number from 1 to 1000"}},
		"keep text":   {[]string{"host", "h", "keep", "ten"}, []string{"keep is no number"}},
		"mode":        {[]string{"host", "h", "ssl_mode", "on"}, []string{"ssl_mode is none", "verify-full"}},
		"authority":   {[]string{"host", "h", "ssl_root_cert", "none.pem"}, []string{"ssl_root_cert: it does not exist"}},
		"nobody":      {[]string{"host", "h"}, []string{"neither recipients nor an identity"}},
		"mixed up":    {[]string{"host", "h", "recipients", id.String()}, []string{"recipients holds an identity"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := sources.Settings{}
			for i := 0; i < len(test.pairs); i += 2 {
				set[test.pairs[i]] = secret(test.pairs[i+1])
			}
			s, err := Backend.Open(t.Context(), set, options(t))
			if s != nil {
				t.Error("opened")
			}
			wantError(t, err, sources.BadSettings, test.parts...)
			if sources.HintOf(err) == "" {
				t.Error("no hint")
			}
		})
	}
	// A path starts at the folder of the document.
	o := options(t)
	o.Dir, o.Write = filepath.Dir(pgtest.OtherCA(t)), false
	s, err := Backend.Open(t.Context(), sources.Settings{"host": secret("h"), "db_name": secret("d"), "ssl_mode": secret("verify-full"), "ssl_root_cert": secret("other-ca.pem"), "identity": secret("key.txt")}, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.(sources.Store); ok {
		t.Error("what was not opened to write can write")
	}
	if got := s.Describe(); got != "postgres d on h:5432" {
		t.Error(got)
	}
	if got := s.(*source).Inputs(); len(got) != 1 || got[0] != filepath.Join(o.Dir, "key.txt") {
		t.Errorf("inputs %q", got)
	}
}

func TestVersionsAreKept(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	id := newIdentity(t)
	s := openStore(t, settings(d, "identity", id.String(), "keep", "3"))
	s.put(t, "other", canary)
	var last string
	for i := range 6 {
		last = s.put(t, "key", fmt.Sprint(canary, i))
	}
	s.want(t, "key", canary+"5")
	if got := d.Text(t, "SELECT string_agg(version::text, ' ' ORDER BY version) FROM bifrost_secrets.secret_version WHERE name = 'key'"); got != "5 6 7" && !strings.HasSuffix(got, last) {
		t.Errorf("kept %s", got)
	}
	if got := d.Text(t, "SELECT count(*) FROM bifrost_secrets.secret_version WHERE name = 'key'"); got != "3" {
		t.Errorf("%s versions are kept", got)
	}
	s.want(t, "other", canary)
	// With another number at the next write.
	s = openStore(t, settings(d, "identity", id.String(), "keep", "1"))
	s.put(t, "key", "last")
	if got := d.Text(t, "SELECT count(*) FROM bifrost_secrets.secret_version WHERE name = 'key'"); got != "1" {
		t.Errorf("%s versions are kept", got)
	}
	// A name that is used anew does not get an old version back.
	if err := s.Delete(t.Context(), "key", owner, sources.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := s.put(t, "key", "new"); again <= last {
		t.Errorf("version %s after %s", again, last)
	}
}

func TestCopiedRows(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	s := openStore(t, settings(d, "identity", newIdentity(t).String()))
	s.put(t, "admin", canary+" of the administrator")
	s.put(t, "mine", canary+" old")
	s.put(t, "mine", canary+" new")
	fetch := func(name string) error { return s.Fetch(t.Context(), []string{name})[name].Err }

	d.Exec(t, "UPDATE bifrost_secrets.secret_version SET sealed = (SELECT sealed FROM bifrost_secrets.secret_version WHERE name = 'admin') WHERE name = 'mine'")
	wantError(t, fetch("mine"), sources.Unusable, `"mine" in postgres`, `sealed for "admin"`, "look who may write")
	s.want(t, "admin", canary+" of the administrator")

	s.put(t, "mine", canary+" newer")
	s.put(t, "mine", canary+" newest")
	d.Exec(t, "UPDATE bifrost_secrets.secret_version v SET sealed = (SELECT sealed FROM bifrost_secrets.secret_version WHERE name = 'mine' ORDER BY version DESC OFFSET 1 LIMIT 1) "+
		"FROM bifrost_secrets.secret s WHERE s.name = 'mine' AND (v.name, v.version) = (s.name, s.version)")
	wantError(t, fetch("mine"), sources.Unusable, "sealed for version")

	d.Exec(t, "DELETE FROM bifrost_secrets.secret_version WHERE name = 'mine'")
	wantError(t, fetch("mine"), sources.Disabled, "has lost its version")
	s.put(t, "mine", "mended")
	s.want(t, "mine", "mended")
}

// TestStolen looks for values, and for the key, in all that the server has: in a
// dump, and in every file of its data directory, the log of writes included.
func TestStolen(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Config: []string{"log_statement=all", "log_min_duration_statement=0", "log_parameter_max_length_on_error=-1"}})
	d := server.Database(t)
	id := newIdentity(t)
	s := openStore(t, settings(d, "identity", id.String()))
	values := []string{canary, canary + strings.Repeat(" long", 5000), `{"password":"` + canary + `"}`}
	for i, value := range values {
		for range 2 {
			s.put(t, fmt.Sprint("app/key-", i), value)
		}
		s.want(t, fmt.Sprint("app/key-", i), value)
	}
	_, err := s.Put(t.Context(), write("app/key-0", canary, "7777"))
	wantError(t, err, sources.Conflict)
	d.Exec(t, "CHECKPOINT")
	searched := 0
	look := func(where string, data string) {
		searched++
		for _, text := range []string{canary, "43414e4152592d39303537", "Q0FOQVJZLTkwNT", "AGE-SECRET-KEY"} {
			if strings.Contains(data, text) {
				t.Errorf("%s has a value or the key, as %.10q", where, text)
			}
		}
	}
	dump := d.Text(t, "SELECT string_agg(s::text || v::text || encode(v.sealed, 'escape'), '') FROM bifrost_secrets.secret s JOIN bifrost_secrets.secret_version v USING (name)")
	if !strings.Contains(dump, "app/key-1") || !strings.Contains(dump, "age-encryption.org") {
		t.Fatal("the tables were not read")
	}
	look("the tables", dump)
	if program := server.Program("pg_dump"); program == "" {
		t.Log("there is no pg_dump here: the files are searched alone")
	} else {
		out, err := exec.Command(program, d.URL()).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "app/key-1") {
			t.Fatalf("%v: %s", err, out)
		}
		look("the dump", string(out))
	}
	server.Stop(t) // which writes everything out
	look("the log", server.Log())
	if !strings.Contains(server.Log(), "INSERT INTO \"bifrost_secrets\"") {
		t.Error("the server did not log statements: the test shows nothing")
	}
	err = filepath.WalkDir(server.DataDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, string(data))
		return err
	})
	if err != nil || searched < 100 {
		t.Errorf("%d files were searched: %v", searched, err)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	id := newIdentity(t)
	s := openStore(t, settings(d, "identity", id.String()))
	s.put(t, "there", canary)
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("app/key-%04d", i))
	}
	d.Exec(t, "INSERT INTO bifrost_secrets.secret (name, version) SELECT format('app/key-%s', to_char(i, 'FM0000')), 0 FROM generate_series(0, 2498) i")
	count := new(counter)
	s.target = s.target.Traced(count)
	_ = s.Close() // the connections that it has are not traced
	got := s.Fetch(t.Context(), append(names, "there", "\n"))
	if count.requests() != 3 || s.Plan(append(names, "there", "\n")).Total() != 3 {
		t.Errorf("%d requests, and %d planned, want 3", count.requests(), s.Plan(names).Total())
	}
	if len(got) != 2502 || got["there"].Err != nil {
		t.Errorf("%d answers: %v", len(got), got["there"].Err)
	}
	wantError(t, got["app/key-2499"].Err, sources.NotFound)
	wantError(t, got["app/key-2498"].Err, sources.Disabled)
}

func TestWriterWithoutIdentity(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	a, b := newIdentity(t), newIdentity(t)
	both := a.Recipient().String() + ", " + b.Recipient().String()
	writer := openStore(t, settings(d, "recipients", both))
	writer.put(t, "key", canary)
	wantError(t, writer.Fetch(t.Context(), []string{"key"})["key"].Err, sources.NoLogin, "vault_store.postgres.identity is not set")
	for _, id := range []*age.X25519Identity{a, b} {
		openStore(t, settings(d, "identity", id.String(), "recipients", both)).want(t, "key", canary)
	}
	other := openStore(t, settings(d, "identity", newIdentity(t).String()))
	wantError(t, other.Fetch(t.Context(), []string{"key"})["key"].Err, sources.Denied, "sealed for other keys")
	// Nothing is written that its writer could not read, if it can read at all.
	blind := openStore(t, settings(d, "identity", a.String(), "recipients", b.Recipient().String()))
	_, err := blind.Put(t.Context(), write("new", canary, ""))
	wantError(t, err, sources.BadSettings, "could not be read back")
}

func TestNothingStored(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	s := openStore(t, settings(d, "identity", newIdentity(t).String()))
	wantError(t, s.Fetch(t.Context(), []string{"a"})["a"].Err, sources.NotFound, `no tables in the schema "bifrost_secrets"`, "secret put")
	wantError(t, s.Ping(t.Context(), ""), sources.NotFound, "no tables")
	if item := s.Inspect(t.Context(), []string{"a"})["a"]; item != (sources.Item{Name: "a"}) {
		t.Errorf("%+v", item)
	}
	if items, err := s.List(t.Context(), ""); err != nil || len(items) > 0 {
		t.Errorf("%v %v", items, err)
	}
	if got := d.Text(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'bifrost_secrets'"); got != "0" {
		t.Error("reading has made the schema")
	}
	// Many first writers at once.
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			one := openStore(t, settings(d, "identity", newIdentity(t).String()))
			if _, err := one.Put(t.Context(), write(fmt.Sprint("key-", i), canary, "")); err != nil {
				t.Error(err, sources.HintOf(err))
			}
		})
	}
	all.Wait()
	if items, err := s.List(t.Context(), ""); err != nil || len(items) != 8 {
		t.Errorf("%v %v", items, err)
	}
}

// TestNotify: each write that changes something is told of once it is
// committed, on the channel that the source names.
func TestNotify(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	s := openStore(t, settings(d, "identity", newIdentity(t).String()))
	target, channel := s.Changes()
	conn, err := target.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close(conn)
	if _, err := conn.Exec(t.Context(), "LISTEN "+channel); err != nil {
		t.Fatal(err)
	}
	heard := func(what string) {
		t.Helper()
		n, err := conn.WaitForNotification(t.Context())
		if err != nil || n.Channel != "bifrost_secrets_changed" || n.Payload != "" {
			t.Errorf("%s: %+v %v", what, n, err)
		}
	}
	w := write("key", canary, "")
	if _, err := s.Put(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	heard("put")
	s.want(t, "key", canary)
	// None of these changes anything.
	_, _ = s.Put(t.Context(), w)
	_, _ = s.Put(t.Context(), write("key", canary, "777"))
	_ = s.Delete(t.Context(), "key", "another", sources.DeleteOptions{})
	_ = s.Delete(t.Context(), "none", owner, sources.DeleteOptions{})
	if err := s.Delete(t.Context(), "key", owner, sources.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	heard("delete")
	if _, err := conn.Exec(t.Context(), "NOTIFY "+channel+", 'last'"); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.WaitForNotification(t.Context()); err != nil || n.Payload != "last" {
		t.Errorf("told of what did not change: %+v %v", n, err)
	}
}

// TestRestart: the connections of before are no obstacle after it.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{NoTLS: true})
	d := server.Database(t)
	s := openStore(t, settings(d, "identity", newIdentity(t).String()))
	s.put(t, "key", canary)
	server.Stop(t)
	wantError(t, s.Fetch(t.Context(), []string{"key"})["key"].Err, sources.Unreachable)
	wantError(t, s.Fetch(t.Context(), []string{"key"})["key"].Err, sources.Unreachable, "refuses connections")
	server.Restart(t)
	s.want(t, "key", canary)
	s.put(t, "key", canary+"2")
	d.Terminate(t, "bifrost-secrets")
	// One fetch may meet a connection that was ended; the next does not.
	s.Fetch(context.Background(), []string{"key"})
	s.want(t, "key", canary+"2")
}
