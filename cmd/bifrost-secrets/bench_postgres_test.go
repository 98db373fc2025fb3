//go:build bench

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/sources/sealed"
	"bifrost-secrets/watch/cluster"
)

// postgres measures the store in PostgreSQL and the flush of a cluster, against
// a real server on loopback.
func (b *bench) postgres() {
	const many = 10_000
	d := pgtest.Start(b.T, pgtest.Options{NoTLS: true, Config: []string{"log_statement=all"}}).Database(b.T)
	identity, err := age.GenerateX25519Identity()
	b.must(err)
	opened, err := postgres.Backend.Open(context.Background(), sources.Settings{
		"url": secretText(d.URL()), "identity": secretText(identity.String()),
	}, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler), Write: true})
	b.must(err)
	defer opened.Close()
	_, err = opened.(sources.Migrator).Migrate(context.Background())
	b.must(err)

	names, texts := b.seed(d, identity, many)
	before := strings.Count(d.Log(), "SELECT s.name")
	fetch := func() {
		for name, r := range opened.Fetch(context.Background(), names) {
			if r.Err != nil {
				b.Fatal(name, r.Err)
			}
		}
	}
	open := func() {
		var all errgroup.Group
		all.SetLimit(runtime.GOMAXPROCS(0))
		for i, text := range texts {
			all.Go(func() error {
				_, err := sealed.Open(text, sealed.Label{Name: names[i], Version: fmt.Sprint(i + 1)}, "", []age.Identity{identity})
				return err
			})
		}
		b.must(all.Wait())
	}
	const times = 3
	took := fastest(times, fetch, open)
	statements := (strings.Count(d.Log(), "SELECT s.name") - before) / times
	if statements != many/1000 {
		b.Errorf("%d statements for %d secrets", statements, many)
	}
	b.row(statements == many/1000, "10,000 secrets from PostgreSQL: statements", "one for 1,000", "%d", statements)
	r := ratio(took[0], took[1])
	b.row(r <= 2, "10,000 secrets from PostgreSQL: time against opening the values alone", "at most 2", "%.2f (%s, %s)", r, ms(took[0]), ms(took[1]))

	b.flush(d)
	b.notified(d)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func secretText(text string) sources.Secret { return sources.NewSecret([]byte(text)) }

// seed stores n secrets behind the store's back, which is quicker than by it.
func (b *bench) seed(d *pgtest.Database, identity *age.X25519Identity, n int) (names []string, texts [][]byte) {
	names, texts = make([]string, n), make([][]byte, n)
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		names[i] = fmt.Sprintf("app/key-%05d", i)
		all.Go(func() (err error) {
			value := secretText(`{"password": "` + strings.Repeat("x", 40) + `", "user": "app"}`)
			texts[i], err = sealed.Seal(sealed.Label{Name: names[i], Version: fmt.Sprint(i + 1)}, value, []age.Recipient{identity.Recipient()})
			return err
		})
	}
	b.must(all.Wait())
	conn := d.Connect(b.T)
	secrets, versions := make([][]any, n), make([][]any, n)
	for i, name := range names {
		secrets[i], versions[i] = []any{name, i + 1}, []any{name, i + 1, texts[i], "", ""}
	}
	_, err := conn.CopyFrom(context.Background(), pgx.Identifier{"bifrost_secrets", "secret"}, []string{"name", "version"}, pgx.CopyFromRows(secrets))
	b.must(err)
	_, err = conn.CopyFrom(context.Background(), pgx.Identifier{"bifrost_secrets", "secret_version"}, []string{"name", "version", "sealed", "recipients", "token"}, pgx.CopyFromRows(versions))
	b.must(err)
	return names, texts
}

// flush measures how long it takes from the flush of one member until all are
// asked to refresh.
func (b *bench) flush(d *pgtest.Database) {
	const members = 50
	target, err := database.New(database.Settings{URL: secretText(d.URL())})
	b.must(err)
	asked := make(chan struct{}, members)
	var all [members]*cluster.Member
	var joining sync.WaitGroup
	for i := range all {
		joining.Go(func() {
			m, err := cluster.Listen(context.Background(), cluster.Config{Target: target, Flushes: true, OnFlush: func(cluster.Reason) { asked <- struct{}{} }})
			if err != nil {
				b.Error(err)
			}
			all[i] = m
		})
	}
	joining.Wait()
	if b.Failed() {
		return
	}
	var took []time.Duration
	for range 5 {
		began := time.Now()
		b.must(all[0].Notify(context.Background()))
		for range len(all) - 1 {
			<-asked
		}
		took = append(took, time.Since(began))
	}
	for _, m := range all {
		m.Close()
	}
	slices.Sort(took)
	b.row(took[len(took)-1] < 2*time.Second, "a flush of a cluster of 50: until all are asked to refresh (median, worst of 5)", "2 s", "%s, %s", ms(median(took)), ms(took[len(took)-1]))
}

// notified measures a whole watch process: from a NOTIFY by hand, the connection
// for it included, until the published file has the new value.
func (b *bench) notified(d *pgtest.Database) {
	f := b.fake(0)
	f.Put("openai", "value-0")
	s := newHarness(b.T)
	for name, value := range f.Env() {
		s.env = append(s.env, name+"="+value)
	}
	s.env = append(s.env, "CLUSTER="+d.URL())
	s.write(filepath.Join(s.app, "config.source.json"), keysFor(awsStore(""), "vault.openai"))
	r := s.start("watch", "--config", filepath.Join(s.app, "config.source.json"), "--out", filepath.Join(s.app, "config.json"), "--apply", "none", "--listen", "none", "--cluster", "env.CLUSTER")
	r.logs("listening for flushes")
	var took []time.Duration
	for i := range 7 {
		<-time.After(2 * time.Second) // refreshes that follow each other closely are spaced
		f.Put("openai", fmt.Sprintf("value-%d", i+1))
		began := time.Now()
		d.Exec(b.T, "NOTIFY "+cluster.Channel)
		r.logs(`"trigger":"notify","result":"changed"`)
		took = append(took, time.Since(began))
	}
	r.signal(syscall.SIGTERM)
	r.ends(0)
	slices.Sort(took)
	// Each watcher waits up to a second at random, so that a fleet does not ask at once.
	b.row(took[len(took)-1] < time.Second+100*time.Millisecond, "NOTIFY to refreshed file (median, worst of 7)", "1 s + 100 ms", "%s, %s", ms(median(took)), ms(took[len(took)-1]))
}
