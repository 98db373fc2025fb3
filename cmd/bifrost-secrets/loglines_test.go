package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is who reads the log: it may stand still, or fail.
type reader struct {
	mu    sync.Mutex
	gate  chan struct{} // nil: it reads
	fail  error
	part  int // of a line that fails
	lines strings.Builder
}

func (r *reader) Write(b []byte) (int, error) {
	r.mu.Lock()
	gate := r.gate
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		n := min(r.part, len(b))
		r.lines.Write(b[:n])
		return n, r.fail
	}
	return r.lines.Write(b)
}

func (r *reader) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.String()
}

func queueTo(r *reader) *logLines {
	return &logLines{w: r, notice: func(n int) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }}
}

func TestLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		l := queueTo(r)
		l.Finish(time.Hour) // nothing was written
		fmt.Fprintln(l, "one")
		l.Finish(time.Hour)
		fmt.Fprintln(l, "two")
		l.Finish(time.Hour)
		if got := r.text(); got != "one\ntwo\n" || l.Dropped() != 0 {
			t.Errorf("got %q, %d dropped", got, l.Dropped())
		}
	})
}

// A reader that stands still holds nobody up, and finds what it missed counted.
func TestLogLinesStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := &reader{gate: gate}
		l := queueTo(r)
		line := strings.Repeat("x", 999) + "\n"
		const n = 3 * logMost / 1000
		for range n {
			if k, err := l.Write([]byte(line)); k != len(line) || err != nil {
				t.Fatal(k, err)
			}
		}
		dropped := l.Dropped()
		if most := uint64(logMost / 1000); n-dropped != most {
			t.Errorf("%d lines are kept, want %d", n-dropped, most)
		}
		began := time.Now()
		l.Finish(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("the end waited for %v", took)
		}
		r.set(func() { r.gate = nil })
		close(gate)
		l.Finish(time.Hour)
		fmt.Fprintln(l, "after")
		l.Finish(time.Hour)
		want := strings.Repeat(line, int(n-dropped)) + fmt.Sprintf("dropped %d\nafter\n", dropped)
		if got := r.text(); got != want {
			t.Errorf("got %d bytes that end %q, want %d", len(got), got[max(0, len(got)-40):], len(want))
		}
	})
}

// What cannot be written is counted too, each time from where it begins, and a
// line that was written in part is not taken for the beginning of the next.
func TestLogLinesFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{fail: errors.New("no space left on device"), part: 2}
		l := queueTo(r)
		for _, line := range []string{"one", "two", "three"} {
			fmt.Fprintln(l, line)
			l.Finish(time.Hour)
		}
		if got := l.Dropped(); got != 3 {
			t.Errorf("%d dropped, want 3", got)
		}
		r.set(func() { r.fail = nil; r.lines.Reset(); r.lines.WriteString("on") })
		fmt.Fprintln(l, "four")
		l.Finish(time.Hour)
		r.set(func() { r.fail, r.part = errors.New("gone"), 0 })
		fmt.Fprintln(l, "five")
		l.Finish(time.Hour)
		r.set(func() { r.fail = nil })
		fmt.Fprintln(l, "six")
		l.Finish(time.Hour)
		if got, want := r.text(), "on\ndropped 3\nfour\ndropped 1\nsix\n"; got != want || l.Dropped() != 4 {
			t.Errorf("got %q, %d dropped; want %q", got, l.Dropped(), want)
		}
	})
}

func TestLogLinesRace(t *testing.T) {
	r := &reader{}
	l := queueTo(r)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for k := range 200 {
				fmt.Fprintf(l, "%d %d\n", i, k)
			}
		})
	}
	writers.Wait()
	l.Finish(2 * time.Minute)
	if got := strings.Count(r.text(), "\n"); got != 1600 {
		t.Errorf("%d lines, want 1600", got)
	}
}
