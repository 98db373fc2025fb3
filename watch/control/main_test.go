package control

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/control/controltest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tokens that are right, and one that is not. Each has a word that no log line
// may have.
const (
	token      = "CANARY-right-token-one"
	otherToken = "CANARY-right-token-two"
	wrongToken = "CANARY-wrong-token"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server that serves until the test ends, with its log of all
// levels.
type running struct {
	*Server
	log    *lockedBuffer
	stop   func() error // ends it, and returns what Serve returned
	client *http.Client
}

// file writes a private file and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	write(t, path, content)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// patient are the usual limits for a client on a busy machine.
func patient() limits {
	l := usual
	l.header, l.read, l.write, l.idle, l.grace = 2*time.Minute, 2*time.Minute, 2*time.Minute, 2*time.Minute, 2*time.Minute
	return l
}

// start serves on a free port of 127.0.0.1 unless change says otherwise.
func start(t *testing.T, w Watcher, change func(*Options)) *running {
	t.Helper()
	r := &running{log: new(lockedBuffer)}
	opts := Options{
		Listen: []string{"127.0.0.1:0"},
		Token:  sources.NewSecret([]byte(token + "\n" + otherToken)),
		Log:    slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		limits: patient(),
	}
	if change != nil {
		change(&opts)
	}
	var err error
	if r.Server, err = Open(w, opts); err != nil {
		t.Fatal(err)
	}
	r.serve(t)
	return r
}

// serve serves until the test ends, and then looks for tokens in the log.
func (r *running) serve(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx) }()
	transport := &http.Transport{DisableKeepAlives: true}
	r.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		transport.CloseIdleConnections()
		if strings.Contains(r.log.String(), "CANARY") {
			t.Errorf("a token stands in the log:\n%s", r.log)
		}
	})
}

// url is where the i-th listener answers.
func (r *running) url(i int, path string) string { return r.Addresses()[i] + path }

// ask makes a request and returns the status code, the headers and the body.
func (r *running) ask(t *testing.T, method, url, bearer string, change ...func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	return ask(t, r.client, method, url, bearer, change...)
}

func ask(t *testing.T, client *http.Client, method, url, bearer string, change ...func(*http.Request)) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	for _, c := range change {
		c(req)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, strings.TrimSpace(string(body))
}

// overUnix is a client of a unix socket.
func overUnix(t *testing.T, path string) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// errorOf returns the error that a body tells of.
func errorOf(t *testing.T, body string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Error == "" {
		t.Errorf("the body %s tells of no error (%v)", body, err)
	}
	return p
}

func idle() *controltest.Watcher {
	w := new(controltest.Watcher)
	w.Set(watch.Status{Version: "v1", Config: "config.json", Ready: true, Success: time.Unix(1e9, 0)}, nil, true)
	return w
}
