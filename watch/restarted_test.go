package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// slow is a Bifrost whose API answers late, and then does not take a field.
type slow struct {
	healthy atomic.Bool
	given   []string // triggers and paths
}

func (*slow) Kind() string { return "api" }

func (s *slow) Apply(_ context.Context, u Update) []Outcome {
	words := []string{string(u.Trigger)}
	if u.Again {
		words = append(words, "again")
	}
	var out []Outcome
	for _, c := range u.Changed {
		words = append(words, c.Path)
		o := Outcome{Path: c.Path, State: Verified}
		switch {
		case !s.healthy.Load():
			o.State = Failed
		case c.Path == pathSolo:
			o.State = RestartRequired
		}
		out = append(out, o)
	}
	s.given = append(s.given, strings.Join(words, " "))
	return out
}

// restarts starts a Bifrost anew whenever it is asked to.
type restarts struct {
	n    int
	loop *Loop
}

func (*restarts) Kind() string { return "restart" }

func (r *restarts) Apply(_ context.Context, u Update) []Outcome {
	r.n++
	r.loop.Restarted()
	return outcomesOf(u, InForce, "")
}

// A Bifrost that comes up late after a restart, and whose API does not take a
// field, has read that field at its start: it is not restarted for it.
func TestLateAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, again := &slow{}, &restarts{}
		h := newHarness(t, func(o *Options) {
			o.Supervised, o.Applier = true, &Split{Word: "auto", API: api, Restart: again}
		})
		again.loop = h.Loop
		defer h.begin()()
		h.Restarted()
		wait(3 * time.Minute)
		h.want("restarts", again.n, 0)
		h.want("first", api.given[0], "restarted "+pathOne+" "+pathTwo+" "+pathSolo)
		h.want("state", h.find(pathSolo).State, Failed)
		h.want("of what is not the API's", h.find("encryption_key").State, InForce)
		h.want("second", api.given[1], "restarted again "+pathOne+" "+pathTwo+" "+pathSolo)
		if n := len(api.given); n < 5 || n > 12 {
			t.Errorf("%d tries in three minutes", n)
		}
		if lines := strings.Join(h.lines(), "\n"); strings.Count(lines, "not_applied") > 2 {
			t.Errorf("log: %s", lines)
		}
		// What changes meanwhile goes its own way, and the rest stays as it was.
		h.store.put("both", both("o2", "t1"))
		_ = h.flush()
		h.want("the change", api.given[len(api.given)-1], "flush "+pathOne)
		api.healthy.Store(true)
		wait(2 * time.Minute)
		if n := len(api.given); api.given[n-2] != "restarted again "+pathTwo+" "+pathSolo || api.given[n-1] != "retry "+pathOne {
			t.Errorf("the last: %q", api.given[n-2:])
		}
		h.want("restarts", again.n, 0)
		h.want("state", h.find(pathSolo).State, Unverifiable)
		h.want("state", h.find(pathOne).State, Verified)
		n := len(api.given)
		wait(time.Hour)
		h.want("hand-overs", len(api.given), n)
		// A value that is new since the start is another matter.
		h.store.put("solo", "s2")
		h.want("flush", h.flush(), nil)
		synctest.Wait()
		h.want("restarts", again.n, 1)
		h.want("state", h.find(pathSolo).State, Unverifiable)
	})
}

// A start whose Bifrost is not there yet is applied as a start, once it is:
// what Bifrost has already is then not written again.
func TestLateAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &slow{}
		h := newHarness(t, func(o *Options) { o.Applier = &Split{Word: "auto", API: api} })
		defer h.begin()()
		wait(10 * time.Second)
		api.healthy.Store(true)
		wait(time.Minute)
		h.want("first", api.given[0], "start "+pathOne+" "+pathTwo+" "+pathSolo)
		for _, given := range api.given[1:] {
			h.want("later", given, "start again "+pathOne+" "+pathTwo+" "+pathSolo)
		}
		n := len(api.given)
		h.Restarted()
		synctest.Wait()
		h.want("after a restart", fmt.Sprint(slices.Clone(api.given[n:])), "[restarted "+pathOne+" "+pathTwo+" "+pathSolo+"]")
	})
}

// A value that goes by the API alone does not keep what Bifrost was started with
// from being accepted: what is rolled back later is the later alone.
func TestAcceptedBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(u Update, c render.Change) State {
			if c.Path == pathSolo && u.Trigger != Restarted {
				return Verified
			}
			return InForce
		}
		h.store.put("both", both("o2", "t1"))
		h.want("flush", h.flush(), nil)
		restarted := h.Rendering()
		h.Restarted()
		synctest.Wait()
		h.store.put("solo", "s2")
		h.want("flush", h.flush(), nil)
		h.Accepted(restarted)
		synctest.Wait()
		h.store.put("both", both("bad", "t1"))
		h.want("flush", h.flush(), nil)
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("o2")
		h.is("s2")
		h.want("solo is fresh", h.find(pathSolo).Fresh, true)
		h.want("one is fresh", h.find(pathOne).Fresh, false)
	})
}

// An edited document that Bifrost did not live with is the cause by itself: the
// secrets that it only moved are not blamed.
func TestRejectedEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.document = strings.Replace(document, `"vault.solo"}]`, `"vault.solo"},{"name":"d","value":"vault.solo"}]`, 1)
		h.want("flush", h.flush(), nil)
		h.lines()
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		if s := h.find(pathSolo); !s.Fresh || s.State != InForce {
			t.Errorf("status: %+v", s)
		}
		if log := strings.Join(h.lines(), "\n"); !strings.Contains(log, "fields=[]") {
			t.Errorf("log: %s", log)
		}
		var problems *render.Problems
		if err := h.flush(); !errors.As(err, &problems) || len(problems.List) != 1 || !strings.Contains(problems.List[0].Reason, "the document before it is in force") {
			t.Errorf("flush: %v", err)
		}
		h.document = document
		h.want("flush", h.flush(), nil)
	})
}

// A secret of which only a part has changed that no field has is not blamed for what
// Bifrost did not live with.
func TestRejectedBesideUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.store.put("both", `{"one":"o1","two":"t1","other":"new"}`)
		h.store.put("solo", "bad")
		h.want("flush", h.flush(), nil)
		h.lines()
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("s1")
		h.want("both is fresh", h.find(pathOne).Fresh, true)
		h.want("both", h.find(pathOne).State, InForce)
		if log := strings.Join(h.lines(), "\n"); !strings.Contains(log, "fields=["+pathSolo+"]") {
			t.Errorf("log: %s", log)
		}
		var problems *render.Problems
		if err := h.flush(); !errors.As(err, &problems) || len(problems.List) != 1 || problems.List[0].Secret != "solo" {
			t.Errorf("flush: %v", err)
		}
	})
}

// What a restart is not known to bring in is a reason to go back all the same, where
// Bifrost was started for it and ended; and what no restart brings in does not hold up
// what would be gone back to.
func TestRejectedUnsure(t *testing.T) {
	for _, one := range []struct {
		state State
		by    string
		both  string // what is gone back to
	}{{Unverifiable, "restart", "o1"}, {RestartRequired, "restart", "o1"}, {RestartRequired, "none", "o2"}, {Verified, "api", "o2"}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
			defer h.begin()()
			h.applier.state = func(u Update, _ render.Change) State {
				if u.Rollback {
					return InForce
				}
				return one.state
			}
			h.applier.by = one.by
			h.store.put("both", both("o2", "t1"))
			h.want("flush", h.flush(), nil)
			h.applier.state, h.applier.by = func(Update, render.Change) State { return Unverifiable }, "restart"
			h.store.put("solo", "bad")
			h.want("flush", h.flush(), nil)
			h.Rejected(h.Rendering(), "Bifrost ended")
			synctest.Wait()
			h.is("s1")
			h.is(one.both)
		})
	}
}

// A value that was refused once and is the good one by now is not held against it.
func TestRefusedIsGood(t *testing.T) {
	no := refusal{version: "v2", sum: sha256.Sum256([]byte("s1"))}
	r := refusals{values: map[string]refusal{"solo": no}}
	got := render.Values{"solo": {Value: secret("s1"), Version: "v2"}}
	check(t, len(r.match(got, nil)), 1)
	check(t, len(r.match(got, render.Values{"solo": {Value: secret("s0"), Version: "v2"}})), 1)
	check(t, len(r.match(got, render.Values{"solo": {Value: secret("s1"), Version: "v1"}})), 0)
}

// Where the vault_store alone was edited, the document is not what is refused.
func TestRejectedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.move("bad", map[string]string{"enc": "the-key", "both": both("o1", "t1"), "solo": "bad"})
		h.want("flush", h.flush(), nil)
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("s1")
		if err := h.flush(); err == nil || !strings.Contains(err.Error(), "the document before it is in force") {
			t.Errorf("flush: %v", err)
		}
		h.move("good", map[string]string{"enc": "the-key", "both": both("o1", "t1"), "solo": "s2"})
		h.want("flush", h.flush(), nil)
		h.is("s2")
	})
}

// What Bifrost was started with is accepted also while the next restart waits for
// its time: what is rolled back after that is the later alone.
func TestAcceptedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		state := InForce
		h.applier.state = func(u Update, c render.Change) State {
			if c.Path == pathTwo && u.Trigger != Restarted {
				return Verified
			}
			return state
		}
		h.store.put("both", both("o2", "t1"))
		h.want("flush", h.flush(), nil)
		started := h.Rendering()
		h.store.put("both", both("o2", "t2")) // by the API
		h.want("flush", h.flush(), nil)
		state = RestartRequired
		h.store.put("solo", "bad")
		h.want("flush", h.flush(), nil)
		h.Accepted(started)
		synctest.Wait()
		h.store.put("both", both("o2", "t3"))
		h.want("flush", h.flush(), nil)
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("o2")
		h.is("t2")
		h.is("s1")
		if n := h.applier.count(); !strings.Contains(h.applier.applied(n-1), "rollback") {
			t.Errorf("the last update: %s", h.applier.applied(n-1))
		}
	})
}

// What was started last, with others started and coming before and after it, is
// what is gone back to once it is accepted.
func TestAcceptedAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
		defer h.begin()()
		state := InForce
		h.applier.state = func(Update, render.Change) State { return state }
		rotate := func(value string) *render.Rendering {
			h.store.put("solo", value)
			h.want("flush", h.flush(), nil)
			return h.Rendering()
		}
		rotate("s2") // it is started, and the next one right behind it
		second := rotate("s3")
		state = RestartRequired
		rotate("s4") // these wait for their time
		rotate("bad")
		h.Accepted(second)
		synctest.Wait()
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("s3")
		if s := h.find(pathSolo); s.Fresh {
			t.Errorf("status: %+v", s)
		}
		h.want("flush", h.flush() == nil, false)
	})
}

// A Bifrost that was started with the file of an earlier life gets what has changed
// since, and is restarted for nothing else.
func TestSinceAnEarlierLife(t *testing.T) {
	earlier := strings.NewReplacer("vault.enc", "the-key", "vault.both#one", "o1", "vault.both#two", "t1", "vault.solo", "s1").Replace(document)
	all := " encryption_key=the-key " + pathOne + "=o1 " + pathTwo + "=t1 " + pathSolo + "=s2"
	for name, test := range map[string]struct {
		was   string
		state State
		want  []string
	}{
		"live":             {earlier, Verified, []string{"retry " + pathSolo + "=s2", "restarted" + all}},
		"for a restart":    {earlier, RestartRequired, []string{"retry " + pathSolo + "=s2"}},
		"another document": {earlier + " ", Verified, []string{"retry edited" + all, "restarted" + all}},
		"which is not had": {"", Verified, []string{"retry edited" + all, "restarted" + all}},
		"nothing has":      {strings.Replace(earlier, "s1", "s2", 1), Verified, []string{"restarted" + all}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, func(o *Options) {
					o.Supervised, o.Refuses = true, true
					o.Earlier = func() []byte {
						if test.was == "" {
							return nil
						}
						return []byte(test.was)
					}
				})
				h.writes = []string{test.was}
				h.applier.state = func(u Update, _ render.Change) State {
					if u.Trigger == Retry {
						return test.state
					}
					return Verified
				}
				h.store.set(func(s *store) { s.broken["solo"] = sources.Unreachable })
				if err := h.Start(t.Context(), 0); err == nil {
					t.Fatal("started")
				}
				defer h.run()()
				wait(time.Second)
				h.store.set(func(s *store) { delete(s.broken, "solo") })
				h.store.put("solo", "s2")
				wait(10 * time.Minute)
				h.want("updates", h.applier.count(), len(test.want))
				for i, want := range test.want {
					h.want("update", h.applier.applied(i), want)
				}
			})
		})
	}
}
