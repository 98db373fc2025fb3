//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/postgres"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/cluster"
)

// Three watchers and one database: a flush at one refreshes all three, also when
// their connections were ended, and when PostgreSQL was restarted meanwhile.
func TestWatchCluster(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	db := server.Database(t)
	f := awstest.StartFake(t)
	f.Put("openai", "CANARY-1")
	var all []*running
	var harnesses []*harness
	for i := range 3 {
		s := newHarness(t)
		s.write(filepath.Join(s.app, "config.source.json"), keysFor(awsStore(""), "vault.openai"))
		for name, value := range f.Env() {
			s.env = append(s.env, name+"="+value)
		}
		s.env = append(s.env, "CLUSTER="+db.URL())
		r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"),
			"--apply", "none", "--cluster", "env.CLUSTER,table", "--listen", fmt.Sprintf("unix:%s/%d.sock", s.dir, i), "--verbose")
		r.logs("listening for flushes")
		all, harnesses = append(all, r), append(harnesses, s)
	}
	rotate := func(value string) { f.Put("openai", value) }
	flush := func(i int) {
		t.Helper()
		if code, _, stderr := process(t, harnesses[i].dir, nil, "flush", "--address", fmt.Sprintf("unix:%s/%d.sock", harnesses[i].dir, i)); code != exitDone {
			t.Fatalf("the flush ended with %d: %s", code, stderr)
		}
	}
	have := func(value string) {
		t.Helper()
		for i, s := range harnesses {
			if !strings.Contains(s.published(), `"`+value+`"`) {
				t.Errorf("watcher %d has not %s", i, strings.TrimPrefix(value, "CANARY-"))
			}
		}
	}
	hear := func(from int) {
		t.Helper()
		for i, r := range all {
			if i != from {
				r.logs(`"trigger":"notify","result":"changed"`)
			}
		}
	}
	rotate("CANARY-2")
	flush(0)
	hear(0)
	have("CANARY-2")
	shown := func(what string, right func(watch.Status) bool) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			code, stdout, stderr := process(t, harnesses[1].dir, nil, "status", "--cluster", "--json", "--address", fmt.Sprintf("unix:%s/1.sock", harnesses[1].dir))
			var st watch.Status
			if err := json.Unmarshal([]byte(stdout), &st); err == nil && right(st) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d %s%s", what, code, stdout, stderr)
			}
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	shown("nobody is behind", func(st watch.Status) bool {
		return len(st.Cluster) == 3 && !slices.ContainsFunc(st.Cluster, func(p watch.Peer) bool {
			return p.Host != host || len(p.Behind) > 0 || len(p.References) != 1 || p.References[0].Version != st.References[0].Version || p.References[0].State != watch.Delivered
		})
	})
	code, stdout, _ := process(t, harnesses[1].dir, nil, "status", "--cluster", "--address", fmt.Sprintf("unix:%s/1.sock", harnesses[1].dir))
	if code != exitDone || !strings.Contains(stdout, "BEHIND") || !regexp.MustCompile(`(?m)^vault\.openai +\S+ +20\S+.* all$`).MatchString(stdout) {
		t.Errorf("%d %s", code, stdout)
	}
	if rows := db.Text(t, "SELECT string_agg(w::text, ' ') FROM "+cluster.WatchersTable+" w"); strings.Contains(rows, "CANARY") || strings.Contains(rows, "fingerprint") || !strings.Contains(rows, "vault.openai") {
		t.Errorf("in the table there is: %s", rows)
	}
	// SIGHUP is a flush too.
	rotate("CANARY-3")
	all[1].signal(syscall.SIGHUP)
	all[1].logs(`"trigger":"signal","result":"changed"`)
	hear(1)
	have("CANARY-3")
	// What is told of while a connection is down is caught up on.
	rotate("CANARY-4")
	db.Terminate(t, "bifrost-secrets cluster")
	hear(-1)
	have("CANARY-4")
	// While PostgreSQL is down, nothing else is.
	server.Stop(t)
	rotate("CANARY-5")
	flush(2)
	all[2].logs("were not notified of a flush")
	server.Restart(t)
	hear(2)
	have("CANARY-5")
	all[0].signal(syscall.SIGTERM)
	all[0].ends(0)
	shown("one has ended", func(st watch.Status) bool { return len(st.Cluster) == 2 })
	for _, r := range all[1:] {
		r.signal(syscall.SIGTERM)
		r.ends(0)
	}
	if n := db.Text(t, "SELECT count(*)::text FROM "+cluster.WatchersTable); n != "0" {
		t.Errorf("%s rows are left", n)
	}
}

// The store that is in force is listened to: also one that the vault_store names
// since a while, and one that did not answer at the start.
func TestFollowsStore(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	first, second := server.Database(t), server.Database(t)
	s := newHarness(t)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "FIRST="+first.URL(), "SECOND="+second.URL(), "AGE="+identity.String())
	versions := map[string]string{}
	put := func(url, value string) {
		t.Helper()
		opened, err := postgres.Backend.Open(t.Context(), sources.Settings{"url": sources.NewSecret([]byte(url)), "identity": sources.NewSecret([]byte(identity.String()))},
			sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler), Write: true})
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		versions[url], err = opened.(sources.Store).Put(t.Context(), sources.Write{Name: "openai", Value: sources.NewSecret([]byte(value)), Mark: sources.Mark{Owner: "o"}, Expect: versions[url], Token: sources.NewToken()})
		if err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(s.app, "config.source.json")
	of := func(name string) string {
		return keysFor(`, "config_store": {"vault_store": {"enabled": true, "type": "postgres", "postgres": {"url": "env.`+name+`", "identity": "env.AGE"}}}`, "vault.openai")
	}
	put(first.URL(), "CANARY-1")
	put(second.URL(), "CANARY-2")
	s.write(config, of("FIRST"))
	r := s.start("exec", "--app-dir", s.app, "--apply", "none", "--listen", "none", "--start-from-last-good", "1h", "--", "sh", "-c", "echo started; exec sleep 1000")
	r.logs("listening for changes of the store")
	r.says("started")
	s.write(config, of("SECOND"))
	r.logs("listening for changes of the store")
	put(second.URL(), "CANARY-3")
	r.logs(`"trigger":"notify","result":"changed"`)
	if !strings.Contains(s.published(), "CANARY-3") {
		t.Error("what was published is not of the store in force")
	}
	r.signal(syscall.SIGTERM)
	r.ends(143)
	server.Stop(t)
	r = s.start("exec", "--app-dir", s.app, "--apply", "none", "--listen", "none", "--start-from-last-good", "1h", "--verbose", "--", "sleep", "1000")
	r.logs("started with the last good values")
	server.Restart(t)
	r.logs("listening for changes of the store")
	put(second.URL(), "CANARY-4")
	r.logs(`"trigger":"notify","result":"changed"`)
	r.signal(syscall.SIGTERM)
	r.ends(143)
}

// Watchers whose Bifrosts share a config store need no flag for it.
func TestWatchClusterOfConfigStore(t *testing.T) {
	t.Parallel()
	db := pgtest.Shared(t).Database(t)
	f := awstest.StartFake(t)
	f.Put("openai", "CANARY-1")
	role := db.Role(t, "CANARY-db-1")
	f.Put("db", "CANARY-db-1")
	store := strings.TrimSuffix(strings.TrimPrefix(awsStore(""), `, "config_store": {`), "}")
	config := keysFor(fmt.Sprintf(`, "config_store": {"enabled": true, "type": "postgres", "config": {"host": %q, "port": "%d", "user": %q, "password": "vault.db", "db_name": %q, "ssl_mode": "require"}, %s}`,
		db.Host, db.Port, role, db.Name, store), "vault.openai")
	var all []*running
	for range 2 {
		s := newHarness(t)
		s.write(filepath.Join(s.app, "config.source.json"), config)
		for name, value := range f.Env() {
			s.env = append(s.env, name+"="+value)
		}
		r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "unix:"+filepath.Join(s.dir, "sock"))
		r.logs("listening for flushes")
		all = append(all, r)
		if code, _, stderr := process(t, s.dir, nil, "status", "--cluster", "--address", "unix:sock"); code != exitUnresolved || !strings.Contains(stderr, "hint: start each of them with --cluster table") {
			t.Errorf("%d %s", code, stderr)
		}
	}
	f.Put("openai", "CANARY-2")
	all[0].signal(syscall.SIGHUP)
	all[1].logs(`"trigger":"notify","result":"changed"`)
	// The password of the database is rotated: it is signed in with the new one.
	db.Exec(t, "ALTER ROLE "+role+" PASSWORD 'CANARY-db-2'")
	f.Put("db", "CANARY-db-2")
	for _, r := range all {
		r.signal(syscall.SIGHUP)
		r.logs(`"result":"changed"`)
	}
	if n := db.Terminate(t, "bifrost-secrets cluster"); n != "2" {
		t.Errorf("%s listeners were ended", n)
	}
	for _, r := range all {
		r.logs("listening for flushes")
	}
	f.Put("openai", "CANARY-3")
	all[0].signal(syscall.SIGHUP)
	all[1].logs(`"trigger":"notify","result":"changed"`)
	for _, r := range all {
		r.signal(syscall.SIGTERM)
		r.ends(0)
	}
	if there := db.Text(t, "SELECT count(*)::text FROM pg_class WHERE relname LIKE 'bifrost_secrets%'"); there != "0" {
		t.Errorf("%s tables were made that nobody asked for", there)
	}
}

// Who is started with the last good values, in an outage, joins the cluster once it is
// known where that is.
func TestClusterAfterLastGood(t *testing.T) {
	t.Parallel()
	db := pgtest.Shared(t).Database(t)
	s, f := awsHarness(t)
	f.Put("db", db.Password)
	store := strings.TrimSuffix(strings.TrimPrefix(awsStore(""), `, "config_store": {`), "}")
	s.write(filepath.Join(s.app, "config.source.json"), keysFor(fmt.Sprintf(`, "config_store": {"enabled": true, "type": "postgres", "config": {"host": %q, "port": "%d", "user": %q, "password": "vault.db", "db_name": %q, "ssl_mode": "require"}, %s}`,
		db.Host, db.Port, pgtest.Superuser, db.Name, store), "vault.openai"))
	r := s.stub()
	r.logs("listening for flushes")
	r.says("started ")
	r.signal(syscall.SIGTERM)
	r.ends(5)
	f.Set(awstest.Faults{Status: 503})
	r = s.stub("--start-from-last-good", "24h")
	r.logs("started with the last good values")
	r.says("started ")
	f.Set(awstest.Faults{})
	r.logs("listening for flushes")
	r.signal(syscall.SIGTERM)
	r.ends(5)
}

// A pooler that keeps notifications to itself is refused at the start, and so is
// a password that everybody could read.
func TestWatchClusterRefuses(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	db := pgtest.Shared(t).Database(t)
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "none", "--cluster", db.URL())
	r.logs("--cluster: an address with a password on the command line can be read by others")
	r.ends(exitUsage)
}
