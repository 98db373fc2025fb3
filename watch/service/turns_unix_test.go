//go:build unix

package service

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/database"
	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
)

// described is a source of one secret that says that it is something else.
type described struct{ as string }

func (d described) Fetch(_ context.Context, names []string) map[string]sources.Result {
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret([]byte("x")), Version: "v1"}
	}
	return out
}
func (described) Plan([]string) sources.Calls        { return sources.Calls{} }
func (described) Ping(context.Context, string) error { return nil }
func (d described) Describe() string                 { return d.as }
func (described) Close() error                       { return nil }

// turnsAt are the turns of a watcher that reads from a source and has joined flags.
func turnsAt(t *testing.T, source string, flags Cluster, url string) (*turns, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	r := &runner{Host: &Host{Log: slog.New(slog.NewTextHandler(&log, nil))}, o: &Options{Parallel: 1, StopTimeout: time.Minute, ApplyTimeout: time.Minute}}
	r.loop = watch.New(watch.Options{
		Load: func(context.Context, *watch.Job) (*watch.Job, error) {
			doc, err := walker.Parse("config.json", []byte(`{"encryption_key":"vault.a"}`))
			if err != nil {
				return nil, err
			}
			plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: render.Inline, Getenv: os.LookupEnv})
			return &watch.Job{Plan: plan, Source: described{source}}, err
		},
		Publish: func(*render.Rendering) (bool, bool, error) { return true, false, nil },
		Applier: watch.None{}, Log: slog.New(slog.DiscardHandler), Timeout: time.Minute, Interval: time.Hour,
	})
	if err := r.loop.Start(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	j, err := joinCluster(t, flags, map[string]string{"URL": url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.cluster.Store(j.members)
	return &turns{runner: r}, &log
}

// What a watcher says of a rejection, and when it counts: a file's own times are no
// versions.
func TestRejectedElsewhere(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	in := Cluster{Database: "env.URL"}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string][2]bool{"aws-secrets-manager in eu-west-1": {true, false}, "file /run/secrets": {false, true}} {
		a, _ := turnsAt(t, source, in, d.URL())
		b, log := turnsAt(t, source, in, d.URL())
		v1, v2 := []watch.Brought{{Secret: "a", Version: "v1"}}, []watch.Brought{{Secret: "a", Version: "v2"}}
		a.Reject(t.Context(), v1)
		if got := b.known(t.Context(), v1); len(got) != 0 {
			t.Errorf("%s: known before it was looked for: %v", source, got)
		}
		got := b.Rejected(t.Context(), v1)["a"]
		if !strings.HasPrefix(got, "rejected by "+host+" at ") || len(got) < len("rejected by "+host+" at 22:16") {
			t.Errorf("%s: %q", source, got)
		}
		if got := b.known(t.Context(), v2)["a"] != ""; got != want[1] {
			t.Errorf("%s: another version is rejected: %v", source, got)
		}
		a.flushed = make(chan struct{}, 1)
		a.spread() // and a refresh begins before the others are told
		if got := a.Rejected(t.Context(), v1)["a"] != ""; got != want[0] {
			t.Errorf("%s: after a flush: %v", source, got)
		}
		// What cannot be had or told is said once.
		d.Exec(t, "GRANT INSERT ON public.bifrost_secrets_rejections TO PUBLIC")
		for range 3 {
			if got := b.Rejected(t.Context(), v2)["a"] != ""; got && source[0] == 'a' {
				t.Error("believed")
			}
		}
		if n := strings.Count(log.String(), "others than its owner may write"); n != 1 {
			t.Errorf("said %d times: %s", n, log)
		}
		d.Exec(t, "DROP TABLE public.bifrost_secrets_rejections")
	}
}

// Without a cluster a turn is there at once; behind a pooler there is none, and it is
// known that there are others.
func TestTurnsAlone(t *testing.T) {
	t.Parallel()
	d := pgtest.Shared(t).Database(t)
	a, _ := turnsAt(t, "x", Cluster{Database: none}, "")
	giveBack, err := a.Take(t.Context(), nil, nil)
	if a.Known() || err != nil {
		t.Fatal(err)
	}
	giveBack()
	a.Reject(t.Context(), []watch.Brought{{Secret: "a"}}) // to nobody
	if got := a.Rejected(t.Context(), []watch.Brought{{Secret: "a"}}); got != nil {
		t.Error(got)
	}
	proxy := d.Proxy(t)
	proxy.Pool()
	own, err := database.New(database.Settings{Host: d.Host, Port: fmt.Sprint(proxy.Port), User: pgtest.Superuser, Password: sources.NewSecret([]byte(d.Password)), DBName: d.Name, SSLMode: "disable"})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := turnsAt(t, "x", Cluster{own: own}, "")
	if _, err := b.Take(t.Context(), nil, nil); !b.Known() || sources.KindOf(err) != sources.BadSettings {
		t.Errorf("%v", err)
	}
	c, _ := turnsAt(t, "x", Cluster{Database: "env.URL"}, d.URL())
	giveBack, err = c.Take(t.Context(), nil, func() {})
	if !c.Known() || err != nil {
		t.Fatal(err)
	}
	giveBack()
}
