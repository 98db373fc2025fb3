package bifrost_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// plain takes no proxy of the environment and keeps no connection.
var plain = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// values are the secrets of one installation.
type values struct {
	key, key2, header, mcp, plugin, password string
}

var first = values{
	key: "sk-first-AAAAAAAA-0001", key2: "sk-other-BBBBBBBB-0001", header: "team-first-0001",
	mcp: "Bearer mcp-first-0001", plugin: "otel-first-0001", password: "Admin-first-0001",
}

var second = values{
	key: "sk-second-CCCCCCC-0002", key2: first.key2, header: "team-second-0002",
	mcp: "Bearer mcp-second-0002", plugin: "otel-second-0002", password: "Admin-second-0002",
}

// render makes the rendered document.
func (v values) render(t testing.TB, u *bifrosttest.Upstream) *walker.Document {
	t.Helper()
	text := fmt.Sprintf(`{
  "$schema": "https://www.getbifrost.ai/schema",
  "framework": %[1]s,
  "client": {"log_retention_days": 30, "initial_pool_size": 50, "mcp_tool_sync_interval": 7, "async_job_result_ttl": 1800, "mcp_tool_execution_timeout": 25, "max_request_body_size_mb": 10},
  "auth_config": {"admin_username": "admin", "admin_password": %[7]q, "is_enabled": true, "disable_auth_on_inference": true},
  "providers": {"openai": {
    "keys": [
      {"name": "main", "value": %[3]q, "models": ["model-0"], "weight": 1},
      {"name": "other", "value": %[8]q, "models": ["model-1"], "weight": 1}
    ],
    "network_config": {"base_url": %[2]q, "allow_private_network": true, "extra_headers": {"X-Team": %[4]q, "x.dotted": "stays"}, "max_retries": 2,
      "retry_backoff_initial": 700, "retry_backoff_max": 7000, "default_request_timeout_in_seconds": 45},
    "concurrency_and_buffer_size": {"concurrency": 20, "buffer_size": 100}, "send_back_raw_response": false
  }},
  "mcp": {"client_configs": [{
    "name": "stub", "connection_type": "http", "connection_string": "%[2]s/mcp", "auth_type": "headers",
    "headers": {"Authorization": %[5]q, "X-Kept": "kept-value-0001"}, "tools_to_execute": ["*"]
  }]},
  "plugins": [{"name": "otel", "enabled": true, "version": 2, "config": {
    "service_name": "bifrost", "collector_url": "%[2]s/v1/traces", "trace_type": "genai_extension", "protocol": "http",
    "headers": {"X-Token": %[6]q}
  }}]
}`, bifrosttest.Framework(u.URL), u.URL, v.key, v.header, v.mcp, v.plugin, v.password, v.key2)
	return parse(t, text)
}

func parse(t testing.TB, text string) *walker.Document {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The paths of the document.
const (
	keyPath      = "providers.openai.keys[0].value"
	key2Path     = "providers.openai.keys[1].value"
	headerPath   = "providers.openai.network_config.extra_headers.X-Team"
	mcpPath      = "mcp.client_configs[0].headers.Authorization"
	pluginPath   = "plugins[0].config.headers.X-Token"
	passwordPath = "auth_config.admin_password"
)

var livePaths = []string{keyPath, headerPath, mcpPath, pluginPath, passwordPath}

// targets returns fields of a document as they stand there.
func targets(t testing.TB, doc *walker.Document, paths ...string) []bifrost.Target {
	t.Helper()
	all := map[string]bifrost.Target{}
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry != nil {
			all[f.Path] = bifrost.Target{Path: f.Path, Entry: f.Entry, Value: sources.NewSecret([]byte(f.Text()))}
		}
		return true
	})
	var list []bifrost.Target
	for _, p := range paths {
		one, ok := all[p]
		if !ok {
			t.Fatalf("the document has no field at %s", p)
		}
		list = append(list, one)
	}
	return list
}

// installation is a Bifrost that can be started again with the same database.
type installation interface {
	start(t *testing.T, doc *walker.Document) (url string)
	stop(t *testing.T)
}

// eachBifrost runs a test with every Bifrost there is: the ones in memory, and
// the one that BIFROST_BIN names.
func eachBifrost(t *testing.T, test func(t *testing.T, b installation, u *bifrosttest.Upstream)) {
	for _, version := range bifrosttest.Versions {
		t.Run("stub "+version, func(t *testing.T) {
			t.Parallel()
			u := bifrosttest.NewUpstream(t)
			test(t, &stub{bifrosttest.New(t, version)}, u)
		})
	}
	t.Run("real", func(t *testing.T) {
		if os.Getenv("BIFROST_BIN") == "" {
			t.Skip("BIFROST_BIN is not set: this test starts a real Bifrost; name its binary there to run it")
		}
		t.Parallel()
		u := bifrosttest.NewUpstream(t)
		test(t, newReal(t), u)
	})
}

type stub struct{ *bifrosttest.Server }

func (s *stub) start(t *testing.T, doc *walker.Document) string {
	t.Helper()
	if err := s.Start(doc.Bytes()); err != nil {
		t.Fatal(err)
	}
	return s.URL
}

func (s *stub) stop(*testing.T) { s.Stop() }

// real is a process.
type real struct {
	bin, home string
	cmd       *exec.Cmd
	ended     chan struct{}
}

func newReal(t *testing.T) *real {
	t.Helper()
	bin, err := exec.LookPath(os.Getenv("BIFROST_BIN"))
	if err != nil || !filepath.IsAbs(bin) {
		t.Fatalf("BIFROST_BIN has to be the absolute path of a program, and is %s: %v", os.Getenv("BIFROST_BIN"), err)
	}
	r := &real{bin: bin, home: t.TempDir()}
	// Bifrost loads its schema from the internet unless it finds one.
	if err := os.WriteFile(filepath.Join(r.home, "config.schema.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd != nil {
			_ = r.cmd.Process.Kill()
			<-r.ended
		}
		if text, err := os.ReadFile(filepath.Join(r.home, "printed")); err == nil && t.Failed() {
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, `"level":"error"`) || strings.Contains(line, `"level":"warn"`) {
					t.Logf("Bifrost said: %s", line)
				}
			}
		}
	})
	return r
}

func (r *real) start(t *testing.T, doc *walker.Document) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.home, "config.json"), doc.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	port := bifrosttest.FreePort(t)
	printed, err := os.OpenFile(filepath.Join(r.home, "printed"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = printed.Close() }() // Bifrost has its own handle of it
	cmd := exec.Command(r.bin, "-app-dir", r.home, "-host", "127.0.0.1", "-port", port, "-log-level", "info", "-log-style", "json")
	cmd.Dir, cmd.Env = r.home, []string{"HOME=" + r.home, "TMPDIR=" + r.home}
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.cmd, r.ended = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(r.ended) }()
	url := "http://127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := client(t, url, nil).Wait(ctx); err != nil {
		text, _ := os.ReadFile(filepath.Join(r.home, "printed"))
		t.Fatalf("Bifrost is not healthy: %v\n%s", err, text[max(0, len(text)-4<<10):])
	}
	return url
}

func (r *real) stop(t *testing.T) {
	t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("Bifrost runs on after it was told to stop")
	}
	r.cmd = nil
}

// serve serves until the test ends.
func serve(t testing.TB, h http.Handler) (url string) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// client makes a client that closes with the test.
func client(t testing.TB, url string, change func(*bifrost.Options)) *bifrost.Client {
	t.Helper()
	o := bifrost.Options{URL: url}
	if change != nil {
		change(&o)
	}
	c, err := bifrost.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// chat asks for a model and returns the status and the body.
func chat(ctx context.Context, url, model string) (int, string) {
	ask := fmt.Sprintf(`{"model":"openai/%s","messages":[{"role":"user","content":"ping"}]}`, model)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(ask))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := plain.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// caller chats until it is stopped.
type caller struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	count  int
	failed []string
}

func startCaller(url string, n int) *caller {
	ctx, cancel := context.WithCancel(context.Background())
	c := &caller{stop: cancel}
	for range n {
		c.done.Go(func() {
			for ctx.Err() == nil {
				// A chat that has begun is let to its end.
				status, body := chat(context.WithoutCancel(ctx), url, "model-0")
				c.mu.Lock()
				if c.count++; status != http.StatusOK {
					c.failed = append(c.failed, fmt.Sprintf("%d %s", status, body))
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

func (c *caller) end(t *testing.T) {
	t.Helper()
	c.stop()
	c.done.Wait()
	if len(c.failed) > 0 {
		t.Errorf("%d of %d chats failed, the first with %s", len(c.failed), c.count, c.failed[0])
	}
	if c.count == 0 {
		t.Error("no chat at all")
	}
	t.Logf("%d chats, %d failed", c.count, len(c.failed))
}

// await waits until the upstream was last shown a value.
func await(t *testing.T, u *bifrosttest.Upstream, kind, header, want string) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		changed := u.Changed()
		got, n := u.Last(kind, header)
		if n > 0 && got == want {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the last of %d calls of %s has %s: %q, want %q", n, kind, header, got, want)
		}
	}
}

// answerOf makes a call and returns the body of its answer.
func answerOf(t *testing.T, req *http.Request) string {
	t.Helper()
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wantStates checks what became of each target.
func wantStates(t *testing.T, got []watch.Outcome, want ...watch.State) {
	t.Helper()
	for i, o := range got {
		w := want[min(i, len(want)-1)]
		if o.State != w {
			t.Errorf("%s is %s, want %s: %s (hint: %s)", o.Path, o.State, w, o.Reason, o.Hint)
		}
		if o.State == watch.Verified && o.Reason != "" {
			t.Errorf("%s: %s", o.Path, o.Reason)
		}
		wantNoValue(t, o)
	}
}

// wantNoValue looks for any value of the tests in an outcome.
func wantNoValue(t *testing.T, o watch.Outcome) {
	t.Helper()
	text := regexp.MustCompile(`:\d+`).ReplaceAllString(fmt.Sprintf("%+v", o), "") // ports
	for _, v := range []string{"first-", "second-", "third-", "0001", "0002", "0003", "canary"} {
		if bytes.Contains([]byte(text), []byte(v)) {
			t.Errorf("a part of a value, %q, stands in %s", v, text)
		}
	}
}
