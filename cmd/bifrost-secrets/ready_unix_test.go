//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/watch/bifrost/bifrosttest"
	"bifrost-secrets/watch/control"
)

// gatedBifrost is a child that answers /health on the port that it is given while
// the file that it is given exists. Asked to end, it stops listening, makes a file
// beside that one and ends once that is gone.
func gatedBifrost() {
	port, gate := os.Args[1], os.Args[2]
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	for !exists(gate) {
		time.Sleep(10 * time.Millisecond)
	}
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, `{"status":"ok","components":{"db_pings":"ok"}}`)
	})}
	go func() { _ = server.ListenAndServe() }()
	<-end
	_ = server.Close()
	for _ = os.WriteFile(gate+".ends", nil, 0o600); exists(gate + ".ends"); {
		time.Sleep(10 * time.Millisecond)
	}
}

// While Bifrost is replaced /readyz says so, until the new one answers; and the
// log tells of the restart then. At first it is not ready before it answers either.
func TestExecReady(t *testing.T) {
	t.Parallel()
	s, port := newHarness(t), bifrosttest.FreePort(t)
	gate := filepath.Join(s.dir, "gate")
	open := func() {
		t.Helper()
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ends := gate + ".ends"
	ended := func() { // it listens no more
		t.Helper()
		for late := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(ends); err == nil {
				return
			}
			if time.Now().After(late) {
				t.Fatal("Bifrost was not asked to end")
			}
		}
	}
	remove := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(s.env, control.TokenVariable+"=a-token-of-this-test")
	r := s.start("exec", "--app-dir", s.app, "--mode", "env", "--listen", "127.0.0.1:0", "--restart-settle", "0s", "--stop-timeout", "2m",
		"--bifrost-url", "http://127.0.0.1:"+port, "--", "gated-bifrost", port, gate)
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(r.logs("listening")), &entry); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	readyz := func() (int, string) {
		t.Helper()
		resp, err := client.Get(entry.Address + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	becomes := func(want int) {
		t.Helper()
		for late := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			code, body := readyz()
			if code == want {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("/readyz is %d %s, want %d", code, body, want)
			}
		}
	}
	r.logs("started Bifrost")
	if code, body := readyz(); code != 503 || !strings.Contains(body, "does not answer yet") {
		t.Errorf("before it answers: %d %s", code, body)
	}
	open()
	becomes(200)
	remove(gate)
	s.put("openai", "CANARY-2")
	ended()
	if code, body := readyz(); code != 503 || !strings.Contains(body, "Bifrost is being restarted") {
		t.Errorf("while it is asked to end: %d %s", code, body)
	}
	remove(ends)
	r.logs("started Bifrost")
	if code, body := readyz(); code != 503 || !strings.Contains(body, "does not answer yet") {
		t.Errorf("while it is replaced: %d %s", code, body)
	}
	for _, line := range r.all {
		if strings.Contains(line, "restarted Bifrost") || strings.Contains(line, "in_force") && strings.Contains(line, `"trigger":"file"`) {
			t.Errorf("it is told of before it answers: %s", line)
		}
	}
	open()
	if line := r.logs("restarted Bifrost"); !strings.Contains(line, `"took":`) {
		t.Errorf("the log does not tell how long it took: %s", line)
	}
	r.logs(`"in_force":`)
	becomes(200)
	// At its end the listener is there for as long as Bifrost is.
	r.signal(syscall.SIGTERM)
	ended()
	if code, body := readyz(); code != 503 || !strings.Contains(body, "Bifrost is about to end") {
		t.Errorf("at the end: %d %s", code, body)
	}
	for path, want := range map[string]int{control.HealthPath: 200, control.MetricsPath: 200, control.StatusPath: 200, control.FlushPath: 503} {
		method := http.MethodGet
		if path == control.FlushPath {
			method = http.MethodPost
		}
		req, err := http.NewRequest(method, entry.Address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer a-token-of-this-test")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s at the end: %d %s", path, resp.StatusCode, body)
		}
	}
	remove(ends)
	r.ends(0)
}

// In Kubernetes SIGTERM does not reach Bifrost before those who follow /readyz have
// had time to take notice; a second one does.
func TestExecDrains(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	s.env = append(s.env, "KUBERNETES_SERVICE_HOST=10.0.0.1")
	for options, want := range map[string]string{"": "in 5s and has 1m55s for it", "--drain=1m": "in 1m0s and has 1m0s for it", "--stop-timeout=10s": "in 2s and has 8s for it"} {
		var more []string
		if options != "" {
			more = []string{options}
		}
		r := s.stub(more...)
		r.says("started")
		r.signal(syscall.SIGTERM)
		r.logs("SIGTERM came: /readyz fails from now on, Bifrost is asked to end " + want)
		r.signal(syscall.SIGTERM)
		r.says("term")
		r.ends(5)
	}
	r := s.stub("--drain=0s")
	r.says("started")
	r.signal(syscall.SIGTERM)
	r.logs("SIGTERM came: it is passed on to Bifrost")
	r.ends(5)
}
