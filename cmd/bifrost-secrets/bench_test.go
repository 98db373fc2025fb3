//go:build bench

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// TestBench prints what "How fast and how small" promises, measured here and
// now, as one table. Times depend on the machine and on what else it does, so a
// missed one is printed and fails nothing; numbers of requests do not, and fail.
//
// Every comparison is of the shortest of several runs, taken in turn, in one go.
func TestBench(t *testing.T) {
	binary, err := filepath.Abs("../../bin/bifrost-secrets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatal("the binary is missing: run make bench, or make build before")
	}
	b := &bench{T: t}
	b.binary = b.installed(binary, binary+"-lint")
	b.hello = b.installed(b.buildHello())
	b.start()
	b.real()
	b.walking()
	b.linting()
	b.rendering()
	b.requests()
	b.latency()
	b.postgres()
	b.vaultLatency()
	b.clouds()
	b.growth()
	b.small()
	b.print()
}

// bench is one run of all measurements.
type bench struct {
	*testing.T
	binary string
	hello  string // a program that does nothing
	rows   []row
}

type row struct{ what, measured, goal, verdict string }

// row adds a line to the table.
func (b *bench) row(met bool, what, goal, format string, args ...any) {
	verdict := "ok"
	if !met {
		verdict = "MISSED"
	}
	b.rows = append(b.rows, row{what, fmt.Sprintf(format, args...), goal, verdict})
}

// unmeasured adds a line for what cannot be measured here.
func (b *bench) unmeasured(what, goal, why string) {
	b.rows = append(b.rows, row{what, "not measured: " + why, goal, "-"})
}

func (b *bench) print() {
	fmt.Printf("%s, %s/%s, %d processors\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tGOAL\t")
	for _, r := range b.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.what, r.measured, r.goal, r.verdict)
	}
	if err := w.Flush(); err != nil {
		b.Error(err)
	}
	fmt.Println()
}

// inTurn runs each of works so often, one after the other, so that a machine
// that is busy for a while slows none of them alone. Each starts on a heap that
// has been given back, as a new process does. It returns the times of each,
// sorted.
func inTurn(times int, works ...func()) [][]time.Duration {
	took := make([][]time.Duration, len(works))
	for range times {
		for i, work := range works {
			debug.FreeOSMemory()
			began := time.Now()
			work()
			took[i] = append(took[i], time.Since(began))
		}
	}
	for _, all := range took {
		slices.Sort(all)
	}
	return took
}

// fastest is inTurn with the shortest time of each.
func fastest(times int, works ...func()) []time.Duration {
	var out []time.Duration
	for _, all := range inTurn(times, works...) {
		out = append(out, all[0])
	}
	return out
}

// cheapest is fastest in time of the processors, which what else the machine does
// changes little. That of the garbage collector is in it.
func cheapest(times int, works ...func()) []time.Duration {
	out := make([]time.Duration, len(works))
	for i, work := range works {
		out[i] = time.Hour
		works[i] = func() {
			before := processorTime()
			work()
			out[i] = min(out[i], processorTime()-before)
		}
	}
	inTurn(times, works...)
	return out
}

// processorTime returns what this process has had of the processors so far.
func processorTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

// ms prints a time in milliseconds with three digits or so.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	if v < 100 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// mb prints a number of bytes in millions.
func mb(n int) string {
	if n >= 100e6 {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// peak returns the largest amount of memory, in bytes, that a process has had so
// far; 0 where there is no such process any more, or no /proc to ask. Unlike
// the rusage of a child, it leaves out the memory of the process that forked.
func peak(pid string) int {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}
