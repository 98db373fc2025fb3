package watch

import (
	"testing"
	"testing/synctest"
	"time"

	"bifrost-secrets/render"
)

// Where the vault_store is another one, the source of the one that is not in force,
// and that nothing is rolled back to, is closed.
func TestCloses(t *testing.T) {
	type site struct {
		*harness
		old, new *store
	}
	values := func() map[string]string {
		return map[string]string{"enc": "the-key", "both": both("o1", "t1"), "solo": "s2"}
	}
	for name, one := range map[string]struct {
		state    State
		do       func(site)
		old, new bool // whether it is closed
	}{
		"kept until it is known to run": {InForce, func(s site) { _ = s.flush() }, false, false},
		"accepted": {InForce, func(s site) {
			_ = s.flush()
			s.Accepted(s.intended)
		}, true, false},
		"of a restart that is waited for": {RestartRequired, func(s site) { // R1 is accepted, R2 is to come
			_ = s.flush()
			r := s.intended
			s.new.put("solo", "s3")
			_ = s.flush()
			s.Accepted(r)
		}, true, false},
		"taken back": {InForce, func(s site) {
			_ = s.flush()
			s.Rejected(s.intended, "Bifrost ended")
		}, false, true},
		"no restart": {Verified, func(s site) { _ = s.flush() }, true, false},
		"not published": {InForce, func(s site) {
			s.full.Store(true)
			_ = s.flush()
		}, false, true},
		"cannot be had": {InForce, func(s site) {
			s.new.set(func(s *store) { s.down = true })
			_ = s.flush()
		}, false, true},
		"interrupted": {InForce, func(s site) {
			s.new.set(func(s *store) { s.hung = true })
			s.FlushAsync()
			wait(time.Second)
			s.vault, s.store = "", s.old // edited back meanwhile
			s.Rejected(s.Rendering(), "Bifrost ended")
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, func(o *Options) { o.Supervised, o.Refuses = true, true })
				defer h.begin()()
				h.applier.state = func(Update, render.Change) State { return one.state }
				old := h.store
				h.move("other", values())
				s := site{h, old, h.store}
				one.do(s)
				synctest.Wait()
				check(t, s.old.closed, one.old)
				check(t, s.new.closed, one.new)
			})
		})
	}
}
