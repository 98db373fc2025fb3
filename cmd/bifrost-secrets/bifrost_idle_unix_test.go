//go:build unix

package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay passes connections on to a Bifrost and notes what is asked for, which
// Bifrost's own log leaves out for /health.
type relay struct {
	url string

	mu    sync.Mutex
	to    string // host and port; nobody answers there while Bifrost is away
	asked []string
	all   sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{url: "http://" + l.Addr().String()}
	r.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.all.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.all.Wait()
	})
	return r
}

func (r *relay) pass(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	bifrost, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer bifrost.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, bifrost)
		_ = conn.Close()
	})
	defer back.Wait()
	defer bifrost.Close()
	from := bufio.NewReader(io.TeeReader(conn, bifrost))
	for {
		req, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		r.mu.Lock()
		r.asked = append(r.asked, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
	}
}

func (r *relay) lead(b *bifrost) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = strings.TrimPrefix(b.url, "http://")
}

// calls returns what was asked for since the last time: how often /health, and
// the rest.
func (r *relay) calls() (health int, others []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	others = slices.DeleteFunc(r.asked, func(c string) bool { return c == "GET /health" })
	health = len(r.asked) - len(others)
	r.asked = nil
	return health, others
}

// testBifrostIdle has a watch beside a Bifrost to which nothing happens, for as
// long as BIFROST_IDLE says, and then restarts it.
func testBifrostIdle(t *testing.T) {
	idle := 10 * time.Second
	if text := os.Getenv("BIFROST_IDLE"); text != "" {
		var err error
		if idle, err = time.ParseDuration(text); err != nil {
			t.Fatalf("BIFROST_IDLE: %v", err)
		}
	}
	s, w := newRealHarness(t), newRelay(t)
	s.secret("openai/key", bifrostKey)
	s.secret("openai/hidden", "12345678") // Bifrost shows nothing of it
	s.write(``, `"vault.openai/key"`, `"vault.openai/hidden"`)
	s.render()
	b := s.start(nil)
	w.lead(b)
	r := newHarness(t).start("watch", "--config", s.config, "--out", filepath.Join(s.home, "config.json"), "--listen", "none", "--bifrost-url", w.url)
	r.logs(`"msg":"applied"`)
	r.logs(`"msg":"ready"`)
	quiet := func(for_ time.Duration) {
		t.Helper()
		w.calls()
		select {
		case line := <-r.log:
			t.Errorf("the log has a line while nothing happens: %s", line)
		case <-time.After(for_):
		}
		health, others := w.calls()
		t.Logf("%s without an event: %d calls of /health, and %q", for_, health, others)
		if len(others) > 0 || health == 0 || health > int(for_/(3*time.Second))+2 {
			t.Errorf("%d calls of /health in %s, and %q", health, for_, others)
		}
	}
	quiet(idle)
	// It is restarted at once, at another port behind the same address.
	b.kill()
	b = s.start(nil)
	w.lead(b)
	w.calls()
	back := time.Now()
	line := r.logs(`"trigger":"restarted"`)
	t.Logf("noticed and converged %s after it was back: %s", time.Since(back).Round(time.Millisecond), line)
	_, others := w.calls()
	t.Logf("the calls of the converge: %q", others)
	if n := len(slices.DeleteFunc(others, func(c string) bool { return !strings.HasPrefix(c, "PUT ") })); n != 1 {
		t.Errorf("%d writes, want one, of what Bifrost shows nothing of", n)
	}
	b.wantKey(0, bifrostKey)
	b.wantKey(1, "12345678")
	quiet(min(idle, time.Minute))
	r.signal(15)
	r.ends(0)
	b.kill()
}
