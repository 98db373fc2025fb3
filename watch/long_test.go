package watch

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/sources"
)

// Raced reports whether the tests were built with the race detector. With it, and with
// -short, what counts for
// long is a tenth: `make test` runs all of it once more, without.
var Raced bool

// settled returns the bytes of the heap that are in use.
func settled() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go of
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// grow makes a document with n references to n secrets, and their values.
func grow(h *harness, n int) {
	var b strings.Builder
	b.WriteString(`{"providers":{"openai":{"keys":[`)
	h.store.values = map[string]string{}
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"k%d","value":"vault.s%d"}`, i, i)
		h.store.values[fmt.Sprintf("s%d", i)] = fmt.Sprintf("sk-%0100d", i)
	}
	b.WriteString(`]}}}`)
	h.document = b.String()
}

// goroutines returns how many this test has: those that another has left may end
// meanwhile, and the runtime starts some by itself.
func goroutines() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "synctest bubble")
}

// steady holds the heap and the goroutines before against those after.
func steady(t *testing.T, work func()) {
	t.Helper()
	work() // whatever is made once
	heap, before := settled(), goroutines()
	check(t, before > 0, true)
	work()
	after := settled()
	check(t, goroutines(), before)
	if float64(after) > 1.05*float64(heap) {
		t.Errorf("the heap has grown from %d to %d bytes", heap, after)
	}
}

// A day of ticks, with a failure each hour: nothing grows.
func TestDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Interval = time.Minute })
		grow(h, 200)
		defer h.begin()()
		steady(t, func() {
			hours := 12
			if Raced || testing.Short() {
				hours = 2
			}
			for hour := range hours {
				h.store.set(func(s *store) {
					s.fetches = nil
					s.down = hour%2 == 1
				})
				wait(time.Hour)
			}
			h.store.set(func(s *store) { s.down = false })
			wait(time.Hour)
			h.lines()
		})
	})
}

// Ten thousand refreshes, half of which bring something new: nothing grows.
func TestTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		grow(h, 50)
		defer h.begin()()
		n := 0
		steady(t, func() {
			refreshes := 5000
			if Raced || testing.Short() {
				refreshes = 500
			}
			for range refreshes {
				n++
				h.store.set(func(s *store) {
					s.fetches = nil
					if n%2 == 0 {
						s.values["s7"] = fmt.Sprintf("sk-%0100d", n)
					}
				})
				h.want("flush", h.flush(), nil)
			}
			h.writes, h.applier.updates = h.writes[len(h.writes)-1:], nil
			h.lines()
		})
	})
}

// An unchanged tick fetches each secret once, in as few calls as there can be,
// and renders nothing.
func TestTickCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		grow(h, 1000)
		defer h.begin()()
		h.want("flush", h.flush(), nil)
		h.want("calls", h.Status().Last.Calls, 50)
		h.want("secrets", len(h.store.fetches[1]), 1000)
		before := h.Rendering()
		h.want("flush", h.flush(), nil)
		h.want("rendering", h.Rendering(), before)
	})
}

// BenchmarkTick is what an unchanged tick of 1,000 references costs the loop.
func BenchmarkTick(b *testing.B) {
	var t testing.T
	h := newHarness(&t, nil)
	grow(h, 1000)
	if err := h.Start(b.Context(), 0); err != nil {
		b.Fatal(err)
	}
	values := map[string]sources.Result{}
	for name, res := range h.good.results {
		values[name] = res
	}
	h.good.job.Source = &same{store: h.store, values: values}
	for b.Loop() {
		h.gate = gate{}
		if err := h.refresh(b.Context(), Tick); err != nil {
			b.Fatal(err)
		}
	}
}

// same is a store that answers at once with what it got.
type same struct {
	*store
	values map[string]sources.Result
}

func (s *same) Fetch(context.Context, []string) map[string]sources.Result { return s.values }
