package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/metrics"
)

// plight is a loop with metrics, and what may go wrong about it.
type plight struct {
	*watch.Loop
	metrics *metrics.Metrics

	mu       sync.Mutex
	value    string
	fails    sources.Kind
	document string
	publish  error
	state    watch.State
	reason   error // why there is no Bifrost that is ready
	dropped  uint64
}

func (p *plight) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *plight) Fetch(_ context.Context, names []string) map[string]sources.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]sources.Result{}
	for _, name := range names {
		out[name] = sources.Result{Value: sources.NewSecret([]byte(p.value))}
		if p.fails != "" {
			out[name] = sources.Result{Err: &sources.Error{Kind: p.fails, Name: name, Message: string(p.fails)}}
		}
	}
	return out
}
func (*plight) Plan(names []string) sources.Calls  { return sources.Calls{Batch: len(names)} }
func (*plight) Ping(context.Context, string) error { return nil }
func (*plight) Describe() string                   { return "a store" }
func (*plight) Close() error                       { return nil }
func (*plight) Kind() string                       { return "api" }

func (p *plight) Apply(_ context.Context, u watch.Update) []watch.Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []watch.Outcome
	for _, c := range u.Changed {
		out = append(out, watch.Outcome{Path: c.Path, State: p.state, Reason: "as the test wants it"})
	}
	return out
}

func (p *plight) load(_ context.Context, before *watch.Job) (*watch.Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	doc, err := walker.Parse("config.json", []byte(p.document))
	if err != nil || before != nil && bytes.Equal(doc.Bytes(), before.Plan.Document.Bytes()) {
		return before, err
	}
	plan, err := render.NewPlan(doc, &render.VaultStore{Type: "file", Enabled: true}, render.Options{Mode: render.Inline, Getenv: os.LookupEnv})
	if err != nil {
		return nil, err
	}
	return &watch.Job{Plan: plan, Source: p}, nil
}

func (p *plight) status() watch.Status {
	s := p.Status()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.LogDropped = p.dropped
	if p.reason != nil {
		s.Ready, s.NotReady = false, p.reason.Error()
	}
	return s
}

// gone is the fault after which there is nothing to scrape.
const gone = "a program that has ended"

// plights are the faults, each with the alerts that it has to cause within the
// hours that it lasts. A fault begins after ten minutes.
var plights = []struct {
	name   string
	hours  int
	begins func(p *plight)
	minute func(p *plight) // may be nil
	want   string          // the alerts that fire at the end
}{
	{gone, 1, func(*plight) {}, nil, "Gone"},
	{"nothing", 4, func(*plight) {}, nil, ""},
	{"a rotation that goes well", 1, func(p *plight) { p.value = "sk-two" }, nil, ""},
	{"the backend is down", 1, func(p *plight) { p.fails = sources.Unreachable }, nil, "Failing"},
	{"the backend is down for long", 5, func(p *plight) { p.fails = sources.Unreachable }, nil, "Failing Stale"},
	{"denied", 1, func(p *plight) { p.fails = sources.Denied }, nil, "Failing"},
	{"a secret is gone", 1, func(p *plight) { p.fails = sources.NotFound }, nil, "Failing"},
	{"a value that cannot be used", 1, func(p *plight) { p.value = "env.NAME" }, nil, "Failing"},
	{"a broken document", 1, func(p *plight) { p.document = `{"providers":` }, nil, "DocumentUnusable"},
	{"a full disk", 1, func(p *plight) {
		p.value, p.publish = "sk-two", &os.PathError{Op: "write", Path: "config.json", Err: syscall.ENOSPC}
	}, nil, "NotWritten"},
	{"a directory that is gone", 1, func(p *plight) { p.value, p.publish = "sk-two", errors.New("no such directory") }, nil, "NotWritten"},
	{"a changed admin password", 1, func(p *plight) { p.value, p.state = "sk-two", watch.Failed }, nil, "NotApplied"},
	{"a restart that nobody makes", 1, func(p *plight) { p.value, p.state = "sk-two", watch.RestartRequired }, nil, "WaitForRestart"},
	{"no Bifrost that answers", 1, func(p *plight) { p.reason = errors.New("Bifrost does not answer") }, nil, "NotReady"},
	{"a crash loop", 1, func(*plight) {}, func(p *plight) { p.metrics.Restarted() }, "Restarts"},
	{"a value that Bifrost rejects", 1, func(*plight) {}, func(p *plight) { p.metrics.Turned(watch.TurnRejected) }, "Rejected"},
	{"a pooler that gives no turns", 1, func(*plight) {}, func(p *plight) { p.metrics.Turned(watch.TurnWithout) }, "WithoutTurn"},
	{"restarts in turn", 1, func(*plight) {}, func(p *plight) { p.metrics.Turned(watch.TurnTaken) }, ""},
	{"a log that nobody reads", 1, func(*plight) {}, func(p *plight) { p.set(func() { p.dropped++ }) }, "LogLost"},
}

// TestAlerts records the metrics of a loop through the hours of each fault and has
// promtool say which alerts fire on the record: those that are wanted and no other.
func TestAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts promtool many times")
	}
	tool := promtool(t)
	rules, err := filepath.Abs("../../deploy/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := os.ReadFile("../../deploy/monitoring/prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, groups, _ := strings.Cut(string(text), "groups:\n")
	if _, spec, _ := strings.Cut(string(operator), "spec:\n  groups:\n"); strings.ReplaceAll("\n"+spec, "\n  ", "\n") != "\n"+groups {
		t.Error("deploy/monitoring/prometheusrule.yaml has other rules than alerts.yaml")
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	severity := map[string]string{}
	for _, m := range regexp.MustCompile(`(?s)alert: (\w+)\n.*?severity: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		severity[m[1]] = m[2]
		if !bytes.Contains(page, []byte("| `"+m[1]+"` |")) {
			t.Errorf("docs/metrics.md does not tell of %s", m[1])
		}
	}
	fired := map[string]bool{}
	var all strings.Builder
	fmt.Fprintf(&all, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", rules)
	for _, one := range plights {
		series := map[string][]string{}
		synctest.Test(t, func(t *testing.T) {
			p := &plight{value: "sk-one", state: watch.Verified, metrics: metrics.New("v1").Own()}
			p.document = `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.a"}]}}}`
			p.Loop = watch.New(watch.Options{
				Load: p.load, Applier: p, Observer: p.metrics, Log: slog.New(slog.DiscardHandler),
				Publish: func(*render.Rendering) (bool, bool, error) {
					p.mu.Lock()
					defer p.mu.Unlock()
					return p.publish == nil, true, p.publish
				},
				Interval: 10 * time.Minute, Timeout: 30 * time.Second,
			})
			p.metrics.Follow(p.status)
			if err := p.Start(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { p.Run(ctx) })
			for minute := range 60*one.hours + 10 {
				if minute == 10 {
					p.set(func() { one.begins(p) })
				}
				if minute >= 10 && one.minute != nil && minute%5 == 0 {
					one.minute(p)
				}
				time.Sleep(time.Minute)
				if one.name == gone && minute > 10 {
					continue
				}
				record(t, p.metrics, series)
			}
			cancel()
			running.Wait()
		})
		fmt.Fprintf(&all, "  - name: %s\n    interval: 1m\n    input_series:\n", one.name)
		for _, name := range slices.Sorted(maps.Keys(series)) {
			fmt.Fprintf(&all, "      - {series: '%s', values: '%s'}\n", name, strings.Join(ended(one.name, series[name]), " "))
		}
		fmt.Fprintf(&all, "    promql_expr_test:\n      - expr: 'count by (alertname, severity) (ALERTS{alertstate=\"firing\"})'\n        eval_time: %dm\n        exp_samples:\n", 60*one.hours+9)
		for _, name := range strings.Fields(one.want) {
			name = "BifrostSecrets" + name
			fired[name] = true
			fmt.Fprintf(&all, "          - {labels: '{alertname=\"%s\", severity=\"%s\"}', value: 1}\n", name, severity[name])
		}
	}
	for name := range severity {
		if !fired[name] {
			t.Errorf("no fault here makes %s fire", name)
		}
	}
	file := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

// ended adds the mark by which Prometheus notes that a series ends.
func ended(plight string, samples []string) []string {
	if plight == gone {
		return append(samples, "stale")
	}
	return samples
}

// record adds a sample of each of our own series.
func record(t *testing.T, m *metrics.Metrics, series map[string][]string) {
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "bifrost_secrets_") || strings.HasSuffix(f.GetName(), "_seconds") && f.GetMetric()[0].GetHistogram() != nil || f.GetName() == "bifrost_secrets_build_info" {
			continue
		}
		for _, one := range f.GetMetric() {
			labels := []string{`instance="a"`}
			for _, l := range one.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			series[name] = append(series[name], fmt.Sprint(one.GetCounter().GetValue()+one.GetGauge().GetValue()))
		}
	}
}
