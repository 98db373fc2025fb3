//go:build unix

package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/postgres"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch/cluster"
)

// joined is a watcher's connection to the cluster, and what it was asked for.
type joined struct {
	*members
	asked chan cluster.Reason
	t     *testing.T
}

func joinCluster(t *testing.T, flags Cluster, environment map[string]string, source sources.Source) (*joined, error) {
	t.Helper()
	j := &joined{asked: make(chan cluster.Reason, 10), t: t}
	getenv := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	var err error
	j.members, err = flags.join(context.Background(), getenv, source, slog.New(slog.DiscardHandler), func(why cluster.Reason) { j.asked <- why })
	if err == nil {
		t.Cleanup(j.Close)
	}
	return j, err
}

func (j *joined) want(why cluster.Reason) {
	j.t.Helper()
	select {
	case got := <-j.asked:
		if got != why {
			j.t.Errorf("asked since %q, want %q", got, why)
		}
	case <-time.After(patience):
		j.t.Errorf("not asked to refresh since %q", why)
	}
}

func openPostgres(t *testing.T, address string) sources.Store {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := postgres.Backend.Open(t.Context(), sources.Settings{
		"url": sources.NewSecret([]byte(address)), "identity": sources.NewSecret([]byte(identity.String())),
	}, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler), Write: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened.(sources.Store)
}

// A watcher hears of a flush of another, and of a write to the store that it
// reads from: over one connection where both are in one database.
func TestCluster(t *testing.T) {
	server := pgtest.Shared(t)
	d, elsewhere := server.Database(t), server.Database(t)
	environment := map[string]string{"URL": d.URL()}
	flags := Cluster{Database: "env.URL"}
	store, other := openPostgres(t, d.URL()), openPostgres(t, elsewhere.URL())
	for name, test := range map[string]struct {
		flags       Cluster
		source      sources.Store
		connections int
	}{
		"one database": {flags, store, 1}, "two": {flags, other, 2}, "the store alone": {Cluster{}, store, 1}, "the cluster alone": {flags, nil, 1}, "neither": {Cluster{}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var source sources.Source
			if test.source != nil {
				source = test.source
			}
			w, err := joinCluster(t, test.flags, environment, source)
			if err != nil {
				t.Fatal(err)
			}
			if len(w.all) != test.connections {
				t.Errorf("%d connections, want %d", len(w.all), test.connections)
			}
			if test.flags.Database != "" {
				peer, err := joinCluster(t, flags, environment, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := peer.Notify(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.want(cluster.Flushed)
				if err := w.Notify(t.Context()); err != nil {
					t.Fatal(err)
				}
				peer.want(cluster.Flushed)
			} else if err := w.Notify(t.Context()); err != nil {
				t.Errorf("without a cluster: %v", err)
			}
			if source != nil {
				_, err := test.source.Put(t.Context(), sources.Write{Name: name, Value: sources.NewSecret([]byte("x")), Mark: sources.Mark{Owner: "o"}, Token: sources.NewToken()})
				if err != nil {
					t.Fatal(err)
				}
				w.want(cluster.Changed)
			}
		})
	}
}

func TestClusterRefused(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	proxy := d.Proxy(t)
	proxy.Pool()
	pooled := strings.Replace(d.URL(), fmt.Sprint(":", d.Port), fmt.Sprint(":", proxy.Port), 1) + "?sslmode=disable"
	for name, test := range map[string]struct {
		flags Cluster
		part  string
	}{
		"password": {Cluster{Database: "postgres://u:CANARY@h/d"}, "can be read by others"},
		"in query": {Cluster{Database: "postgres://u@h/d?password=CANARY"}, "can be read by others"},
		"keywords": {Cluster{Database: "host=h password=CANARY"}, "can be read by others"},
		"of a key": {Cluster{Database: "postgres://u@h/d?sslpassword=CANARY"}, "can be read by others"},
		"unset":    {Cluster{Database: "env.NONE"}, "env.NONE is not set"},
		"address":  {Cluster{Database: "env.BAD"}, "url is not an address of PostgreSQL"},
		"pooler":   {Cluster{Database: "env.POOLED"}, "a pooler in transaction mode"},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&Options{Cluster: test.flags, Interval: time.Hour, ApplyTimeout: time.Minute}).checkLoop()
			if err == nil {
				var j *joined
				// Whoever starts waits for five seconds, which a busy machine may take to find a pooler out.
				for late := time.Now().Add(patience); err == nil && time.Now().Before(late); {
					if j, err = joinCluster(t, test.flags, map[string]string{"BAD": "CANARY", "POOLED": pooled}, nil); err == nil {
						j.Close()
					}
				}
			}
			if err == nil || !strings.Contains(err.Error(), test.part) || strings.Contains(err.Error(), "CANARY") || !isUsage(err) {
				t.Errorf("%v", err)
			}
		})
	}
	// A store can be read through a pooler, and then is read at the interval.
	w, err := joinCluster(t, Cluster{}, nil, openPostgres(t, pooled))
	if err != nil || len(w.all) != 0 {
		t.Errorf("%v", err)
	}
	for _, good := range []string{"", "env.URL", "postgres://u@h:5432/d?sslmode=verify-full"} {
		c := Cluster{Database: good}
		if err := checkAddress("--cluster", c.Database); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func isUsage(err error) bool {
	var own *Error
	return errors.As(err, &own) && own.Code == ExitUsage
}

// The word that has a watcher list itself stands alone or behind an address, of which
// it is no part.
func TestClusterTable(t *testing.T) {
	for given, want := range map[string]Cluster{
		"": {}, "none": {Database: "none"}, "table": {Listed: true}, "env.URL": {Database: "env.URL"}, "env.URL,table": {Database: "env.URL", Listed: true},
		"postgres://u@h/d?sslmode=verify-full,table": {Database: "postgres://u@h/d?sslmode=verify-full", Listed: true},
		"postgres://u@h1,h2/d":                       {Database: "postgres://u@h1,h2/d"}, "postgres://u@h1,h2/d,table": {Database: "postgres://u@h1,h2/d", Listed: true},
		"postgres://u@h/table": {Database: "postgres://u@h/table"},
	} {
		c := Cluster{Database: given}
		if err := c.takeListed(); err != nil || c.Database != want.Database || c.Listed != want.Listed {
			t.Errorf("%q: %+v, %v", given, c, err)
		}
	}
	c := Cluster{Database: "none,table"}
	if err := c.takeListed(); err == nil {
		t.Error("none,table is taken")
	}
	// Who asks for it and has no database is told.
	var log strings.Builder
	for _, c := range []Cluster{{}, {Listed: true}} {
		m, err := c.join(t.Context(), nil, nil, slog.New(slog.NewTextHandler(&log, nil)), nil)
		if err != nil || m.flush != nil {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "no PostgreSQL config store") {
		t.Errorf("the log: %s", text)
	}
}
