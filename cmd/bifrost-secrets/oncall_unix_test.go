//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
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
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/metrics"
	"bifrost-secrets/watch/service"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden of the on-call table anew")

// duty is a watch with all that is its own, but for its sockets.
type duty struct {
	*daemonJob
	loop    *watch.Loop
	metrics *metrics.Metrics
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

// said returns what the log was told since the last call.
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
	d.daemonJob = &daemonJob{job: job{p: p}}
	cmd := &cobra.Command{Use: "watch"}
	d.daemonFlags(cmd)
	d.output.flags(cmd)
	d.loopFlags(cmd)
	dir := t.TempDir()
	if err := cmd.ParseFlags([]string{"--config", filepath.Join(dir, "config.source.json"), "--out", filepath.Join(dir, "config.json")}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Config, []byte(onCallConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	// As in daemon, less what has a goroutine outside of the bubble.
	p.screen.log = slog.New(p.handler(d, textLog))
	h := p.host()
	h.Version, h.Log, h.Warn = "v0", p.screen.log, func(text string) { p.screen.log.Warn(text) }
	flags, err := d.wanted()
	if err != nil {
		t.Fatal(err)
	}
	var o watch.Options
	o, d.metrics = service.Loop(h, flags, d.bifrost)
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
			return false, false, &publish.Error{Op: "stage", Path: d.Out, Message: "cannot write the temporary file: no space left on device", Hint: "free some space, or inodes, on the filesystem of " + dir, Err: syscall.ENOSPC}
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

// Chance and the directory of the test are left out of the table.
var chance = []struct{ of, with string }{
	{`(/\S+/)?(config\.(source\.)?json)`, "$2"}, {`(next_in|gives_up_in|took|oldest_value|since)=[^ \n]+`, "$1=…"},
	{`tries=([2-9]|\d\d)\d*`, "tries=…"}, {`, \d+ (try|tries)`, ", … tries"}, {`next in [^ \n]+`, "next in …"}, {`since \S+Z( \(\S+ ago\))?`, "since …"},
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
		{"config.json is broken", false, func(d *duty) { _ = os.WriteFile(d.Config, []byte(onCallConfig[:90]), 0o600) }, "BifrostSecretsDocumentUnusable"},
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
			err := d.loop.Start(ctx, (&service.Options{Flags: d.Flags}).StartTimeout())
			if fault.early {
				d.p.report(err)
				fmt.Fprintf(&table, "the log:\n%s", logSince(d.said(), began))
				fmt.Fprintf(&table, "watch ends with %d; exec with %d, before there is a Bifrost\n\n", exitCode(err), exitCode(&notStarted{err: err, code: exitNotStarted}))
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
			page.WriteString(statusText(&status, time.Now()))
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
