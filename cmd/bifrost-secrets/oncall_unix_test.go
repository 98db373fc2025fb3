//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/render/publish"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/metrics"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden of the on-call table anew")

// recorded answers with what a real backend has answered before. It implements
// [sources.Source].
type recorded struct {
	sources.Source // Plan, Describe
	mu             sync.Mutex
	answer         map[string]sources.Result
}

func (r *recorded) Fetch(_ context.Context, names []string) map[string]sources.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = r.answer[name]
	}
	return out
}

func (r *recorded) set(answer map[string]sources.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (*recorded) Close() error { return nil }

// replies is Bifrost's API with what it has replied before. It implements
// [watch.Applier].
type replies struct {
	mu    sync.Mutex
	apart map[string]watch.Outcome // by the path; the others are verified
}

func (*replies) Kind() string { return "api" }

func (r *replies) Apply(_ context.Context, u watch.Update) []watch.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []watch.Outcome{}
	for _, c := range u.Changed {
		o, ok := r.apart[c.Path]
		if !ok {
			o = watch.Outcome{Path: c.Path, State: watch.Verified}
		}
		out = append(out, o)
	}
	return out
}

const onCallConfig = `{"config_store":{"vault_store":{"enabled":true,"type":"aws-secrets-manager","aws":{"region":"us-east-1"}}},` +
	`"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"}]},"anthropic":{"keys":[{"name":"b","value":"vault.anthropic"}]}}}`

// answers are what AWS says: as it should be, with new values, and in each fault.
func answers(t *testing.T) map[string]map[string]sources.Result {
	f := awstest.NewFake()
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ask := func(env map[string]string) map[string]sources.Result {
		awstest.Setenv(t, env)
		source, err := awssecrets.Backend.Open(t.Context(), sources.Settings{}, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = source.Close() }()
		return source.Fetch(t.Context(), []string{"openai", "anthropic"})
	}
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	t.Setenv("AWS_REGION", "us-east-1")
	all := map[string]map[string]sources.Result{}
	one, two := f.Put("openai", "CANARY-1"), f.Put("anthropic", "CANARY-1")
	all["well"] = ask(f.Env())
	f.Put("openai", "CANARY-2")
	all["new"] = ask(f.Env())
	f.Mark(two, awstest.Deleted)
	all["gone"] = ask(f.Env())
	f.Mark(two, awstest.Readable)
	f.Mark(one, awstest.Denied)
	all["denied"] = ask(f.Env())
	f.Mark(one, awstest.Readable)
	f.Put("openai", "env.CANARY")
	all["bad"] = ask(f.Env())
	f.Set(awstest.Faults{Status: http.StatusServiceUnavailable})
	all["down"] = ask(f.Env())
	old := expired(t)
	env := f.Env()
	for name, value := range env {
		if value == f.URL {
			env[name] = old
		}
	}
	all["expired"] = ask(env)
	return all
}

// expired is the address of a server whose certificate is no longer valid.
func expired(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// refusedLogin is what becomes of a new value after the admin's password was
// changed in the dashboard.
func refusedLogin(t *testing.T) map[string]watch.Outcome {
	text := `{"auth_config":{"is_enabled":true,"admin_username":"admin","admin_password":"%s"},"providers":{"openai":{"keys":[{"name":"a","value":"CANARY-2","models":["m"],"weight":1}]}}}`
	server := bifrosttest.New(t, "1.5.0-prerelease7")
	if err := server.Start(fmt.Appendf(nil, text, "of-the-dashboard")); err != nil {
		t.Fatal(err)
	}
	client, err := management.New(management.Options{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	doc, err := walker.Parse("config.json", fmt.Appendf(nil, text, "of-the-config"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []management.Target
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil && strings.HasSuffix(f.Path, "keys[0].value") {
			targets = append(targets, management.Target{Path: f.Path, Entry: f.Entry, Value: sources.NewSecret([]byte(f.Text()))})
		}
		return true
	})
	all := map[string]watch.Outcome{}
	for _, o := range client.Push(t.Context(), doc, targets) {
		all[o.Path] = watch.Outcome{Path: o.Path, State: watch.State(o.State), Reason: o.Reason, Hint: o.Hint}
	}
	return all
}

// duty is a watch with all that is its own, but for its sockets.
type duty struct {
	*daemon
	source  *recorded
	bifrost *replies
	full    bool
	text    bytes.Buffer
	mu      sync.Mutex
}

func (d *duty) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

// said gives what the log was told since the last call.
func (d *duty) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.text.Reset()
	return d.text.String()
}

func newDuty(t *testing.T, well map[string]sources.Result) *duty {
	d := &duty{source: &recorded{answer: well}, bifrost: &replies{}}
	p := &program{ctx: t.Context(), env: map[string]string{}}
	p.screen = newScreen(d, nil)
	d.daemon = &daemon{job: job{p: p}}
	cmd := &cobra.Command{Use: "watch"}
	d.job.flags(cmd)
	d.output.flags(cmd)
	d.loopFlags(cmd)
	dir := t.TempDir()
	if err := cmd.ParseFlags([]string{"--config", filepath.Join(dir, "config.source.json"), "--out", filepath.Join(dir, "config.json")}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, []byte(onCallConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	// As in begin, less what has a goroutine outside of the bubble.
	d.log = slog.New(p.handler(d, textLog))
	p.screen.log = d.log
	d.warn = func(text string) { d.log.Warn(text) }
	d.manager, d.metrics = &serviceManager{}, metrics.New("v0")
	d.record = &watch.Record{Path: watch.RecordPath(d.out)}
	o := d.options(d.bifrost, nil)
	o.Watch, o.Observer = nil, d.metrics
	load, write := o.Load, o.Publish
	o.Load = func(ctx context.Context, before *watch.Job) (*watch.Job, error) {
		next, err := load(ctx, before)
		if err == nil && next.Source != sources.Source(d.source) {
			d.source.Source = next.Source
			next.Source = d.source
		}
		return next, err
	}
	o.Publish = func(r *render.Rendering) (bool, bool, error) {
		if d.full {
			return false, false, &publish.Error{Op: "stage", Path: d.out, Message: "cannot write the temporary file: no space left on device", Hint: "free some space, or inodes, on the filesystem of " + dir, Err: syscall.ENOSPC}
		}
		return write(r)
	}
	d.loop = watch.New(o)
	d.metrics.Follow(d.loop.Status)
	t.Cleanup(func() {
		if d.source.Source != nil {
			_ = d.source.Source.Close()
		}
	})
	return d
}

// series are the metrics of ours that tell of a state or count what went wrong.
func (d *duty) series(t *testing.T) map[string]float64 {
	families, err := d.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		name := family.GetName()
		if short, ours := strings.CutPrefix(name, "bifrost_secrets_"); !ours || strings.HasSuffix(name, "_timestamp_seconds") ||
			slices.Contains([]string{"refresh_duration_seconds", "fetches_total", "backend_calls_total", "refreshes_total"}, short) {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			full := name
			if len(labels) > 0 {
				full += "{" + strings.Join(labels, ",") + "}"
			}
			all[full] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

// alerts are the records of faults, with the alert that each makes fire.
type alerts struct {
	t    *testing.T
	text strings.Builder
}

func newAlerts(t *testing.T) *alerts {
	rules, err := filepath.Abs("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a := &alerts{t: t}
	fmt.Fprintf(&a.text, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", rules)
	return a
}

func (a *alerts) add(name string, recorded map[string][]string, alert string) {
	fmt.Fprintf(&a.text, "  - name: %q\n    interval: 1m\n    input_series:\n", name)
	for _, series := range slices.Sorted(maps.Keys(recorded)) {
		fmt.Fprintf(&a.text, "      - {series: '%s', values: '%s'}\n", series, strings.Join(recorded[series], " "))
	}
	fmt.Fprintf(&a.text, "    promql_expr_test:\n      - {expr: 'count by (alertname) (ALERTS{alertstate=\"firing\"})', eval_time: 64m, exp_samples: [{labels: '{alertname=%q}', value: 1}]}\n", alert)
}

// prove has Prometheus' own tool say that these alerts fire, and no others.
func (a *alerts) prove() {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		tool = "../../.cache/prometheus/usr/bin/promtool"
	}
	if _, err := os.Stat(tool); err != nil {
		if os.Getenv("BIFROST_SECRETS_REQUIRE_BACKENDS") != "" {
			a.t.Fatal("promtool NOT FOUND: run make setup")
		}
		a.t.Log("promtool NOT FOUND: the alerts of the table are not proven")
		return
	}
	file := filepath.Join(a.t.TempDir(), "faults.yaml")
	if err := os.WriteFile(file, []byte(a.text.String()), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if out, err := exec.Command(tool, "test", "rules", file).CombinedOutput(); err != nil {
		a.t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// Chance and the directory of the test are left out of the table.
var chance = []struct{ of, with string }{
	{`(/\S+/)?(config\.(source\.)?json)`, "$2"}, {`(next_in|gives_up_in|took|oldest_value|since)=[^ \n]+`, "$1=…"},
	{`tries=([2-9]|\d\d+)`, "tries=…"}, {`, \d+ (try|tries)`, ", … tries"}, {`next in [^ \n]+`, "next in …"}, {`since \S+Z( \(\S+ ago\))?`, "since …"},
	{`127\.0\.0\.1:\d+`, "127.0.0.1:…"}, {`filesystem of [^ \n\]"]+`, "filesystem of …"}, {`  [\ddhms]+( \(stale\))?  `, "  …$1  "},
}

func masked(text string) string {
	for _, one := range chance {
		text = regexp.MustCompile(one.of).ReplaceAllString(text, one.with)
	}
	return text
}

// The on-call table: for each fault what the log says in its first hour, what the
// status and /readyz say after it, and which metrics have moved. The clock is
// virtual; what AWS and Bifrost say was said by them in this test.
func TestOnCall(t *testing.T) {
	said, login := answers(t), refusedLogin(t)
	var table strings.Builder
	alerts := newAlerts(t)
	for _, fault := range []struct {
		name  string
		early bool // before the start
		begin func(*duty)
		alert string // that fires within the hour
	}{
		{"the backend is down at the start", true, func(d *duty) { d.source.set(said["down"]) }, ""},
		{"the backend is down later", false, func(d *duty) { d.source.set(said["down"]) }, "BifrostSecretsFailing"},
		{"the certificate of the backend has expired", false, func(d *duty) { d.source.set(said["expired"]) }, "BifrostSecretsFailing"},
		{"one secret is gone", false, func(d *duty) { d.source.set(said["gone"]) }, "BifrostSecretsFailing"},
		{"one secret is denied", false, func(d *duty) { d.source.set(said["denied"]) }, "BifrostSecretsFailing"},
		{"one value is bad", false, func(d *duty) { d.source.set(said["bad"]) }, "BifrostSecretsFailing"},
		{"config.json is broken", false, func(d *duty) { _ = os.WriteFile(d.config, []byte(onCallConfig[:90]), 0o600) }, "BifrostSecretsDocumentUnusable"},
		{"the admin's password was changed, and a value is new", false, func(d *duty) { d.bifrost.apart = login; d.source.set(said["new"]) }, "BifrostSecretsNotApplied"},
		{"the disk is full, and a value is new", false, func(d *duty) { d.full = true; d.source.set(said["new"]) }, "BifrostSecretsNotWritten"},
	} {
		fmt.Fprintf(&table, "# %s\n", fault.name)
		synctest.Test(t, func(t *testing.T) {
			d := newDuty(t, said["well"])
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if fault.early {
				fault.begin(d)
			}
			began := time.Now()
			err := d.loop.Start(ctx, d.startTimeout)
			if fault.early {
				d.p.report(err)
				fmt.Fprintf(&table, "the log:\n%s", logSince(d.said(), began))
				fmt.Fprintf(&table, "watch ends with %d; exec with %d, before there is a Bifrost\n\n", exitCode(err), exitCode((&execJob{}).end(err)))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				d.loop.Run(ctx)
			}()
			defer func() { cancel(); <-done }()
			recorded := map[string][]string{}
			minutes := func(n int) {
				for range n {
					time.Sleep(time.Minute)
					synctest.Wait()
					for name, value := range d.series(t) {
						recorded[name] = append(recorded[name], fmt.Sprint(value))
					}
				}
			}
			minutes(5)
			d.said()
			before := d.series(t)
			fault.begin(d)
			began = time.Now()
			d.loop.Trigger(watch.Signal) // somebody looks
			minutes(60)
			alerts.add(fault.name, recorded, fault.alert)
			fmt.Fprintf(&table, "the log of the first hour:\n%s", logSince(d.said(), began))
			status := d.loop.Status()
			var page bytes.Buffer
			if err := printStatus(&page, &status, time.Now()); err != nil {
				t.Fatal(err)
			}
			table.WriteString("the status after it:\n")
			for line := range strings.Lines(page.String()) {
				if word, _, _ := strings.Cut(line, " "); slices.Contains([]string{"ready", "not", "failing", "providers.openai.keys[0].value", "providers.anthropic.keys[0].value", "hint:"}, word) {
					table.WriteString("  " + masked(regexp.MustCompile(` {2,}`).ReplaceAllString(line, "  ")))
				}
			}
			ready := "200"
			if err := d.loop.Ready(); err != nil {
				ready = "503 " + err.Error()
			}
			fmt.Fprintf(&table, "/readyz: %s\nthe metrics that moved:\n", ready)
			after := d.series(t)
			for _, name := range slices.Sorted(maps.Keys(after)) {
				short := strings.TrimPrefix(name, "bifrost_secrets_")
				switch {
				case after[name] == before[name] || strings.Contains(name, "_age_seconds"):
				case strings.Contains(name, "_total"):
					fmt.Fprintf(&table, "  %s grows\n", short)
				default:
					fmt.Fprintf(&table, "  %s %g, was %g\n", short, after[name], before[name])
				}
			}
			fmt.Fprintf(&table, "the alert that fires: %s\n\n", fault.alert)
		})
	}
	alerts.prove()
	if strings.Contains(table.String(), "CANARY") {
		t.Error("a value is in the table")
	}
	golden := filepath.Join("testdata", "oncall.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if got := table.String(); got != string(want) {
		t.Errorf("the table is another one; go test -run OnCall -update writes it anew:\n%s", got)
	}
}

// logSince is a log, with how long after began each was written.
func logSince(log string, began time.Time) string {
	var all strings.Builder
	for line := range strings.Lines(log) {
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return log
		}
		after := at.Sub(began).Round(time.Second).String()
		if strings.Contains(rest, "is tried again") || strings.Contains(rest, "level=ERROR") {
			after = "…" // as the waits were drawn
		}
		fmt.Fprintf(&all, "  +%s %s", after, masked(rest))
	}
	return all.String()
}

var _ io.Writer = (*duty)(nil)
