package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// wait lets virtual time pass, and all that is due happen.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Nothing changed: nothing is written or applied. Each interval is drawn
// anew.
func TestTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		synctest.Wait()
		began := time.Now()
		var gaps []time.Duration
		for range 24 {
			next := h.Status().Next
			gaps = append(gaps, next.Sub(began))
			wait(time.Until(next))
			began = next
		}
		h.want("fetches", h.store.count(), 25)
		h.want("writes", len(h.writes), 1)
		h.want("updates", h.applier.count(), 1)
		distinct := map[time.Duration]bool{}
		for i, gap := range gaps {
			least, most := 54*time.Minute, 66*time.Minute
			if gap < least || gap > most {
				t.Errorf("tick %d came after %v", i, gap)
			}
			distinct[gap] = true
		}
		if len(distinct) < 20 {
			t.Errorf("only %d of 24 intervals differ", len(distinct))
		}
	})
}

// What changed, and only that, is applied; fragments of one secret together.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.store.put("both", both("o2", "t2"))
		h.want("flush", h.flush(), nil)
		h.want("update", h.applier.applied(1), "flush "+pathOne+"=o2 "+pathTwo+"=t2")
		h.is("o2")
		h.is("t2")
		// Another version of the same text is no change.
		h.store.put("solo", "s1\n")
		h.want("flush", h.flush(), nil)
		h.want("updates", h.applier.count(), 2)
		h.want("writes", len(h.writes), 2)
		h.want("version", h.find(pathSolo).Version, "v3")
	})
}

// One secret that fails does not hold back the others, and is said once.
func TestOneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.lines()
		wait(time.Minute)
		h.store.set(func(s *store) { s.broken["both"] = sources.Denied })
		h.store.put("solo", "s2")
		err := h.flush()
		var failure *render.Problems
		if !errors.As(err, &failure) || len(failure.List) != 1 || failure.List[0].Secret != "both" {
			t.Errorf("flush: %v", err)
		}
		h.want("update", h.applier.applied(1), "flush "+pathSolo+"=s2")
		h.is("s2")
		h.is("o1")
		if s := h.find(pathOne); s.Fresh || s.Age != 60 {
			t.Errorf("the status of what failed: %+v", s)
		}
		if s := h.find(pathSolo); !s.Fresh || s.Age != 0 {
			t.Errorf("the status of what did not: %+v", s)
		}
		if lines := h.lines(); len(lines) != 2 || !strings.Contains(lines[0], "refresh failed") || !strings.Contains(lines[0], "oldest_value=1m0s") {
			t.Errorf("log: %q", lines)
		}
		_ = h.flush() // fails as before
		h.want("lines", len(h.lines()), 0)
		h.store.set(func(s *store) { clear(s.broken) })
		h.want("flush", h.flush(), nil)
		if lines := h.lines(); len(lines) != 1 || !strings.Contains(lines[0], "all is well again") {
			t.Errorf("log: %q", lines)
		}
		h.Loop.Restarted()
		var recent []string
		for _, a := range h.Loop.Status().Recent {
			recent = append(recent, string(a.Trigger)+" "+a.Result)
		}
		h.want("the last refreshes", strings.Join(recent, ", "), "start changed, flush partly failed, flush partly failed, flush unchanged, restarted ")
		for range 2 * recentKept {
			h.Loop.Restarted()
		}
		h.want("how many are kept", len(h.Loop.Status().Recent), recentKept)
	})
}

// A hundred failed refreshes: the file and Bifrost are untouched, the waits grow
// to five minutes, a line is logged at the beginning, after ten minutes, every hour
// and at the end, and it stays ready.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Interval = 24 * time.Hour })
		defer h.begin()()
		h.lines()
		h.store.set(func(s *store) { s.down = true })
		began := time.Now()
		_ = h.flush()
		last := time.Now()
		for i := range 100 {
			tries := h.store.count()
			for h.store.count() == tries {
				wait(time.Second)
			}
			gap := time.Since(last).Round(time.Second)
			last = time.Now()
			most := min(5*time.Second<<min(i, 10), 5*time.Minute)
			if gap > most+time.Second || gap < most/2-time.Second {
				t.Errorf("try %d came after %v, want between %v and %v", i, gap, most/2, most)
			}
			if err := h.Ready(); err != nil {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		}
		h.want("writes", len(h.writes), 1)
		h.want("updates", h.applier.count(), 1)
		told := map[string]int{}
		for _, line := range h.lines() {
			_, message, _ := strings.Cut(line, "msg=")
			told[strings.SplitAfterN(message, `"`, 3)[1]]++
		}
		hours := int(time.Since(began).Hours())
		for message, want := range map[string]int{"refresh failed": 1, "refresh still failing": hours} {
			// the last reminder may be due, or not yet
			if n := told[message+`"`]; n != want && n != want+1 {
				t.Errorf("%s is told %d times in %v, want %d", message, n, time.Since(began), want)
			}
			delete(told, message+`"`)
		}
		if len(told) > 0 {
			t.Errorf("it is also told that %v", told)
		}
		h.store.set(func(s *store) { s.down = false })
		wait(5 * time.Minute)
		h.want("ready", h.Ready(), nil)
		if lines := h.lines(); len(lines) < 1 || !strings.Contains(lines[len(lines)-1], "all is well again") || !strings.Contains(lines[len(lines)-1], " tries=101") {
			t.Errorf("log: %q", lines)
		}
		// The waits begin anew.
		h.store.set(func(s *store) { s.down = true })
		_ = h.flush()
		if next := time.Until(h.Status().Next); next > 5*time.Second {
			t.Errorf("the next try is %v away", next)
		}
	})
}

// A value that Bifrost would misread is refused like one that does not come.
func TestBadValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.store.put("both", both("o2", "env.NOPE"))
		h.store.put("solo", "s2")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "the value itself begins with env.") {
			t.Errorf("flush: %v", err)
		}
		h.want("update", h.applier.applied(1), "flush "+pathSolo+"=s2")
		h.is("o1") // and not o2, whose sibling is refused
		h.want("result", h.Status().Last.Result, PartlyFailed)
		h.store.put("both", both("o3", "t3"))
		h.want("flush", h.flush(), nil)
		h.want("update", h.applier.applied(2), "flush "+pathOne+"=o3 "+pathTwo+"=t3")
	})
}

// The encryption key stays what it is, and everything else goes on.
func TestEncryptionKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.lines()
		h.store.put("enc", "another-key")
		h.store.put("solo", "s2")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "encryption_key: the key has changed and is refused") {
			t.Errorf("flush: %v", err)
		}
		h.want("update", h.applier.applied(1), "flush "+pathSolo+"=s2")
		h.is("the-key")
		h.want("state", h.find("encryption_key").State, Refused)
		if log := strings.Join(h.lines(), "\n"); !strings.Contains(log, "level=WARN") || strings.Contains(log, "another-key") {
			t.Errorf("log: %s", log)
		}
		// Waiting does not mend it: it is left to the tick.
		if next := time.Until(h.Status().Next); next < 50*time.Minute {
			t.Errorf("tried again in %v", next)
		}
		// A literal one in the document is refused with the whole document.
		h.document = strings.Replace(document, "vault.enc", "a-third-key", 1)
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "encryption_key") {
			t.Errorf("flush: %v", err)
		}
		h.is("the-key")
	})
}

// A key that goes is one that changes, where Bifrost's environment is known to
// have none in its place.
func TestEncryptionKeyGone(t *testing.T) {
	gone := strings.Replace(document, `"encryption_key":"vault.enc",`, "", 1)
	for name, one := range map[string]struct {
		getenv  func(string) (string, bool)
		refused bool
	}{
		"unknown":  {nil, false},
		"none":     {func(string) (string, bool) { return "", false }, true},
		"the same": {func(name string) (string, bool) { return "the-key", name == "BIFROST_ENCRYPTION_KEY" }, false},
		"another":  {func(name string) (string, bool) { return "another", name == "BIFROST_ENCRYPTION_KEY" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, func(o *Options) { o.Getenv = one.getenv })
				defer h.begin()()
				h.document = gone
				if err := h.flush(); (err != nil) != one.refused {
					t.Errorf("flush: %v", err)
				}
				h.want("writes", len(h.writes), map[bool]int{true: 1, false: 2}[one.refused])
			})
		})
	}
}

// A document that does not parse, or that wants what is not to be had, leaves
// everything as it was; and that is kept fresh.
func TestBadDocument(t *testing.T) {
	for name, bad := range map[string]string{
		"half":         document[:40],
		"empty":        "",
		"not there":    strings.Replace(document, "vault.solo", "vault.new", 1),
		"no fragment":  strings.Replace(document, "#two", "#three", 1),
		"a bad name":   strings.Replace(document, "vault.solo", "vault.../x", 1),
		"no reference": strings.Replace(document, "vault.solo", "vault.", 1),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, nil)
				defer h.begin()()
				h.lines()
				h.document = bad
				h.FileChanged()
				wait(time.Second)
				h.want("result", h.Status().Last.Result, PartlyFailed)
				h.want("writes", len(h.writes), 1)
				h.want("lines", len(h.lines()), 1)
				h.store.put("both", both("o2", "t2"))
				fetches := h.store.count()
				if h.flush() == nil {
					t.Error("the flush does not say that the document is bad")
				}
				h.want("update", h.applier.applied(1), "flush "+pathOne+"=o2 "+pathTwo+"=t2")
				// Each secret is fetched once, whichever document it is for.
				seen := map[string]bool{}
				for _, name := range strings.Fields(strings.Trim(fmt.Sprint(h.store.fetches[fetches:]), "[]")) {
					name = strings.Trim(name, "[]")
					if seen[name] {
						t.Errorf("%s was fetched twice: %v", name, h.store.fetches)
					}
					seen[name] = true
				}
				h.document = strings.Replace(document, `"name":"c"`, `"name":"renamed"`, 1)
				h.FileChanged()
				wait(time.Second)
				h.want("update", h.applier.applied(2), "file edited")
				h.want("result", h.Status().Last.Result, Changed)
			})
		})
	}
}

// A document that names a secret that comes later is in force once it is there.
func TestLateSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.document = strings.Replace(document, "vault.solo", "vault.new", 1)
		h.FileChanged()
		wait(time.Second)
		h.store.put("new", "n1")
		wait(time.Minute)
		h.want("update", h.applier.applied(1), "retry edited "+pathSolo+"=n1")
	})
}

// Events are waited for until they are quiet, but not for ever.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		wait(2 * time.Second)
		h.FileChanged()
		wait(199 * time.Millisecond)
		h.want("too early", h.store.count(), 1)
		wait(time.Millisecond)
		h.want("at last", h.store.count(), 2)
		wait(10 * time.Second)
		for range 21 { // an event each 100 ms
			h.FileChanged()
			wait(100 * time.Millisecond)
		}
		h.want("in spite of the events", h.store.count(), 3)
		h.want("trigger", h.Status().Last.Trigger, File)
	})
}

// A flush begins at once; one that comes during a refresh waits for one more,
// and all that do share it.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		wait(time.Minute)
		h.store.set(func(s *store) { s.takes = 100 * time.Millisecond })
		began := time.Now()
		h.want("flush", h.flush(), nil)
		h.want("took", time.Since(began), 100*time.Millisecond)
		wait(time.Minute)
		go h.flush()
		wait(50 * time.Millisecond)
		h.store.put("solo", "s2") // the refresh under way may have read the old one
		began = time.Now()
		for range 50 {
			go h.flush()
		}
		h.Trigger(Signal)
		h.want("flush", h.flush(), nil)
		h.want("took", time.Since(began), 150*time.Millisecond)
		wait(time.Minute)
		h.want("fetches", h.store.count(), 4)
		h.is("s2")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := h.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller who goes: %v", err)
		}
	})
}

// A thousand flushes in a second cost at most three refreshes, and a storm of
// signals no more.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		wait(time.Minute)
		for range 1000 {
			go h.flush()
			wait(time.Millisecond)
		}
		wait(10 * time.Second)
		if n := h.store.count() - 1; n > 3 || n < 2 {
			t.Errorf("%d refreshes for 1000 flushes", n)
		}
		before := h.store.count()
		for range 1000 {
			h.Trigger(Signal)
			wait(time.Millisecond)
		}
		wait(10 * time.Second)
		if n := h.store.count() - before; n > 3 || n < 2 {
			t.Errorf("%d refreshes for 1000 signals", n)
		}
	})
}

// The end comes at once while the backend hangs, and everybody is let go.
func TestEndInHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		end := h.begin()
		h.store.set(func(s *store) { s.hung = true })
		h.lines()
		first := make(chan error, 2)
		go func() { first <- h.flush() }()
		wait(time.Second)
		go func() { first <- h.flush() }()
		synctest.Wait()
		began := time.Now()
		end()
		h.want("took", time.Since(began), time.Duration(0))
		for range 2 {
			if err := <-first; err == nil {
				t.Error("a flush that never happened went well")
			}
		}
		h.want("lines", len(h.lines()), 0)
	})
}

// A fetch has a deadline.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.store.set(func(s *store) { s.hung = true })
		began := time.Now()
		if h.flush() == nil {
			t.Error("no failure")
		}
		h.want("took", time.Since(began), 30*time.Second)
		h.want("result", h.Status().Last.Result, AllFailed)
	})
}

// A start waits for a backend that comes up, and for nothing else.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.store.down = true
		began := time.Now()
		go func() {
			wait(20 * time.Second)
			h.store.set(func(s *store) { s.down = false })
		}()
		h.want("start", h.Start(t.Context(), time.Minute), nil)
		if took := time.Since(began); took < 20*time.Second || took > 36*time.Second {
			t.Errorf("took %v", took)
		}
		synctest.Wait()

		h = newHarness(t, nil)
		h.store.down = true
		began = time.Now()
		var problems *render.Problems
		if err := h.Start(t.Context(), time.Minute); !errors.As(err, &problems) || !problems.Retryable() {
			t.Errorf("start: %v", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %v", took)
		}
		h.want("writes", len(h.writes), 0)
		h.want("ready", h.Ready() != nil, true)

		h = newHarness(t, nil)
		delete(h.store.values, "solo")
		began = time.Now()
		if err := h.Start(t.Context(), time.Minute); !errors.As(err, &problems) || len(problems.List) != 1 {
			t.Errorf("start: %v", err)
		}
		h.want("took", time.Since(began), time.Duration(0))

		// What did not start in time comes when the backend does.
		h = newHarness(t, func(o *Options) { o.Supervised = true })
		h.store.down = true
		_ = h.Start(t.Context(), 0)
		defer h.run()()
		wait(time.Minute)
		h.store.set(func(s *store) { s.down = false })
		wait(5 * time.Minute)
		h.want("ready", h.Ready(), nil)
		if got := h.applier.applied(0); !strings.HasPrefix(got, "retry edited encryption_key=the-key") {
			t.Errorf("update: %s", got)
		}
	})
}

// A file that cannot be written is written later.
func TestPublishFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.full.Store(true)
		h.store.put("solo", "s2")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("flush: %v", err)
		}
		h.want("updates", h.applier.count(), 1)
		h.full.Store(false)
		wait(10 * time.Second)
		h.want("update", h.applier.applied(1), "retry "+pathSolo+"=s2")
		h.is("s2")
	})
}

// What could not be applied is applied again, with what comes next or by
// itself; and after a restart of Bifrost everything is.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		var mended atomic.Bool
		h.applier.state = func(_ Update, c render.Change) State {
			if !mended.Load() && c.Path == pathSolo {
				return Failed
			}
			return Verified
		}
		h.store.put("solo", "s2")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "it did not work") {
			t.Errorf("flush: %v", err)
		}
		h.want("state", h.find(pathSolo).State, Failed)
		h.store.put("both", both("o2", "t2"))
		_ = h.flush()
		h.want("update", h.applier.applied(2), "flush "+pathOne+"=o2 "+pathTwo+"=t2 "+pathSolo+"=s2")
		fetches := h.store.count()
		h.lines()
		wait(10 * time.Minute)
		tries := h.applier.count() - 3
		if tries < 10 || tries > 40 {
			t.Errorf("tried %d times in ten minutes", tries)
		}
		h.want("update", h.applier.applied(3), "retry "+pathSolo+"=s2")
		if lines := h.lines(); len(lines) > 1 {
			t.Errorf("the log says it %d times", len(lines))
		}
		h.want("fetches", h.store.count(), fetches)
		mended.Store(true)
		wait(time.Minute)
		h.want("state", h.find(pathSolo).State, Verified)
		n := h.applier.count()
		wait(10 * time.Minute)
		h.want("updates", h.applier.count(), n)
		h.Restarted()
		synctest.Wait()
		h.want("update", h.applier.applied(n), "restarted encryption_key=the-key "+pathOne+"=o2 "+pathTwo+"=t2 "+pathSolo+"=s2")
		h.want("fetches", h.store.count(), fetches)
	})
}

// Values that Bifrost did not live with are rolled back, and not tried again
// until they change.
func TestRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.store.put("solo", "bad")
		h.store.put("both", both("o2", "t1"))
		h.want("flush", h.flush(), nil)
		h.is("bad")
		h.lines()
		h.Rejected(h.applier.updates[0].Rendering, "Bifrost ended")
		synctest.Wait()
		h.is("s1")
		h.is("o1")
		h.want("update", h.applier.applied(1), "restarted rollback encryption_key=the-key "+pathOne+"=o1 "+pathTwo+"=t1 "+pathSolo+"=s1")
		if s := h.find(pathSolo); s.State != Refused || s.Fresh || !strings.Contains(s.Reason, "Bifrost ended") {
			t.Errorf("status: %+v", s)
		}
		if log := strings.Join(h.lines(), "\n"); !strings.Contains(log, "rolled back") || !strings.Contains(log, pathSolo) {
			t.Errorf("log: %s", log)
		}
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "vault.solo (version v3): Bifrost ended") {
			t.Errorf("flush: %v", err)
		}
		h.want("updates", h.applier.count(), 2)
		h.store.put("solo", "good")
		_ = h.flush()
		h.want("update", h.applier.applied(2), "flush "+pathSolo+"=good")
		h.is("o1")
		h.store.put("both", both("o3", "t3"))
		h.want("flush", h.flush(), nil)

		// An edited document is rolled back too.
		h.Accepted(h.intended)
		synctest.Wait()
		h.document = strings.Replace(document, "vault.solo", "plain", 1)
		h.want("flush", h.flush(), nil)
		h.is("plain")
		h.Rejected(h.intended, "Bifrost ended")
		synctest.Wait()
		h.is("good")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "the document before it is in force") {
			t.Errorf("flush: %v", err)
		}
		h.is("good")
		h.document = strings.Replace(document, "vault.solo", "better", 1)
		h.want("flush", h.flush(), nil)
		h.is("better")
	})
}

// A Bifrost that is down does not wait for a backend that hangs, and who waits
// for a refresh gets one.
func TestRejectedInHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.store.put("solo", "bad")
		h.want("flush", h.flush(), nil)
		h.store.set(func(s *store) { s.hung = true })
		flushed := make(chan error, 1)
		go func() { flushed <- h.flush() }()
		wait(2 * time.Second)
		h.store.set(func(s *store) { s.hung = false })
		began := time.Now()
		h.Rejected(h.intended, "Bifrost ended")
		synctest.Wait()
		h.want("took", time.Since(began), time.Duration(0))
		h.is("s1")
		if err := <-flushed; err == nil || !strings.Contains(err.Error(), "vault.solo") {
			t.Errorf("flush: %v", err)
		}
	})
}

// That /readyz fails is logged at once, after ten minutes, every hour and at the
// end.
func TestNotReadyIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		h := newHarness(t, func(o *Options) {
			o.Ready = func() error {
				if away.Load() {
					return errors.New("bifrost does not answer")
				}
				return nil
			}
		})
		defer h.begin()()
		synctest.Wait() // the loop has nothing to do for an hour
		h.lines()
		for _, down := range []bool{true, false} {
			away.Store(down)
			h.Look()
			wait(3*time.Hour + 30*time.Minute)
		}
		said := map[string]int{}
		for _, line := range h.lines() {
			for _, message := range []string{"not ready: /readyz fails from now on", "still not ready", "msg=ready not_ready_for=3h30m0s"} {
				if strings.Contains(line, message) {
					said[message]++
				}
			}
		}
		want := map[string]int{"not ready: /readyz fails from now on": 1, "still not ready": 4, "msg=ready not_ready_for=3h30m0s": 1}
		if !maps.Equal(said, want) {
			t.Errorf("the log has %v, want %v", said, want)
		}
	})
}
