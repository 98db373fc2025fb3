package bifrost_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// A program that has Bifrost's port, and does not answer as Bifrost does, is sent
// neither credentials nor values; nor is anything where no Bifrost is running.
func TestSquatter(t *testing.T) {
	var mu sync.Mutex
	var got strings.Builder
	note := func(r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got.WriteString(r.Header.Get("Authorization"))
		got.Write(body)
	}
	doc := first.render(t, bifrosttest.NewUpstream(t))
	basic := bifrost.Auth{Scheme: bifrost.Basic, User: sources.NewSecret([]byte("a")), Secret: sources.NewSecret([]byte("b"))}
	for name, answer := range map[string]http.HandlerFunc{
		"echoes 200":  func(http.ResponseWriter, *http.Request) {},
		"a dashboard": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"other json":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`["status"]`)) },
		"asks for it": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { note(r); answer(w, r) }))
		c := client(t, url, func(o *bifrost.Options) { o.Login = func() bifrost.Auth { return basic } })
		out := c.Push(t.Context(), doc, targets(t, doc, keyPath))
		wantStates(t, out, watch.Failed)
		if _, err := c.Version(t.Context(), doc); err == nil {
			t.Errorf("%s: it is taken for Bifrost", name)
		}
	}
	if got.Len() > 0 {
		t.Errorf("they were sent %d bytes", got.Len())
	}
	// Under exec it is known that there is no Bifrost.
	s, _ := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	var calls atomic.Int32
	gone := errors.New("there is no Bifrost running")
	c := client(t, s.URL, func(o *bifrost.Options) {
		o.Login, o.Running = func() bifrost.Auth { return basic }, func() error { calls.Add(1); return gone }
	})
	out := c.Push(t.Context(), doc, targets(t, doc, keyPath))
	wantStates(t, out, watch.Failed)
	if calls.Load() == 0 || out[0].Reason != gone.Error() {
		t.Errorf("asked %d times: %q", calls.Load(), out[0].Reason)
	}
}

// What to sign in with is asked for anew.
func TestLoginAnew(t *testing.T) {
	s, _ := started(t, "1.5.0-prerelease7", func(u *bifrosttest.Upstream) *walker.Document { return first.render(t, u) })
	open := parse(t, `{"providers":{"openai":{"keys":[{"name":"main","value":"sk-first-AAAAAAAA-0001"}]}}}`)
	password := "wrong"
	c := client(t, s.URL, func(o *bifrost.Options) {
		o.Login = func() bifrost.Auth {
			return bifrost.Auth{Scheme: bifrost.Basic, User: sources.NewSecret([]byte("admin")), Secret: sources.NewSecret([]byte(password))}
		}
	})
	if _, err := c.Version(t.Context(), open); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("with a wrong password: %v", err)
	}
	password = first.password
	if _, err := c.Version(t.Context(), open); err != nil {
		t.Errorf("with the right one: %v", err)
	}
}
