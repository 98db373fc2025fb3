package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
)

// queue gives out turns, one at a time, and keeps what was rejected.
type queue struct {
	mu       sync.Mutex
	alone    bool          // there is no cluster
	err      error         // why there are none to be had
	busy     chan struct{} // of capacity 1: somebody else's turn
	rejected map[string]string
	tells    time.Duration // what telling takes
	looks    time.Duration // what looking for rejections takes
	waits    time.Duration // how long it is before a wait is told of
	said     []string
}

func newQueue() *queue { return &queue{busy: make(chan struct{}, 1), rejected: map[string]string{}} }

func (q *queue) say(format string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.said = append(q.said, fmt.Sprintf(format, args...))
}

func (q *queue) heard() string {
	synctest.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	text := strings.Join(q.said, ", ")
	q.said = nil
	return text
}

func (q *queue) Known() bool { return !q.alone }

func (q *queue) Take(ctx context.Context, before error, waits func()) (func(), error) {
	if before != nil {
		q.say("again after %v", before)
	}
	q.mu.Lock()
	err := q.err
	q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case q.busy <- struct{}{}:
	default:
		defer time.AfterFunc(q.waits, waits).Stop()
		select {
		case q.busy <- struct{}{}:
		case <-ctx.Done():
			q.say("left")
			return nil, ctx.Err()
		}
	}
	q.say("taken")
	return func() { q.say("back"); <-q.busy }, nil
}

func (q *queue) Rejected(_ context.Context, brought []Brought) map[string]string {
	<-time.After(q.looks)
	q.mu.Lock()
	defer q.mu.Unlock()
	why := map[string]string{}
	for _, b := range brought {
		if text := q.rejected[b.Secret+" "+b.Version]; text != "" {
			why[b.Secret] = text
		}
	}
	return why
}

func (q *queue) reject(secret, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rejected[secret] = why
}

func (q *queue) Reject(_ context.Context, brought []Brought) {
	<-time.After(q.tells)
	q.say("told %v", brought)
}

func inTurns(q *queue) *supervised {
	n := newSupervised()
	n.MinInterval, n.Settle, n.Patience, n.Turns = 0, 5*time.Second, time.Minute, q
	n.Answers = func(ctx context.Context) error {
		select {
		case <-time.After(2 * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return n
}

// A restart waits for its turn, is made with the newest values, and the turn is held
// until Bifrost has been ready for a while.
func TestTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		n := inTurns(q)
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		<-time.After(time.Minute)
		check(t, q.heard(), "") // the first start is nobody else's business
		began := time.Now()
		check(t, n.apply(t, n.name("second"), false).State, InForce)
		check(t, time.Since(began), 2*time.Second)
		check(t, n.Status().Turn != "", true)
		check(t, q.heard(), "taken")
		<-time.After(4 * time.Second)
		check(t, q.heard(), "")
		<-time.After(time.Second)
		check(t, q.heard(), "back")
		check(t, n.Status().Turn, "")
		// Somebody else is at it.
		<-time.After(time.Minute)
		q.busy <- struct{}{}
		o := n.apply(t, n.name("third"), false)
		check(t, o.State, RestartRequired)
		check(t, strings.Contains(o.Reason, "when it is its turn"), true)
		check(t, strings.HasPrefix(n.Status().Turn, "waiting for our turn"), true)
		<-time.After(time.Hour)
		fourth := n.name("fourth")
		check(t, n.apply(t, fourth, false).State, RestartRequired)
		check(t, n.count(), 2)
		<-q.busy
		synctest.Wait()
		check(t, n.count(), 3)
		check(t, n.last().with, fourth)
		<-time.After(7 * time.Second)
		check(t, q.heard(), "taken, back")
		// The end does not wait for a turn, and one that is waited for is let go.
		q.busy <- struct{}{}
		n.apply(t, n.name("fifth"), false)
		cancel()
		wait()
		check(t, q.heard(), "left")
	})
}

// A turn is given back by a Bifrost that does not answer, too, and at the end.
func TestTurnBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		n := inTurns(q)
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		<-time.After(time.Minute)
		n.Answers = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		n.apply(t, n.name("second"), false)
		check(t, q.heard(), "taken")
		<-time.After(5 * time.Second)
		check(t, q.heard(), "back")
		n.apply(t, n.name("third"), false)
		check(t, q.heard(), "taken")
		cancel()
		wait()
		check(t, q.heard(), "back")
	})
}

// Where no turn is to be had, it is tried for once more after a while, and then the
// restart is made all the same.
func TestNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.err = errors.New("the database is away")
		n := inTurns(q)
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		<-time.After(time.Minute)
		for range 20 {
			before := n.count()
			o := n.apply(t, n.name("next"), false)
			check(t, o.State, RestartRequired)
			check(t, strings.Contains(o.Reason, "no turn to be had"), true)
			check(t, n.count(), before)
			<-time.After(clusterSplay)
			synctest.Wait()
			check(t, n.count(), before+1)
			check(t, q.heard(), "again after the database is away")
		}
		// It is back after the first try.
		n.apply(t, n.name("last"), false)
		q.mu.Lock()
		q.err = nil
		q.mu.Unlock()
		<-time.After(clusterSplay + 10*time.Second)
		check(t, q.heard(), "again after the database is away, taken, back")
		check(t, n.count(), 22)
		// And there is no need for a turn where there is no cluster.
		q.alone = true
		check(t, n.apply(t, n.name("alone"), false).State, InForce)
		check(t, q.heard(), "")
		cancel()
		wait()
	})
}

// pod is a loop with a supervisor whose children end over the value bad.
type pod struct {
	*harness
	n    *supervised
	wait func() (int, error)
}

func newPod(t *testing.T, q *queue, cancel *context.CancelFunc, change ...func(*harness)) *pod {
	n := inTurns(q)
	h := newHarness(t, func(o *Options) {
		o.Supervised, o.Refuses, o.Applier = true, true, &Split{Word: "restart", Restart: n.Supervisor}
		o.Rejected = func(ctx context.Context, brought []Brought) map[string]string { return q.Rejected(ctx, brought) }
	})
	for _, f := range change {
		f(h)
	}
	n.Supervisor.Loop = h.Loop
	n.Start = func(r *render.Rendering) (Child, error) {
		c, err := n.start(r)
		if strings.Contains(string(r.Document()), `bad"`) {
			time.AfterFunc(time.Second, func() { c.(*fakeChild).end(3) })
		}
		return c, err
	}
	if err := h.Start(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	*cancel = end
	stop := h.run()
	p := &pod{h, n, n.run(ctx, h.Rendering())}
	*cancel = func() {
		end()
		_, _ = p.wait()
		stop()
	}
	<-time.After(time.Minute)
	return p
}

func (p *pod) starts() (all []string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	for _, c := range p.n.children {
		for _, v := range c.with.Values() {
			if v.Path == pathSolo {
				all = append(all, string(v.Value.Reveal()))
			}
		}
	}
	return all
}

// What our Bifrost rejects the others are told of before the turn goes to them.
func TestTurnRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.tells = 9 * time.Second
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		p.store.put("solo", "bad")
		_ = p.flush()
		<-time.After(time.Minute)
		check(t, q.heard(), "taken, told [{solo v3}], back")
		check(t, fmt.Sprint(p.starts()), "[s1 bad s1]")
		p.is("s1")
		// It is not said again, and what comes next is.
		p.store.put("solo", "good")
		_ = p.flush()
		<-time.After(time.Minute)
		check(t, q.heard(), "taken, back")
		check(t, fmt.Sprint(p.starts()), "[s1 bad s1 good]")
		// An end of its own is no rejection.
		p.n.last().end(4)
		cancel()
		check(t, q.heard(), "")
	})
}

// What another's Bifrost has rejected ours is never started with: whether it is known
// when it is our turn, before, or before it is even fetched.
func TestTurnElsewhere(t *testing.T) {
	const why = "rejected by pod-7 at 22:16"
	for name, tell := range map[string]func(*pod, *queue){
		"at the turn": func(p *pod, q *queue) { q.reject("solo v3", why); <-q.busy },
		"before it": func(p *pod, q *queue) {
			q.reject("solo v3", why)
			p.n.Reconsider()
			synctest.Wait()
			check(p.t, q.heard(), "left")
			<-q.busy
		},
		"for something else": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var cancel context.CancelFunc
				p := newPod(t, q, &cancel)
				defer cancel()
				q.busy <- struct{}{}
				p.store.put("solo", "new")
				if tell == nil {
					p.store.put("both", both("o2", "t2"))
				}
				_ = p.flush()
				p.is("new")
				if tell == nil {
					q.reject("solo v3", why)
					<-q.busy
				} else {
					tell(p, q)
				}
				<-time.After(time.Minute)
				synctest.Wait()
				p.is("s1")
				s := p.find(pathSolo)
				check(t, s.State, Refused)
				check(t, strings.Contains(s.Reason, why+"; the last good value is in force"), true)
				check(t, s.Fresh, false)
				if log := strings.Join(p.lines(), "\n"); !strings.Contains(log, why) {
					t.Errorf("the log does not say why: %s", log)
				}
				if tell == nil { // what came with it goes on
					p.is("o2")
					check(t, fmt.Sprint(p.starts()), "[s1 s1]")
					return
				}
				check(t, fmt.Sprint(p.starts()), "[s1]")
				// Ticks do not try it, and a new version is tried.
				q.heard()
				<-time.After(3 * time.Hour)
				check(t, q.heard(), "")
				check(t, fmt.Sprint(p.starts()), "[s1]")
				p.store.put("solo", "newer")
				check(t, p.flush(), nil)
				<-time.After(time.Minute)
				check(t, fmt.Sprint(p.starts()), "[s1 newer]")
				check(t, p.find(pathSolo).State, InForce)
			})
		})
	}
}

// What Bifrost was started with just now is what it goes on with, though it is not
// known to run for long; if it ends after all, what was before that is put back.
func TestTurnElsewhereSoon(t *testing.T) {
	for _, lives := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			var cancel context.CancelFunc
			p := newPod(t, q, &cancel)
			defer cancel()
			p.store.put("solo", "second")
			check(t, p.flush(), nil)
			<-time.After(time.Second)
			q.busy <- struct{}{}
			q.reject("solo v3", "rejected by pod-7 at 22:16")
			p.store.put("solo", "new")
			_ = p.flush()
			<-q.busy
			<-time.After(time.Second)
			synctest.Wait()
			p.is("second")
			check(t, fmt.Sprint(p.starts()), "[s1 second]")
			if !lives {
				p.n.last().end(3)
			}
			<-time.After(time.Hour / 2)
			synctest.Wait()
			if lives {
				check(t, fmt.Sprint(p.starts()), "[s1 second]")
				p.is("second")
				p.n.last().end(4) // an end of its own
				return
			}
			check(t, fmt.Sprint(p.starts()), "[s1 second s1]")
			p.is("s1")
		})
	}
}

// With the end of its rejection a value is tried.
func TestTurnRejectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		defer cancel()
		q.reject("solo v3", "rejected by pod-7 at 22:16")
		p.store.put("solo", "new")
		check(t, p.flush() != nil, true)
		check(t, fmt.Sprint(p.starts()), "[s1]")
		q.mu.Lock()
		maps.DeleteFunc(q.rejected, func(string, string) bool { return true })
		q.mu.Unlock()
		check(t, p.flush(), nil)
		<-time.After(time.Minute)
		check(t, fmt.Sprint(p.starts()), "[s1 new]")
		check(t, len(p.Status().Problems), 0)
	})
}

// live has a pod with a key that goes through the API beside a virtual key, which
// wants a restart.
func live(h *harness) {
	h.document = all
	h.store.values = map[string]string{"k": "the-key", "live": "sk-1", "vk": "sk-bf-1"}
	h.o.Applier.(*Split).API = &speaker{kind: "api", state: Verified}
}

// What went through the API since Bifrost was started is no reason to restart it for
// what another's has rejected, and is not blamed for what ours rejects.
func TestTurnBesideLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel, live)
		defer cancel()
		p.store.put("live", "sk-22")
		check(t, p.flush(), nil)
		<-time.After(time.Minute)
		q.busy <- struct{}{}
		p.store.put("vk", "sk-bf-22")
		_ = p.flush()
		q.reject("vk v8", "rejected by pod-7 at 22:16")
		p.n.Reconsider()
		<-time.After(time.Minute)
		synctest.Wait()
		p.is("sk-bf-1")
		p.is("sk-22")
		check(t, p.n.count(), 1)
		check(t, q.heard(), "left")
		<-q.busy
		p.store.put("vk", "sk-bf-bad")
		_ = p.flush()
		<-time.After(time.Minute)
		check(t, q.heard(), "taken, told [{vk v9}], back")
		check(t, p.n.count(), 3)
	})
}

// Others are told of what Bifrost has rejected, and of nothing that may have another
// cause: an edited document, a Bifrost that could not be started or that was killed.
func TestTurnRejectsNothing(t *testing.T) {
	for name, breaks := range map[string]func(*pod){
		"edited": func(p *pod) {
			p.document = strings.Replace(document, `"vault.solo"}]`, `"vault.solo"},{"name":"d","value":"vault.fourth"}]`, 1)
			p.store.put("solo", "bad")
			p.store.put("fourth", "f1")
		},
		"not started": func(p *pod) {
			start, once := p.n.Start, false
			p.n.Start = func(r *render.Rendering) (Child, error) {
				if !once {
					once = true
					return nil, errors.New("no memory")
				}
				return start(r)
			}
			p.store.put("solo", "new")
		},
		"killed": func(p *pod) {
			p.store.put("solo", "new")
			time.AfterFunc(time.Second, func() { p.n.last().end(137) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var cancel context.CancelFunc
				p := newPod(t, q, &cancel)
				defer cancel()
				breaks(p)
				_ = p.flush()
				<-time.After(time.Minute)
				check(t, q.heard(), "taken, back")
				synctest.Wait()
				p.is("s1")
				check(t, strings.Contains(p.find(pathSolo).Reason, "the last good value is in force"), true)
			})
		})
	}
}

// A document that needs a value which was rejected elsewhere, and has no last good one
// for it, waits until there is another.
func TestTurnElsewhereNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		defer cancel()
		const why = "rejected by pod-7 at 22:16"
		q.reject("fourth v2", why)
		known := false // as it is where nobody has looked
		p.o.Rejected = func(ctx context.Context, brought []Brought) map[string]string {
			if !known {
				return nil
			}
			return q.Rejected(ctx, brought)
		}
		p.document = strings.Replace(document, `"vault.solo"}]`, `"vault.solo"},{"name":"d","value":"vault.fourth"}]`, 1)
		p.store.put("fourth", "f1")
		q.busy <- struct{}{}
		_ = p.flush()
		p.is("f1")
		known = true
		<-q.busy
		<-time.After(time.Minute)
		synctest.Wait()
		check(t, strings.Contains(p.writes[len(p.writes)-1], `"f1"`), false)
		check(t, fmt.Sprint(p.starts()), "[s1]")
		if text := fmt.Sprint(p.Status()); !strings.Contains(text, why) {
			t.Errorf("the status does not say why: %s", text)
		}
		q.heard()
		<-time.After(3 * time.Hour)
		check(t, q.heard(), "")
		p.store.put("fourth", "better")
		_ = p.flush()
		<-time.After(time.Minute)
		synctest.Wait()
		p.is("better")
		check(t, q.heard(), "taken, back")
		check(t, len(p.Status().Problems), 0)
	})
}

// Of a pair that was rejected together, a new half is tried with the other.
func TestTurnElsewherePair(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			var cancel context.CancelFunc
			p := newPod(t, q, &cancel, func(h *harness) {
				h.document = `{"encryption_key":"vault.enc","providers":{"bedrock":{"keys":[{"name":"a","bedrock_key_config":{"access_key":"vault.id","secret_key":"vault.key"}}]}}}`
				h.store.values = map[string]string{"enc": "the-key", "id": "i1", "key": "k1"}
				if !known {
					h.o.Rejected = nil
				}
			})
			defer cancel()
			q.reject("id v3", "rejected by pod-7 at 22:16")
			q.reject("key v3", "rejected by pod-7 at 22:16")
			p.store.put("id", "id2")
			p.store.put("key", "ke2")
			_ = p.flush()
			<-time.After(10 * time.Minute)
			synctest.Wait()
			p.is("i1")
			p.is("k1")
			check(t, p.n.count(), 1)
			p.store.put("key", "key3")
			_ = p.flush()
			<-time.After(10 * time.Minute)
			synctest.Wait()
			p.is("id2")
			p.is("key3")
			check(t, p.n.count(), 2)
		})
	}
}

// A rejection of what is not the newest any more changes nothing.
func TestTurnElsewhereLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		defer cancel()
		q.busy <- struct{}{}
		p.store.put("solo", "newest")
		_ = p.flush()
		p.RejectedElsewhere(p.n.current, map[Brought]string{{"solo", "v3"}: "rejected by pod-7 at 22:16"})
		synctest.Wait()
		p.is("newest")
		<-q.busy
		<-time.After(time.Minute)
		check(t, fmt.Sprint(p.starts()), "[s1 newest]")
	})
}

// What another's Bifrost has rejected is not tried without a turn either, nor where
// it came while the turn was had.
func TestTurnElsewhereWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		q.err = errors.New("somebody holds it")
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		defer cancel()
		p.store.put("solo", "new")
		_ = p.flush()
		q.reject("solo v3", "rejected by pod-7 at 22:16")
		<-time.After(clusterSplay + time.Minute)
		synctest.Wait()
		check(t, fmt.Sprint(p.starts()), "[s1]")
		p.is("s1")
	})
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel, func(h *harness) { h.o.Rejected = nil }) // nobody has looked
		defer cancel()
		q.busy <- struct{}{}
		q.looks = 2 * time.Second
		q.reject("solo v5", "rejected by pod-7 at 22:16")
		p.store.put("solo", "new")
		_ = p.flush()
		<-q.busy
		<-time.After(time.Second)
		p.store.put("solo", "newer")
		p.Trigger(Flush)
		<-time.After(time.Minute)
		synctest.Wait()
		check(t, fmt.Sprint(p.starts()), "[s1]")
		p.is("s1")
		check(t, q.heard(), "taken, back")
	})
}

// A rejection that is found of what is not the newest any more is no turn.
func TestReconsiderLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel, func(h *harness) { h.o.Rejected = nil })
		defer cancel()
		q.busy <- struct{}{}
		p.store.put("solo", "new")
		_ = p.flush()
		q.reject("solo v3", "rejected by pod-7 at 22:16")
		q.looks = 20 * time.Second
		p.n.Reconsider()
		<-time.After(time.Second)
		p.store.put("solo", "newest")
		_ = p.flush()
		<-time.After(time.Minute)
		check(t, fmt.Sprint(p.starts()), "[s1]")
		<-q.busy
		<-time.After(time.Minute)
		check(t, fmt.Sprint(p.starts()), "[s1 newest]")
	})
}

// A Bifrost that ends soon after its start, while the next restart waits for its turn,
// gets the last good values back at once, and nothing else.
func TestTurnRejectsWaiting(t *testing.T) {
	for _, waits := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			var cancel context.CancelFunc
			p := newPod(t, q, &cancel)
			defer cancel()
			p.n.Settle = 0
			p.store.put("solo", "second")
			check(t, p.flush(), nil)
			<-time.After(time.Second)
			q.busy <- struct{}{}
			q.waits = waits
			p.store.put("solo", "third")
			p.Trigger(Flush)
			<-time.After(3 * time.Second)
			p.n.last().end(3)
			<-time.After(time.Second)
			<-q.busy
			<-time.After(time.Minute)
			check(t, fmt.Sprint(p.starts()), "[s1 second s1]")
			check(t, q.heard(), "taken, back, left") // of third it is not known
		})
	}
}

func ended(c *fakeChild) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// /readyz fails before the child is asked to end: at a restart, and at the end.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSupervised()
		n.MinInterval, n.Drain = 0, 5*time.Second
		ctx, cancel := context.WithCancel(t.Context())
		wait := n.run(ctx, n.name("first"))
		<-time.After(time.Minute)
		drains := func(do func()) {
			t.Helper()
			child := n.last()
			check(t, n.Answering(), nil)
			go do()
			<-time.After(4 * time.Second)
			synctest.Wait()
			check(t, n.Answering() != nil, true)
			check(t, ended(child), false)
			<-time.After(2 * time.Second)
			synctest.Wait()
			check(t, ended(child), true)
		}
		drains(func() { n.Apply(t.Context(), Update{Rendering: n.name("second"), Edited: true}) })
		check(t, n.Answering(), nil)
		<-time.After(time.Minute)
		// A child that ends meanwhile is not waited for.
		began := time.Now()
		time.AfterFunc(time.Second, func() { n.last().end(3) })
		check(t, n.apply(t, n.name("third"), false).State, InForce)
		check(t, time.Since(began), time.Second)
		<-time.After(time.Minute)
		drains(cancel)
		wait()
	})
}
