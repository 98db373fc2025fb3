package watch

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// messages are the lines since the last call: when, the message, and of the
// attributes those that are asked for.
func (h *harness) messages(names ...string) string {
	var all []string
	message := regexp.MustCompile(`^time=\S+T(\S+)\.\d+Z level=(\w+) msg=("[^"]*"|\S+)`)
	for _, line := range h.lines() {
		m := message.FindStringSubmatch(line)
		said := m[1] + " " + m[2] + " " + strings.Trim(m[3], `"`)
		for _, name := range names {
			if found := regexp.MustCompile(` ` + name + `=("[^"]*"|\S+)`).FindString(line); found != "" {
				said += found
			}
		}
		all = append(all, said)
	}
	return strings.Join(all, "\n")
}

// A state that lasts is told when it begins, after ten minutes, each hour, when it
// changes and when it ends; also where nothing is tried meanwhile.
func TestLastingIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Interval = 24 * time.Hour })
		defer h.begin()()
		h.want("at the start", h.messages(), "00:00:00 INFO refreshed\n00:00:00 INFO applied\n00:00:00 INFO ready")
		h.store.put("enc", "another") // which nobody tries again
		_ = h.flush()
		wait(3 * time.Hour)
		h.want("three hours", h.messages("since", "tries"), `00:00:00 WARN refresh failed
00:10:00 WARN refresh still failing since=2000-01-01T00:00:00Z tries=1
01:10:00 WARN refresh still failing since=2000-01-01T00:00:00Z tries=1
02:10:00 WARN refresh still failing since=2000-01-01T00:00:00Z tries=1`)
		h.want("failing", *h.Status().Failing, Lasting{Since: time.Now().Add(-3 * time.Hour), Tries: 1})
		h.store.set(func(s *store) { s.broken["solo"] = sources.Denied })
		_ = h.flush()
		wait(11 * time.Minute)
		log := h.messages("since", "problems")
		for _, want := range []string{"03:00:00 WARN refresh failed since=2000-01-01T00:00:00Z", "the key has changed", "access denied", "\n03:10:00 WARN refresh still failing"} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in %s", want, log)
			}
		}
		h.store.set(func(s *store) { clear(s.broken); s.values["enc"] = "the-key" })
		h.want("flush", h.flush(), nil)
		h.want("the end", h.messages("failed_for"), "03:11:00 INFO refreshed, all is well again failed_for=3h11m0s")
		h.want("failing", h.Status().Failing, (*Lasting)(nil))
	})
}

// What Bifrost does not have is not called applied, and is told again, with when it
// is tried next and what to do.
func TestNotAppliedIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		h.lines()
		h.applier.state = func(_ Update, c render.Change) State {
			if c.Path == pathSolo {
				return Failed
			}
			return Verified
		}
		h.store.put("solo", "s2")
		_ = h.flush()
		h.store.put("both", both("o2", "t2"))
		_ = h.flush()
		wait(time.Hour + 11*time.Minute)
		h.want("an hour", h.messages("failed", "since"), `00:00:00 INFO refreshed
00:00:00 WARN not applied failed=1
00:00:01 INFO refreshed
00:00:01 WARN partly applied failed=1
00:10:00 WARN still not applied since=2000-01-01T00:00:00Z
01:10:00 WARN still not applied since=2000-01-01T00:00:00Z`)
		if s := h.Status(); s.Unapplied == nil || !s.Unapplied.Since.Equal(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("status: %+v", s.Unapplied)
		}
		h.applier.mu.Lock()
		h.applier.state = nil
		h.applier.mu.Unlock()
		wait(6 * time.Minute)
		log := h.messages("not_applied_for")
		if !strings.Contains(log, " INFO applied not_applied_for=1h1") || strings.Contains(log, "WARN") {
			t.Errorf("the end: %s", log)
		}
	})
}

// Each wait of a start that grows is told, and then it is told again as any state is.
func TestStartIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.store.down = true
		if err := h.Start(t.Context(), 2*time.Hour); err == nil {
			t.Fatal("it has started")
		}
		log := h.messages("tries", "gives_up_in")
		if n := strings.Count(log, "the start is tried again"); n != 5 {
			t.Errorf("%d waits are told: %s", n, log)
		}
		if n := strings.Count(log, "refresh still failing"); n != 2 {
			t.Errorf("it is told again %d times: %s", n, log)
		}
		if n := strings.Count(log, "\n"); n > 12 {
			t.Errorf("%d lines: %s", n, log)
		}
	})
}

// The state of a field, since when it is so, and why do not contradict each other.
func TestStateSinceReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		defer h.begin()()
		began := time.Now()
		check := func(what string, state State, since time.Time, reason string) {
			t.Helper()
			if s := h.find(pathSolo); s.State != state || s.Since.Sub(since).Abs() > 2*time.Second || !strings.HasPrefix(s.Reason, reason) || reason == "" && s.Reason != "" {
				t.Errorf("%s: %s since %v: %q", what, s.State, s.Since, s.Reason)
			}
		}
		check("at first", Verified, began, "")
		h.full.Store(true)
		h.store.put("solo", "s0")
		_ = h.flush()
		check("not written", LastGood, began, "new value not published: no space left on device")
		h.store.put("solo", "s1")
		h.full.Store(false)
		h.want("flush", h.flush(), nil)
		check("as before", Verified, began, "")
		wait(10 * time.Minute)
		h.store.set(func(s *store) { delete(s.values, "solo") })
		_ = h.flush()
		check("gone", LastGood, began, "not found")
		h.store.put("solo", "env.NOPE")
		_ = h.flush()
		check("refused", LastGood, began, "new value refused: the value itself begins with env.")
		h.store.put("solo", "s2")
		h.want("flush", h.flush(), nil)
		check("another", Verified, began.Add(10*time.Minute), "")
		wait(10 * time.Minute)
		h.applier.mu.Lock()
		h.applier.state = func(Update, render.Change) State { return Failed }
		h.applier.mu.Unlock()
		h.store.put("solo", "s3")
		_ = h.flush()
		wait(time.Minute)
		check("not applied", Failed, began.Add(20*time.Minute), "it did not work")
		h.store.set(func(s *store) { delete(s.values, "solo") })
		_ = h.flush()
		check("neither", Failed, began.Add(20*time.Minute), "it did not work; not found")
	})
}
