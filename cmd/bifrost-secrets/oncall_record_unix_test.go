//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/sources/awssecrets"
	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	management "bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

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
	plan, err := render.NewPlan(doc, nil, render.Options{Mode: render.Inline})
	if err != nil {
		t.Fatal(err)
	}
	update := watch.Update{Trigger: watch.Tick}
	if update.Rendering, err = plan.Resolve(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil && strings.HasSuffix(f.Path, "keys[0].value") {
			update.Changed = append(update.Changed, render.Change{Place: render.Place{Path: f.Path}, Entry: f.Entry, Value: sources.NewSecret([]byte(f.Text()))})
		}
		return true
	})
	all := map[string]watch.Outcome{}
	for _, o := range client.Apply(t.Context(), update) {
		all[o.Path] = o
	}
	return all
}

// alerts are the records of faults, with the alert that each makes fire.
type alerts struct {
	t    *testing.T
	text strings.Builder
}

func newAlerts(t *testing.T) *alerts {
	rules, err := filepath.Abs("../../deploy/monitoring/alerts.yaml")
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
		if os.Getenv("BIFROST_REQUIRE_BACKENDS") != "" {
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
