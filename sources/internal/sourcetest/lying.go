package sourcetest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/cloudtest"
)

// mostMemory is how much a source may take for whatever it is told, in bytes,
// with several requests under way.
const mostMemory = 1 << 30

// testLying has the server lie, to a source that has yet to sign in and to one
// that has: nothing of it is taken for an answer, not even that there is no such
// secret; no credential goes to another host; and all of it ends in time.
func testLying(r *run) {
	if testing.Short() {
		r.Skip("it has a server that takes its time")
	}
	if r.Column == "" {
		r.Skip("another setup of the same backend has shown it")
	}
	r.Seed("a", value("a"))
	for _, lie := range cloudtest.Lies(r.Elsewhere) {
		r.Run(lie.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(r.Context(), 2*limit)
			defer cancel()
			heap := watchHeap()
			for what, ready := range map[string]bool{"signing in": false, "signed in": true} {
				w := watched{r.Again(), t}
				t.Cleanup(func() { _ = w.source.Close() })
				if ready {
					w.want(ctx, "a", value("a"))
				}
				r.Liar.Tell(&lie)
				during, end := ctx, context.CancelFunc(func() {})
				if lie.Silent {
					during, end = context.WithTimeout(ctx, deadline)
				}
				r.disbelieved(during, w, what, lie.Large)
				end()
				r.Liar.Tell(nil)
				w.want(ctx, "a", value("a")) // it works again
			}
			if peak := heap(); peak > mostMemory {
				t.Errorf("it took %d MiB", peak>>20)
			}
		})
	}
	if n := r.Liar.Stolen(); n > 0 {
		r.Errorf("%d requests went to another host", n)
	}
	if n := r.Liar.Modern(); n > 0 {
		r.Errorf("%d requests were HTTP/2, which GODEBUG makes Go print", n)
	}
}

// disbelieved checks that nothing has success, whatever is asked; where each
// request takes its time, of one.
func (r *run) disbelieved(ctx context.Context, w watched, what string, one bool) {
	fails := func(op string, err error) {
		w.heard(err)
		if kind := sources.KindOf(err); err == nil || kind == sources.NotFound || kind == sources.Conflict || kind == sources.BadName || kind == sources.BadSettings {
			w.t.Errorf("%s, %s: the lie was taken for an answer: kind %q, %v", what, op, kind, err)
		}
	}
	if one {
		fails("fetch one", w.fetch(ctx, "a")["a"].Err)
		return
	}
	var all sync.WaitGroup
	all.Go(func() {
		for _, result := range w.fetch(ctx, "a", "b", "c") {
			fails("fetch", result.Err)
		}
	})
	all.Go(func() { fails("fetch one", w.fetch(ctx, "a")["a"].Err) })
	all.Go(func() { fails("ping one", w.source.Ping(ctx, "a")) })
	if _, ok := w.source.(sources.Store); ok {
		all.Go(func() {
			for _, item := range w.inspect(ctx, "a", "b") {
				fails("look", item.Err)
			}
		})
		all.Go(func() {
			_, err := w.put(ctx, write("b", "never", ""))
			fails("put", err)
		})
		all.Go(func() { fails("delete", w.store().Delete(ctx, "a", owner, sources.DeleteOptions{})) })
	}
	all.Wait()
}

// watchHeap returns a function that returns the most that the heap has grown by
// since, and ends the watching.
func watchHeap() (most func() uint64) {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				runtime.ReadMemStats(&now)
				peak.Store(max(peak.Load(), now.HeapInuse))
			case <-stop:
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return peak.Load() - min(peak.Load(), before.HeapInuse)
	}
}

// testLyingLists has the server twist the lists in its answers: what comes of it
// is right, or an error.
func testLyingLists(r *run) {
	names := []string{"app/a", "app/b", "app/c"}
	for _, name := range names {
		r.watch.must(r.ctx, write(name, name, ""))
	}
	for _, lie := range cloudtest.Twisted(r.Elsewhere) {
		r.Run(lie.Name, func(t *testing.T) {
			w := watched{r.Again(), t}
			t.Cleanup(func() { _ = w.source.Close() })
			w.want(r.ctx, names[0], value(names[0]))
			r.Liar.Tell(&lie)
			defer r.Liar.Tell(nil)
			items, err := w.store().List(r.ctx, "app/")
			w.heard(err)
			var listed []string
			for _, item := range items {
				listed = append(listed, item.Name)
			}
			if err == nil && !slices.Equal(listed, names) {
				t.Errorf("the list is %q", listed)
			}
			for name, result := range w.fetch(r.ctx, names...) {
				if result.Err == nil {
					w.same(name, result, value(name))
				}
			}
			for _, item := range w.inspect(r.ctx, names...) {
				if item.Err == nil && (!item.Exists || item.Mark == nil) {
					t.Errorf("%s is %+v", item.Name, item)
				}
			}
		})
	}
	if n := r.Liar.Stolen(); n > 0 {
		r.Errorf("%d requests went to another host", n)
	}
}

// testOther has the server give the right answer for one secret to whoever asks
// for another.
func testOther(r *run) {
	r.Seed("mine", value("mine"))
	r.Seed("theirs", value("theirs"))
	w := r.another()
	var mu sync.Mutex
	var answers []*httptest.ResponseRecorder
	r.Liar.Tell(&cloudtest.Lie{Serve: func(rw http.ResponseWriter, req *http.Request, next http.Handler) {
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, req)
		mu.Lock()
		answers = append(answers, recorded)
		mu.Unlock()
		replay(rw, recorded)
	}})
	w.want(r.ctx, "theirs", value("theirs"))
	last := answers[len(answers)-1]
	r.Liar.Tell(nil)
	w.want(r.ctx, "mine", value("mine"))
	r.Liar.Tell(&cloudtest.Lie{Serve: func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) { replay(rw, last) }})
	for _, names := range [][]string{{"mine"}, {"mine", "other"}} {
		for name, result := range w.fetch(r.ctx, names...) {
			w.fails(result.Err, sources.Unusable, sources.Unreachable)
			if result.Err == nil {
				r.Errorf("%s has the value of another secret", name)
			}
		}
	}
}

func replay(w http.ResponseWriter, recorded *httptest.ResponseRecorder) {
	for key, values := range recorded.Header() {
		w.Header()[key] = slices.Clone(values)
	}
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(recorded.Body.Bytes())
}
