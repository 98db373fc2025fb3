package bifrost_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// TestLyingServer has whoever listens in Bifrost's place misbehave, from the first
// call on and behind a right answer to /health: nothing is taken for applied, and
// neither the admin's credentials nor a value goes to another host.
func TestLyingServer(t *testing.T) {
	if testing.Short() {
		t.Skip("it has a server that takes its time")
	}
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	for _, lie := range cloudtest.Lies(thief.URL) {
		for _, healthy := range []bool{false, true} {
			name := lie.Name
			if healthy {
				name += ", healthy"
			}
			t.Run(name, func(t *testing.T) {
				s, u := started(t, "1.4.19", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
				liar := new(cloudtest.Liar)
				lying := liar.Before(s)
				liar.Tell(&lie)
				front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if healthy && r.URL.Path == "/health" {
						s.ServeHTTP(w, r)
						return
					}
					lying.ServeHTTP(w, r)
				}))
				t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
				doc := second.render(t, u)
				c := client(t, front.URL, func(o *bifrost.Options) {
					o.Login, o.Timeout = basic(first.password), 2*time.Minute
					if lie.Silent {
						o.Timeout = 300 * time.Millisecond
					}
				})
				for _, o := range c.Push(t.Context(), doc, targets(t, doc, mcpPath)) {
					if o.State == watch.Verified || o.State == watch.Unverifiable || o.Reason == "" || strings.Contains(o.Reason+o.Hint, "CANARY") {
						t.Errorf("%s: %v: %s (%s)", o.Path, o.State, o.Reason, o.Hint)
					}
					// Of a stranger's answer little is read.
					if lie.Name == "body without end" && !healthy && !strings.Contains(o.Reason, "is longer than 1 MiB") {
						t.Errorf("%s: %s", o.Path, o.Reason)
					}
				}
			})
		}
	}
	if n := stolen.Load(); n > 0 {
		t.Errorf("%d calls went to another host", n)
	}
}
