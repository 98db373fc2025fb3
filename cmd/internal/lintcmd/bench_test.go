//go:build unix

package lintcmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/lint/report"
	"bifrost-secrets/walker/walkertest"
)

// processorTime gives what this process has had of the processors so far, which
// does not depend on what else the machine does.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// A document of 10 MB with some 15,000 virtual keys: how many times the walk
// does linting take, and how long does the report? Both are taken in turn.
func BenchmarkAgainstWalk(b *testing.B) {
	for name, references := range map[string]int{"references": 1 << 20, "plain text": 0} {
		b.Run(name, func(b *testing.B) {
			text := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: references, Secrets: 1000})
			o := report.Options{Format: report.Text}
			var walked, linted, reported time.Duration
			found := 0
			for b.Loop() {
				start := processorTime(b)
				doc, err := walker.Parse("c", text)
				if err != nil {
					b.Fatal(err)
				}
				doc.Walk(func(*walker.Field) bool { return true })
				walked += processorTime(b) - start

				start = processorTime(b)
				if doc, err = walker.Parse("c", text); err != nil {
					b.Fatal(err)
				}
				findings := lint.Check(doc, lint.Options{})
				linted += processorTime(b) - start

				start = processorTime(b)
				o.Render(doc, findings)
				reported += processorTime(b) - start
				found = len(findings)
			}
			b.ReportMetric(float64(linted)/float64(walked), "lint/walk")
			b.ReportMetric(float64(reported)/float64(walked), "report/walk")
			b.ReportMetric(float64(found), "findings")
		})
	}
}

// A thousand files, by one worker and by as many as there are processors.
func BenchmarkThousandFiles(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		text := walkertest.Config(walkertest.Shape{Size: 100 << 10, References: 150, Secrets: 100})
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.json", i)), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	run := func(jobs int) time.Duration {
		start := time.Now()
		cmd := New(Program{Stdout: io.Discard, Stderr: io.Discard, Getenv: os.LookupEnv})
		cmd.SetArgs([]string{"--fail-on", "never", "--jobs", fmt.Sprint(jobs), dir})
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	one, many := time.Hour, time.Hour // the shortest, as above
	for b.Loop() {
		one = min(one, run(1))
		many = min(many, run(0))
	}
	b.ReportMetric(float64(one)/float64(many), "speedup")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "processors")
}
