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
		<-time.After(7 * time.Second)
		check(t, q.heard(), "")
		<-time.After(time.Second) // ten seconds: what ends later is not taken to have rejected anything
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
		<-time.After(10 * time.Second)
		check(t, q.heard(), "taken, back")
		// Where less of it is asked for, the turn is over sooner; where more, later.
		for settle, want := range map[time.Duration]time.Duration{1: 3, 2: 4, 3: 6, 20: 22} {
			n.Settle = settle * time.Second
			began := time.Now()
			n.apply(t, n.name("another"), false)
			<-time.After(time.Until(began.Add(want*time.Second - 1)))
			check(t, q.heard(), "taken")
			<-time.After(1)
			check(t, q.heard(), "back")
		}
		n.Settle = 5 * time.Second
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
			after := time.Second
			if n.lives > 0 {
				after = n.lives
			}
			time.AfterFunc(after, func() { c.(*fakeChild).end(3) })
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

// A Bifrost that is ready for a while and ends then has rejected what it was started
// with, and nobody else may have begun with it.
func TestTurnRejectsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		defer cancel()
		p.n.lives = 9 * time.Second
		p.store.put("solo", "bad")
		_ = p.flush()
		<-time.After(p.n.lives + time.Second)
		check(t, q.heard(), "taken, told [{solo v3}]")
		<-time.After(6 * time.Second) // the last good is back, and blames nothing
		check(t, q.heard(), "back")
		check(t, fmt.Sprint(p.starts()), "[s1 bad s1]")
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
			p.n.Settle = time.Second // the turn is over before it is known
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
