//go:build unix

package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/control"
)

const outageConfig = `{"providers":{"openai":{"keys":[{"name":"main","value":"vault.openai","models":["model-0"],"weight":1}],` +
	`"network_config":{"base_url":%q}}},"config_store":{"vault_store":{"enabled":true,"type":"aws-secrets-manager"}}}`

// refreshes notes every refresh, and how long after it the next one is due. It
// implements [watch.Observer].
type refreshes struct {
	loop  *watch.Loop
	seen  chan watch.Attempt
	mu    sync.Mutex
	waits []time.Duration // after those that failed
}

func (r *refreshes) Refreshed(a watch.Attempt, _ map[sources.Kind]int, _ int, _ string) {
	if a.Result == watch.AllFailed {
		r.mu.Lock()
		r.waits = append(r.waits, time.Until(r.loop.Status().Next))
		r.mu.Unlock()
	}
	r.seen <- a
}

func (*refreshes) Applied(string, []watch.Outcome) {}
func (*refreshes) Restarted()                      {}
func (*refreshes) Turned(string)                   {}

// lines is a log that the loop writes and the test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Secrets Manager goes away for a hundred refreshes: the file and Bifrost are left
// alone, /readyz fails once the values are too old, the tries come more rarely, and
// each change of state is one line. Then all is well again by itself.
func TestMotoOutage(t *testing.T) {
	moto := awstest.Moto(t)
	moto.Put(t, awstest.Region, "openai", "sk-CANARY-AAAAAAAA-0001")
	awstest.Setenv(t, moto.Env())
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // the waits here are to be the loop's alone
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	upstream := bifrosttest.NewUpstream(t)
	text := []byte(fmt.Sprintf(outageConfig, upstream.URL))
	server := bifrosttest.New(t, "1.5.0-prerelease7")
	must(server.Start(bytes.Replace(text, []byte("vault.openai"), []byte("sk-before-BBBBBBBB-0000"), 1)))
	client, err := bifrost.New(bifrost.Options{URL: server.URL})
	must(err)
	defer client.Close()
	source, err := awssecrets.Backend.Open(t.Context(), sources.Settings{}, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler)})
	must(err)
	defer func() { _ = source.Close() }()
	doc, err := walker.Parse("config.source.json", text)
	must(err)
	store, err := render.StoreFromDocument(doc)
	must(err)
	plan, err := render.NewPlan(doc, store, render.Options{Mode: render.Inline})
	must(err)
	job := &watch.Job{Plan: plan, Source: source}

	out := filepath.Join(t.TempDir(), "config.json")
	log, seen := &lines{}, &refreshes{seen: make(chan watch.Attempt, 10_000)}
	loop := watch.New(watch.Options{
		Load: func(context.Context, *watch.Job) (*watch.Job, error) { return job, nil },
		Publish: func(r *render.Rendering) (wrote, replaced bool, err error) {
			target, err := publish.Check(out, nil, publish.Options{})
			if err == nil {
				wrote, err = target.Write(r.Document())
			}
			return wrote, false, err
		},
		Applier: client, Observer: seen, Log: slog.New(slog.NewJSONHandler(log, nil)),
		Interval: 100 * time.Millisecond, Timeout: 2 * time.Minute, About: watch.Status{Config: "config.source.json"},
	})
	seen.loop = loop
	const first, most = 2 * time.Millisecond, 20 * time.Millisecond
	loop.RetryEvery(watch.Backoff{First: first, Most: most})
	address := filepath.Join(t.TempDir(), "control")
	front, err := control.Open(loop, control.Options{Listen: []string{"unix:" + address}})
	must(err)
	probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}}}
	readyz := func() (int, string) {
		t.Helper()
		resp, err := probe.Get("http://localhost" + control.ReadyPath)
		must(err)
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = front.Serve(ctx) })
	must(loop.Start(ctx, 0))
	if code, body := readyz(); code != http.StatusOK {
		t.Errorf("before the outage: %d %s", code, body)
	}
	before, err := os.Stat(out)
	must(err)
	server.Called()

	moto.Stop()
	running.Go(func() { loop.Run(ctx) })
	await := func(what string, ok func(watch.Attempt) bool) {
		t.Helper()
		late := time.After(2 * time.Minute)
		for {
			select {
			case a := <-seen.seen:
				if ok(a) {
					return
				}
			case <-late:
				t.Fatalf("there was no %s; the log: %s", what, log)
			}
		}
	}
	failed := 0
	await("hundredth failure", func(a watch.Attempt) bool {
		if a.Result == watch.AllFailed {
			failed++
		}
		return failed == 100
	})
	if code, body := readyz(); code != http.StatusOK {
		t.Errorf("in the outage: %d %s", code, body)
	}
	if after, err := os.Stat(out); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the file was touched: %v", err)
	}
	if calls := server.Called(); len(calls) > 0 {
		t.Errorf("Bifrost was called: %v", calls)
	}
	seen.mu.Lock()
	waits := slices.Clone(seen.waits)
	seen.mu.Unlock()
	for i, wait := range waits { // half of each may be taken off
		if longest := min(first<<min(i, 10), most); wait > longest {
			t.Errorf("wait %d is %v, more than %v", i, wait, longest)
		}
	}
	if late := slices.Max(waits[10:]); late < most/2-5*time.Millisecond || slices.Max(waits) <= 2*first {
		t.Errorf("the waits do not grow: %v", waits[:12])
	}
	for message, want := range map[string]int{`"msg":"refresh failed"`: 1, `"level":"ERROR"`: 0, "all is well again": 0} {
		if n := strings.Count(log.String(), message); n != want {
			t.Errorf("%s is logged %d times, want %d: %s", message, n, want, log)
		}
	}

	moto.Start(t)
	moto.Put(t, awstest.Region, "openai", "sk-CANARY-CCCCCCCC-0002")
	await("recovery", func(a watch.Attempt) bool { return a.Result == watch.Changed })
	await("refresh after it", func(a watch.Attempt) bool { return a.Result == watch.Unchanged })
	if code, body := readyz(); code != http.StatusOK {
		t.Errorf("after the outage: %d %s", code, body)
	}
	if content, err := os.ReadFile(out); err != nil || !bytes.Contains(content, []byte("sk-CANARY-CCCCCCCC-0002")) {
		t.Errorf("the new value is not in the file: %v", err)
	}
	if state := loop.Status().References[0].State; state != watch.Verified {
		t.Errorf("Bifrost: %s", state)
	}
	if n := strings.Count(log.String(), "all is well again"); n != 1 {
		t.Errorf("the recovery is logged %d times: %s", n, log)
	}
	if strings.Contains(log.String(), "CANARY") {
		t.Errorf("a value is in the log: %s", log)
	}
}
