//go:build unix

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/postgres/pgtest"
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
	var lodges []*lodge
	for i := range 3 {
		s := newLodge(t)
		s.write(filepath.Join(s.app, "config.source.json"), keysFor(awsStore(""), "vault.openai"))
		for name, value := range f.Env() {
			s.env = append(s.env, name+"="+value)
		}
		s.env = append(s.env, "CLUSTER="+db.URL())
		r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"),
			"--apply", "none", "--cluster", "env.CLUSTER", "--listen", fmt.Sprintf("unix:%s/%d.sock", s.dir, i), "--verbose")
		r.logs("listening for flushes")
		all, lodges = append(all, r), append(lodges, s)
	}
	rotate := func(value string) { f.Put("openai", value) }
	flush := func(i int) {
		t.Helper()
		if code, _, stderr := process(t, lodges[i].dir, nil, "flush", "--address", fmt.Sprintf("unix:%s/%d.sock", lodges[i].dir, i)); code != exitDone {
			t.Fatalf("the flush ended with %d: %s", code, stderr)
		}
	}
	have := func(value string) {
		t.Helper()
		for i, s := range lodges {
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
	all[2].logs("were not told of a flush")
	server.Restart(t)
	hear(2)
	have("CANARY-5")
	for _, r := range all {
		r.signal(syscall.SIGTERM)
		r.ends(0)
	}
}

// A pooler that keeps notifications to itself is refused at the start, and so is
// a password that everybody could read.
func TestWatchClusterRefuses(t *testing.T) {
	t.Parallel()
	s := newLodge(t)
	db := pgtest.Shared(t).Database(t)
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "none", "--cluster", db.URL())
	r.logs("--cluster: an address with a password on the command line can be read by others")
	r.ends(exitUsage)
}
