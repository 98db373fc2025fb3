package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
)

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

// What Bifrost was killed with need not be the cause: the last good takes its place, and
// it is tried again after a while, or with the next flush.
func TestKilledIsTriedAgain(t *testing.T) {
	moved := strings.Replace(document, `"a"`, `"A"`, 1)
	for name, test := range map[string]struct {
		flush  bool
		breaks func(*pod)
	}{
		"a value, after a while":    {false, func(p *pod) { p.store.put("solo", "s2") }},
		"a value, by a flush":       {true, func(p *pod) { p.store.put("solo", "s2") }},
		"a document, after a while": {false, func(p *pod) { p.document = moved; p.store.put("solo", "s2") }},
		"a document, by a flush":    {true, func(p *pod) { p.document = moved; p.store.put("solo", "s2") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var cancel context.CancelFunc
				p := newPod(t, q, &cancel)
				defer cancel()
				p.is("s1")
				<-time.After(time.Hour)
				test.breaks(p)
				time.AfterFunc(time.Second, func() { p.n.last().end(137) })
				_ = p.flush()
				<-time.After(time.Minute)
				check(t, fmt.Sprint(p.starts()), "[s1 s2 s1]")
				reason := p.find(pathSolo).Reason
				if p.document == moved {
					reason = p.Status().Unusable
				}
				check(t, strings.Contains(reason, "Bifrost was killed (status 137)"), true)
				check(t, strings.Contains(reason, "is tried again at "), true)
				if test.flush {
					check(t, p.flush(), nil)
					<-time.After(time.Minute)
				} else {
					<-time.After(2 * time.Minute)
					synctest.Wait()
					check(t, fmt.Sprint(p.starts()), "[s1 s2 s1]")
					<-time.After(10 * time.Minute)
				}
				synctest.Wait()
				check(t, fmt.Sprint(p.starts()), "[s1 s2 s1 s2]")
				p.is("s2")
				check(t, len(p.Status().Problems), 0)
				// What it ends over by itself stays refused.
				p.store.put("solo", "bad")
				_ = p.flush()
				<-time.After(3 * time.Hour)
				_ = p.flush()
				check(t, fmt.Sprint(p.starts()), "[s1 s2 s1 s2 bad s2]")
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
