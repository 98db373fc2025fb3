package watch

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
)

// pair is a document whose entity has two secrets, and another field beside it.
const pair = `{"providers":{"bedrock":{"keys":[{"name":"a","bedrock_key_config":{"access_key":"vault.u","secret_key":"vault.p"}}]},"openai":{"keys":[{"name":"c","value":"vault.solo"}]}}}`

const (
	pathUser = "providers.bedrock.keys[0].bedrock_key_config.access_key"
	pathPass = "providers.bedrock.keys[0].bedrock_key_config.secret_key"
	pathBare = "providers.openai.keys[0].value"
)

// The fields of one entity change together or not at all, whatever keeps one of
// them; what has nothing to do with it goes on, and all of it comes once it can.
func TestTogether(t *testing.T) {
	for name, one := range map[string]struct {
		breaks func(*store)
		why    string
	}{
		"missing":         {func(s *store) { delete(s.values, "p") }, "not found"},
		"denied":          {func(s *store) { s.broken["p"] = sources.Denied }, "denied"},
		"no answer":       {func(s *store) { s.broken["p"] = sources.Unreachable }, "unreachable"},
		"refused":         {func(s *store) { s.values["p"] = "env.NOPE" }, "begins with env."},
		"not yet rotated": {func(s *store) { s.values["p"] = "p1" }, "it has changed and vault.p has not"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, nil)
				h.document = pair
				h.store.values = map[string]string{"u": "u1", "p": "p1", "solo": "s1"}
				defer h.begin()()
				h.store.set(func(s *store) {
					s.values = map[string]string{"u": "u2", "p": "p2", "solo": "s2"}
					one.breaks(s)
				})
				err := h.flush()
				if err == nil || !strings.Contains(err.Error(), one.why) || strings.Count(err.Error(), "\n") > 0 {
					t.Errorf("flush: %v", err)
				}
				if name != "not yet rotated" && !strings.Contains(err.Error(), "vault.u changed, and waits for it") {
					t.Errorf("flush: %v", err)
				}
				h.want("update", h.applier.applied(1), "flush "+pathBare+"=s2")
				h.is("u1")
				h.is("p1")
				if s := h.find(pathUser); s.Fresh || s.Reason == "" {
					t.Errorf("the one that waits: %+v", s)
				}
				h.store.set(func(s *store) { s.values["p"] = "p2"; clear(s.broken) })
				h.want("flush", h.flush(), nil)
				h.want("update", h.applier.applied(2), "flush "+pathUser+"=u2 "+pathPass+"=p2")
			})
		})
	}
}

// A secret that did not change holds nothing back that shares it, and one that did
// all that do.
func TestTogetherShared(t *testing.T) {
	const key = `{"name":"%d","bedrock_key_config":{"access_key":"vault.u%d","secret_key":"vault.p%d","region":"vault.region"}}`
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.document = `{"providers":{"bedrock":{"keys":[` + fmt.Sprintf(key, 1, 1, 1) + "," + fmt.Sprintf(key, 2, 2, 2) + `]}}}`
		h.store.values = map[string]string{"u1": "u1a", "p1": "p1a", "u2": "u2a", "p2": "p2a", "region": "r1"}
		defer h.begin()()
		h.store.set(func(s *store) {
			s.values = map[string]string{"u1": "u1b", "u2": "u2b", "p2": "p2b", "region": "r1"}
		})
		_ = h.flush()
		h.is("u1a")
		h.is("u2b")
		h.is("p2b")
		h.store.put("region", "r2")
		h.store.put("u2", "u2c")
		h.store.put("p2", "p2c")
		_ = h.flush()
		h.is("u2b")
		h.is("r1")
		h.store.put("p1", "p1b")
		h.want("flush", h.flush(), nil)
		h.is("u1b")
		h.is("u2c")
		h.is("r2")
	})
}

// A pair whose other half never comes is taken as it is in the end.
func TestHalfWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.document = pair
		h.store.values = map[string]string{"u": "u1", "p": "p1", "solo": "s1"}
		defer h.begin()()
		h.store.put("u", "u2")
		_ = h.flush()
		h.is("u1")
		wait(halvesWait - time.Second)
		h.is("u1")
		wait(halvesWait)
		h.is("u2")
		h.want("update", h.applier.applied(1), "retry "+pathUser+"=u2")
	})
}

// A document whose entity would mix a value that is not to be had anew with one of
// which there is no last good is not used.
func TestTogetherEdited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		h.document = pair
		h.store.values = map[string]string{"u": "u1", "p": "p1", "solo": "s1", "new": "u2"}
		defer h.begin()()
		h.document = strings.Replace(pair, "vault.u", "vault.new", 1)
		h.store.set(func(s *store) { s.broken["p"] = sources.Denied })
		if err := h.flush(); err == nil {
			t.Error("no error")
		}
		h.is("u1")
		h.want("writes", len(h.writes), 1)
		h.store.set(func(s *store) { clear(s.broken) })
		h.want("flush", h.flush(), nil)
		h.is("u2")
	})
}

// What Bifrost did not live with is tried again when one half of it is mended: the
// other half need not change.
func TestTogetherRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(o *Options) { o.Refuses = true })
		h.applier.state = func(Update, render.Change) State { return InForce }
		h.document = pair
		h.store.values = map[string]string{"u": "u1", "p": "p1", "solo": "s1"}
		defer h.begin()()
		h.store.put("u", "u2")
		h.store.put("p", "wrong")
		h.want("flush", h.flush(), nil)
		h.Rejected(h.Rendering(), "Bifrost ended")
		synctest.Wait()
		h.is("u1")
		_ = h.flush() // the same values are not tried again
		h.is("u1")
		h.store.put("p", "p2")
		h.want("flush", h.flush(), nil)
		h.is("u2")
		h.is("p2")
	})
}
