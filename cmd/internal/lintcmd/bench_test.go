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

	"github.com/tidwall/gjson"
)

// processorTime returns what this process has had of the processors so far, which
// does not depend on what else the machine does.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// A document of 10 MB with some 15,000 virtual keys: how many times what gjson takes
// to validate it do the walk, linting (the walk included) and the report take? All
// are taken in turn, and of each the least time of a processor counts.
func BenchmarkAgainstValid(b *testing.B) {
	for name, references := range map[string]int{"references": 1 << 20, "plain text": 0} {
		b.Run(name, func(b *testing.B) {
			text := walkertest.Config(walkertest.Shape{Size: 10 << 20, References: references, Secrets: 1000})
			o := report.Options{Format: report.Text}
			var doc *walker.Document
			var findings []lint.Finding
			parse := func() {
				var err error
				if doc, err = walker.Parse("c", text); err != nil {
					b.Fatal(err)
				}
			}
			works := []struct {
				name string
				do   func()
				took time.Duration
			}{
				{"valid", func() { gjson.ValidBytes(text) }, time.Hour},
				{"walk", func() { parse(); doc.Walk(func(*walker.Field) bool { return true }) }, time.Hour},
				{"lint", func() { parse(); findings = lint.Check(doc, lint.Options{}) }, time.Hour},
				{"report", func() { o.Render(doc, findings) }, time.Hour},
			}
			for b.Loop() {
				for i := range works {
					start := processorTime(b)
					works[i].do()
					works[i].took = min(works[i].took, processorTime(b)-start)
				}
			}
			for _, w := range works[1:] {
				b.ReportMetric(float64(w.took)/float64(works[0].took), w.name+"/valid")
			}
			b.ReportMetric(float64(len(findings)), "findings")
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
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(jobs))
		start := time.Now()
		cmd := New(Program{Stdout: io.Discard, Stderr: io.Discard, Getenv: os.LookupEnv})
		cmd.SetArgs([]string{"--fail-on", "never", dir})
		if err := cmd.ExecuteContext(context.Background()); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	one, many := time.Hour, time.Hour // the shortest, as above
	for b.Loop() {
		one = min(one, run(1))
		many = min(many, run(0)) // as many as there are
	}
	b.ReportMetric(float64(one)/float64(many), "speedup")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "processors")
}
