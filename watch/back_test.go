package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What goes back before Bifrost was restarted for it is no reason for a restart any
// more: the turn that was waited for is let go.
func TestTurnTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		p := newPod(t, q, &cancel)
		document := p.document
		move := func(values ...string) {
			t.Helper()
			p.store.put("solo", values[0])
			p.store.put("both", both(values[1], "t1"))
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		state := func(want State) {
			t.Helper()
			check(t, p.find(pathSolo).State, want)
			check(t, p.Status().RestartRequired > 0, want == RestartRequired)
		}
		q.busy <- struct{}{}
		move("s2", "o1")
		state(RestartRequired)
		move("s1", "o1")
		state(InForce)
		check(t, q.heard(), "left")
		// Each of two, and of the document, goes back by itself.
		move("s2", "o2")
		p.document = strings.Replace(document, `"a"`, `"A"`, 1)
		move("s2", "o2")
		move("s1", "o2")
		state(RestartRequired)
		p.document = document
		move("s1", "o2")
		state(RestartRequired)
		move("s1", "o1")
		state(InForce)
		<-q.busy
		<-time.After(time.Hour)
		check(t, fmt.Sprint(p.starts()), "[s1]")
		check(t, q.heard(), "left")
		// What comes next is tried, and what it is gone back from is not what was dropped.
		move("s2", "o1")
		<-time.After(time.Minute)
		q.busy <- struct{}{}
		move("s3", "o1")
		move("s2", "o1")
		<-q.busy
		p.store.put("solo", "bad")
		_ = p.flush()
		<-time.After(time.Minute)
		check(t, fmt.Sprint(p.starts()), "[s1 s2 bad s2]")
		p.is("s2")
		cancel()
	})
}

// What is taken live, and goes back with what a restart was to come for, is given to
// the Bifrost that runs.
func TestTakenBackBesideLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var cancel context.CancelFunc
		api := &applier{by: "api"}
		p := newPod(t, q, &cancel, func(h *harness) {
			h.o.Applier.(*Split).API = api
			h.store.put("both", both("sk-bf-o1", "t1"))
			h.document = `{"providers":{"openai":{"keys":[{"name":"c","value":"vault.solo"}]}},"governance":{"virtual_keys":[{"id":"v","value":"vault.both#one"}]}}`
		})
		q.busy <- struct{}{}
		move := func(solo, one string) {
			p.store.put("solo", solo)
			p.store.put("both", both(one, "t1"))
			_ = p.flush()
		}
		move("s2", "sk-bf-o2")
		check(t, api.applied(api.count()-1), "flush providers.openai.keys[0].value=s2")
		before := api.count()
		move("s3", "sk-bf-o1")
		check(t, api.applied(before), "flush providers.openai.keys[0].value=s3")
		synctest.Wait()
		check(t, p.Status().RestartRequired, 0)
		check(t, p.n.count(), 1)
		cancel()
	})
}
