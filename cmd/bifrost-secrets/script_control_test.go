package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control"
	"bifrost-secrets/watch/control/controltest"
	"bifrost-secrets/watch/metrics"
	"bifrost-secrets/watch/service"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// controlled is the server that a script's clients speak to, over a loop that
// does what the script says.
type controlled struct {
	watcher *controltest.Watcher
	mu      sync.Mutex
	mood    string
	log     bytes.Buffer
}

func (c *controlled) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(b)
}

// doControl starts a server with the flags of the loop: control --token-file
// tokens. Without --listen it takes a free port. $CONTROL is where it listens,
// $CONTROL_HOST the same without a scheme, and $CONTROL_PROBE its last address.
func doControl(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: control [flag...]")
	}
	var l service.Listen
	cmd := &cobra.Command{SilenceUsage: true, SilenceErrors: true, RunE: func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("listen") {
			l.Addresses = []string{"127.0.0.1:0"}
		}
		for _, path := range []*string{&l.TokenFile, &l.TLSCert, &l.TLSKey} {
			if *path != "" {
				*path = ts.MkAbs(*path)
			}
		}
		return nil
	}}
	listenFlags(cmd, &l)
	cmd.SetArgs(append([]string{}, args...))
	ts.Check(cmd.Execute())

	c := &controlled{mood: "well"}
	c.watcher = &controltest.Watcher{Refresh: c.refresh}
	c.says("ready")
	env := map[string]string{control.TokenVariable: ts.Getenv(control.TokenVariable)}
	m := metrics.New("v1.2.3")
	m.Follow(c.watcher.Status)
	log := slog.New(slog.NewJSONHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts, ok, err := l.Options(&service.Host{Env: env, Log: log}, m.Handler(log))
	ts.Check(err)
	if !ok {
		ts.Fatalf("there is nothing to listen on")
	}
	s, err := control.Open(c.watcher, opts)
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-served)
		c.watcher.Wait()
		if strings.Contains(c.log.String(), "CANARY") {
			ts.Fatalf("a token stands in the log of the server:\n%s", c.log.String())
		}
	})
	all := s.Addresses()
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], "http://")
	}
	ts.Setenv("CONTROL", all[0])
	ts.Setenv("CONTROL_HOST", strings.TrimPrefix(all[0], "https://"))
	ts.Setenv("CONTROL_PROBE", all[len(all)-1])
	of(ts).control = c
}

// doLoop says what the loop of `control` does from now on: loop failing.
func doLoop(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "loop mood")
	of(ts).control.says(args[0])
}

// refresh is one refresh of the loop.
func (c *controlled) refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := render.Problem{
		Secret: "prod/openai", Reference: "vault.prod/openai", Kind: sources.NotFound, Hint: "create it in eu-west-1",
		Reason: "there is no such secret (ResourceNotFoundException)", Code: "ResourceNotFoundException",
		Places: []render.Place{{Path: "providers.openai.keys[0].value"}, {Path: "providers.openai.keys[1].value"}},
	}
	switch c.mood {
	case "failing":
		two := one
		two.Secret, two.Reference, two.Places = "prod/mcp", "vault.prod/mcp", one.Places[:1]
		return &render.Problems{Document: "config.json", List: []render.Problem{one, two}}
	case "down":
		one.Kind, one.Reason, one.Hint = sources.Unreachable, "no answer within 10s", ""
		return &render.Problems{Document: "config.json", List: []render.Problem{one}}
	case "broken":
		return errors.New("config.json is being written")
	}
	return nil
}

func (c *controlled) says(mood string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mood = mood
	now := time.Now()
	s := watch.Status{
		Version: "v1.2.3", Source: "aws-secrets-manager in eu-west-1", Config: "config.source.json", Out: "/app/data/config.json",
		Mode: "inline", Apply: "auto", Ready: true, Success: now.Add(-90 * time.Second), Next: now.Add(58*time.Minute + 30*time.Second),
		Last: &watch.Attempt{Trigger: watch.Tick, At: now.Add(-90 * time.Second), Took: 41 * time.Millisecond, Result: "changed", Calls: 2},
		References: []watch.ReferenceStatus{
			{
				Path: "providers.openai.keys[0].value", Reference: "vault.prod/openai", Secret: "prod/openai", Version: "v7", Fetched: now.Add(-90 * time.Second),
				Age: 90, Fresh: true, State: watch.Verified, Fingerprint: "5f1c",
			},
			{
				Path: "config_store.config.password", Reference: "vault.prod/db#password", Secret: "prod/db", Fetched: now.Add(-27 * time.Hour),
				Age: 27 * 3600, State: watch.RestartRequired, Reason: "Bifrost reads it at its start", Fingerprint: "77ab",
			},
		},
		Bifrost: &watch.BifrostStatus{PID: 12, Started: now.Add(-3 * time.Hour), Restarts: 1, Version: "1.5.0", API: "http://127.0.0.1:8080"},
	}
	var unready error
	if mood == "stale" {
		unready = errors.New("nothing was rendered yet")
		s.Ready, s.NotReady = false, unready.Error()
		s.Problems = []string{"config.json:3:9: config_store.config.password: vault.prod/db: no answer within 10s"}
	}
	if mood == "bare" {
		s = watch.Status{Version: "v1.2.3", Config: "config.json", Out: "out.json", Mode: "env", Apply: "none", NotReady: "the first render has not succeeded yet"}
	}
	c.watcher.Set(s, unready, mood != "disabled")
}

// doOther starts a server of another program, at $OTHER: other welcome. It answers
// nothing at all where it is told `silent`, and else with a page of words.
func doOther(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "other way")
	silent := args[0] == "silent"
	done, asked := make(chan struct{}), make(chan struct{}, 1)
	of(ts).asked = asked
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent {
			select {
			case asked <- struct{}{}:
			default:
			}
			select {
			case <-done:
			case <-r.Context().Done():
			}
			return
		}
		_, _ = io.WriteString(w, "<h1>Welcome</h1>")
	}))
	ts.Defer(func() {
		close(done)
		srv.Close()
	})
	ts.Setenv("OTHER", strings.TrimPrefix(srv.URL, "http://"))
}

// doCertificate makes a certificate for 127.0.0.1: certificate cert.pem key.pem.
func doCertificate(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "certificate file key-file")
	cert, key, err := controltest.Certificate("control")
	ts.Check(err)
	put(ts, args[0], string(cert))
	put(ts, args[1], string(key))
}

// doAsked waits until the server of `other silent` has had a request.
func doAsked(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, "asked")
	<-of(ts).asked
}
