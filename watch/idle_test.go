//go:build unix

package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/sources/file"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// idleConfig has a key that Bifrost shows the ends of, and two that it shows too
// little of to tell them from others.
const idleConfig = `{"providers":{"openai":{"keys":[` +
	`{"name":"a","value":"vault.idle#key","models":["*"],"weight":1},{"name":"b","value":"vault.idle#short","models":["*"],"weight":1},` +
	`{"name":"c","value":"vault.idle#json","models":["*"],"weight":1}]}},"config_store":{"vault_store":{"enabled":true,"type":%q}}}`

const idleValues = `{"key":"sk-CANARY-AAAAAAAA-0001","short":"12345678","json":"{\"type\":\"service_account\"}"}`

// idler is a Bifrost's applier and the observer of a loop, each of which counts.
type idler struct {
	*bifrost.Client

	mu       sync.Mutex
	attempts []watch.Attempt
	applied  int // fields
}

func (i *idler) Refreshed(a watch.Attempt, _ map[sources.Kind]int, _ int, _ string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.attempts = append(i.attempts, a)
}

func (i *idler) Applied(_ string, out []watch.Outcome) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.applied += len(out)
}

func (*idler) Restarted()    {}
func (*idler) Turned(string) {}

// child is a process that runs until it is stopped.
type child struct {
	done chan struct{}
	once sync.Once
}

func (*child) PID() int                { return 1 }
func (c *child) Done() <-chan struct{} { return c.done }
func (*child) Code() int               { return 0 }
func (c *child) Stop(context.Context)  { c.once.Do(func() { close(c.done) }) }

// A day on which nothing happens, of exec and of watch: what is done all the same
// stays within its bounds.
func TestIdleDay(t *testing.T) {
	for _, command := range []string{"exec", "watch"} {
		for _, mode := range []render.Mode{render.Inline, render.EnvMode} {
			for _, backend := range []string{"file", "aws-secrets-manager"} {
				t.Run(fmt.Sprint(command, " ", mode, " ", backend), func(t *testing.T) { idleDay(t, command, mode, backend) })
			}
		}
	}
}

func idleDay(t *testing.T, command string, mode render.Mode, backend string) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	config, out := filepath.Join(dir, "config.source.json"), filepath.Join(dir, "config.json")
	must(os.WriteFile(config, fmt.Appendf(nil, idleConfig, backend), 0o600))
	must(os.Mkdir(filepath.Join(dir, "secrets"), 0o700))
	secret := filepath.Join(dir, "secrets", "idle")
	must(os.WriteFile(secret, []byte(idleValues), 0o600))
	fake := awstest.StartFake(t)
	fake.Put("idle", idleValues)
	// Whatever waits for the network holds the clock up: no connection is kept.
	aws := httptest.NewUnstartedServer(fake)
	aws.Config.SetKeepAlivesEnabled(false)
	aws.Start()
	defer aws.Close()
	env := fake.Env()
	for name, v := range env {
		if v == fake.URL {
			env[name] = aws.URL
		}
	}
	awstest.Setenv(t, env)
	server := bifrosttest.New(t, "2.2.1")
	resolved := strings.NewReplacer(`"vault.idle#key"`, `"sk-CANARY-AAAAAAAA-0001"`, `"vault.idle#short"`, `"12345678"`, `"vault.idle#json"`, `"{\"type\":\"service_account\"}"`).
		Replace(fmt.Sprintf(idleConfig, backend))
	must(server.Start([]byte(resolved)))

	log := &lines{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	files := watch.NewFiles(nil, logger)
	files.Deaf() // its goroutine would hold the clock up too
	synctest.Test(t, func(t *testing.T) {
		wire := &bifrosttest.Wire{Handler: server}
		wire.Start()
		defer wire.Stop()
		client, err := bifrost.New(bifrost.Options{URL: "http://localhost", Dial: wire.Dial})
		must(err)
		defer client.Close()
		count := &idler{Client: client}
		var source sources.Source
		settings, backendOf := sources.Settings{}, awssecrets.Backend
		if backend == "file" {
			settings, backendOf = sources.Settings{"path": sources.NewSecret([]byte(filepath.Join(dir, "secrets")))}, file.Backend
		}
		source, err = backendOf.Open(t.Context(), settings, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: logger})
		must(err)
		defer func() { _ = source.Close() }()
		loads, writes := 0, 0
		load := func(_ context.Context, before *watch.Job) (*watch.Job, error) {
			loads++
			doc, err := walker.ReadFile(config)
			if err != nil || before != nil && bytes.Equal(doc.Bytes(), before.Plan.Document.Bytes()) {
				return before, err
			}
			plan, err := render.NewPlan(doc, &render.VaultStore{Type: backend, Enabled: true}, render.Options{Mode: mode, Getenv: os.LookupEnv})
			return &watch.Job{Plan: plan, Source: source, Files: []string{config, filepath.Join(dir, "secrets")}}, err
		}
		record := &watch.Record{Path: watch.RecordPath(out)}
		var loop *watch.Loop
		opts := watch.Options{
			Load: load, Watch: files.Watch, Observer: count, Keeper: record, Log: logger,
			Publish: func(r *render.Rendering) (bool, bool, error) {
				target, err := publish.Check(out, nil, publish.Options{})
				if err != nil {
					return false, false, err
				}
				wrote, err := target.Write(r.Document())
				if wrote {
					writes++
				}
				return wrote, false, err
			},
			Interval: time.Hour, Timeout: 30 * time.Second,
		}
		split := &watch.Split{Word: "auto"}
		if mode == render.Inline {
			split.API = count
		}
		opts.Applier = split
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var supervisor *watch.Supervisor
		if command == "exec" {
			supervisor = &watch.Supervisor{
				Start:   func(*render.Rendering) (watch.Child, error) { return &child{done: make(chan struct{})}, nil },
				Answers: client.Wait, Patience: time.Minute, Log: logger, MinInterval: time.Minute,
			}
			split.Restart = supervisor
			opts.Supervised, opts.Refuses = true, true
		}
		loop = watch.New(opts)
		must(loop.Start(ctx, 0))
		running.Go(func() { files.Run(ctx) })
		if command == "exec" {
			supervisor.Loop = loop
			running.Go(func() { _, _ = supervisor.Run(ctx, loop.Rendering()) })
		} else if mode == render.Inline {
			look := client.NewLookout(loop.Restarted)
			running.Go(func() { look.Run(ctx) })
		}
		running.Go(func() { loop.Run(ctx) })
		time.Sleep(time.Minute) // all has come up
		before, err := os.Stat(out)
		must(err)
		server.Asked()
		count.mu.Lock()
		refreshed, applied, wrote, logged := len(count.attempts), count.applied, writes, len(log.String())
		count.mu.Unlock()
		asked := fake.Total()

		hours := 24
		if watch.Raced || testing.Short() {
			hours = 3
		}
		day := time.Duration(hours) * time.Hour
		most := hours * 9 / 8 // refreshes: an hour is a tenth more or less
		time.Sleep(day)

		health, others := 0, []string{}
		for _, c := range server.Asked() {
			if c == "GET /health" {
				health++
			} else {
				others = append(others, c)
			}
		}
		after, err := os.Stat(out)
		must(err)
		count.mu.Lock()
		defer count.mu.Unlock()
		ticks := len(count.attempts) - refreshed
		calls := fake.Total() - asked
		looks := 0 // of watch alone: exec knows its child
		if command == "watch" && mode == render.Inline {
			looks = int(day / bifrost.LookEvery)
		}
		backendCalls := 0
		if backend != "file" {
			backendCalls = most
		}
		polls := int(day / watch.PollEvery)
		for _, c := range []struct {
			what     string
			got      int
			at, most int
		}{
			{"refreshes", ticks, hours * 7 / 8, most},
			{"calls of the backend", calls, 0, backendCalls},
			{"calls of /health", health, looks - 1, looks + 1},
			{"other calls of Bifrost", len(others), 0, 0},
			{"writes of the published file", writes - wrote, 0, 0},
			{"fields applied", count.applied - applied, 0, 0},
			{"lines of the log", strings.Count(log.String()[logged:], "\n"), 0, 1},
			{"wake-ups, with those for the files", ticks + health + polls, polls, polls + looks + most + 1},
		} {
			t.Logf("%-36s %6d, at most %d", c.what, c.got, c.most)
			if c.got < c.at || c.got > c.most {
				t.Errorf("%s: %d, want %d to %d", c.what, c.got, c.at, c.most)
			}
		}
		if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
			t.Error("the published file was touched")
		}
		if slices.Contains(others, http.MethodPut) || strings.Contains(log.String(), "CANARY") {
			t.Errorf("%s; log: %s", others, log)
		}
		cancel()
		running.Wait()
	})
}
