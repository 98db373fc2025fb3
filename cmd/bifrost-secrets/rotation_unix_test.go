//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"bifrost-secrets/sources/awssecrets/awstest"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// rotatingConfig has a provider's key and header, an MCP client's header and a
// plugin's token in the vault. %[1]s is where the upstream is.
const rotatingConfig = `{
  "$schema": "https://www.getbifrost.ai/schema",
  "config_store": {"enabled": true, "type": "sqlite", "config": {"path": "%[2]s/config.db"}, "vault_store": {"enabled": true, "type": "aws-secrets-manager"}},
  "framework": %[3]s,
  "client": {"log_retention_days": 30, "initial_pool_size": 50, "max_request_body_size_mb": 10},
  "providers": {"openai": {
    "keys": [{"name": "main", "value": "vault.all#key", "models": ["model-0"], "weight": 1}],
    "network_config": {"base_url": "%[1]s", "extra_headers": {"X-Team": "vault.all#header"}, "max_retries": 2,
      "retry_backoff_initial": 700, "retry_backoff_max": 7000, "default_request_timeout_in_seconds": 45},
    "concurrency_and_buffer_size": {"concurrency": 20, "buffer_size": 100}
  }},
  "mcp": {"client_configs": [{
    "name": "stub", "connection_type": "http", "connection_string": "%[1]s/mcp", "auth_type": "headers",
    "headers": {"Authorization": "vault.all#mcp"}, "tools_to_execute": ["*"]
  }]},
  "plugins": [{"name": "otel", "enabled": true, "version": 2, "config": {
    "service_name": "bifrost", "collector_url": "%[1]s/v1/traces", "trace_type": "genai_extension", "protocol": "http",
    "headers": {"X-Token": "vault.all#plugin"}
  }}]
}`

func generation(n int) string {
	return fmt.Sprintf(`{"key":"sk-CANARY-key-%04d","header":"CANARY-team-%04d","mcp":"Bearer CANARY-mcp-%04d","plugin":"CANARY-otel-%04d"}`, n, n, n, n)
}

// rotated is a harness whose Bifrost gets its values from a running exec or watch.
type rotated struct {
	*harness
	t       *testing.T
	aws     *secretsmanager.Client
	up      *bifrosttest.Upstream
	api     string // of Bifrost
	control string // of ours
	run     *running
	client  *http.Client
}

func newRotated(t *testing.T) *rotated {
	s, server := newHarness(t), awstest.Moto(t)
	for name, value := range server.Env() {
		s.env = append(s.env, name+"="+value)
	}
	r := &rotated{harness: s, t: t, aws: server.Client(awstest.Region, ""), up: bifrosttest.NewUpstream(t), client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	s.write(filepath.Join(s.app, "config.source.json"), fmt.Sprintf(rotatingConfig, r.up.URL, s.app, bifrosttest.Framework(r.up.URL)))
	server.Put(t, awstest.Region, "all", generation(1))
	s.env = append(s.env, "BIFROST_SECRETS_TOKEN=CANARY-token-of-this-test", "HOME="+s.dir, "TMPDIR="+s.dir)
	return r
}

// listening finds where the control server is.
func (r *rotated) listening() {
	r.t.Helper()
	var entry struct{ Address string }
	if err := json.Unmarshal([]byte(r.run.logs("listening")), &entry); err != nil {
		r.t.Fatal(err)
	}
	r.control = entry.Address
}

func (r *rotated) do(req *http.Request) (int, string) {
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// rotate stores another generation and flushes.
func (r *rotated) rotate(n int) {
	r.t.Helper()
	secret, value := "all", generation(n)
	if _, err := r.aws.PutSecretValue(r.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &secret, SecretString: &value}); err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.control+"/api/vault/flush-cache", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer CANARY-token-of-this-test")
	began := time.Now()
	switch code, body := r.do(req); code {
	case 200:
	case 502:
		// Bifrost 1.5 refuses an update of an MCP client while it is busy with the
		// one before. It is made again, without being asked.
		r.run.logs(`"trigger":"retry"`)
	default:
		r.t.Fatalf("the flush is answered with %d %s", code, body)
	}
	r.t.Logf("the flush took %v, Bifrost's own calls included", time.Since(began).Round(time.Millisecond))
}

func (r *rotated) chat(ctx context.Context) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.api+"/v1/chat/completions", strings.NewReader(`{"model":"openai/model-0","messages":[{"role":"user","content":"ping"}]}`))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	return r.do(req)
}

// sees chats until everything that Bifrost sends is of a generation.
func (r *rotated) sees(n int) {
	r.t.Helper()
	r.up.Forget()
	if code, body := r.chat(r.t.Context()); code != 200 {
		r.t.Fatalf("a chat is answered with %d %s", code, body)
	}
	for _, one := range []struct{ kind, header, want string }{
		{bifrosttest.Chat, "Authorization", "Bearer sk-CANARY-key-%04d"}, {bifrosttest.Chat, "X-Team", "CANARY-team-%04d"}, {bifrosttest.Traces, "X-Token", "CANARY-otel-%04d"},
	} {
		r.last(one.kind, one.header, fmt.Sprintf(one.want, n))
	}
}

// last waits until the upstream was last shown a value.
func (r *rotated) last(kind, header, want string) {
	r.t.Helper()
	late := time.After(patience)
	for {
		changed := r.up.Changed()
		got, n := r.up.Last(kind, header)
		if n > 0 && got == want {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("the last of %d calls of %s has %s: %q, want %q", n, kind, header, got, want)
		}
	}
}

// tool has a tool called, for which newer versions connect to the MCP server anew, and
// waits until that was shown a value.
func (r *rotated) tool(want string) {
	r.t.Helper()
	r.call(http.MethodPost, "/v1/mcp/tool/execute", `{"id":"c1","type":"function","function":{"name":"stub-echo","arguments":"{}"}}`)
	r.last(bifrosttest.MCP, "Authorization", want)
}

func (r *rotated) call(method, path, body string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.api+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	_, answer := r.do(req)
	return answer
}

// calling chats without a pause. The function that it returns ends that and fails
// the test if any chat has failed. Bifrost takes a provider's own settings into use
// by putting another queue in the place of the provider's, and says that the provider
// is shutting down to a request that has looked up the old one in that instant
// (UpdateProvider and tryRequest in its core/bifrost.go): one for each of two
// callers may meet it.
func (r *rotated) calling() (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var mu sync.Mutex
	count, swapped, failed := 0, 0, ""
	for range 2 {
		done.Go(func() {
			for ctx.Err() == nil {
				code, body := r.chat(context.WithoutCancel(ctx))
				mu.Lock()
				switch count++; {
				case code == 200:
				case os.Getenv("BIFROST_BIN") != "" && strings.Contains(body, `"message":"provider is shutting down"`):
					swapped++
				case failed == "":
					failed = fmt.Sprintf("%d %s", code, body)
				}
				mu.Unlock()
			}
		})
	}
	return func() {
		r.t.Helper()
		cancel()
		done.Wait()
		if failed != "" || count == 0 || swapped > 2 {
			r.t.Errorf("of %d chats one failed: %s; %d met a queue that was being replaced", count, failed, swapped)
		}
	}
}

// story is what every Bifrost has to go through. restart makes it end and come
// back.
func (r *rotated) story(restart func()) {
	r.t.Helper()
	r.sees(1)
	end := r.calling()
	r.rotate(2)
	r.tool("Bearer CANARY-mcp-0002")
	end()
	r.sees(2)
	restart()
	r.sees(2)
	r.rotate(3)
	r.sees(3)
	// Back to an earlier value, which Bifrost's file had when it was started.
	r.rotate(2)
	r.sees(2)
	restart()
	r.sees(2)
	r.run.signal(syscall.SIGTERM)
	r.run.wait()
}

// Rotation beside a Bifrost in memory, which something else starts.
func TestRotationWatch(t *testing.T) {
	t.Parallel()
	for _, version := range bifrosttest.Versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRotated(t)
			server := bifrosttest.New(t, version)
			r.run = r.start("watch", "--config", filepath.Join(r.app, "config.source.json"), "--out", filepath.Join(r.app, "config.json"), "--listen", "127.0.0.1:0", "--bifrost-url", server.URL)
			r.listening()
			r.api = server.URL
			start := func() {
				t.Helper()
				if err := server.Start([]byte(r.published())); err != nil {
					t.Fatal(err)
				}
				r.run.logs(`"trigger":"restarted"`)
			}
			r.run.logs("applied") // Bifrost is not there yet
			start()
			r.story(func() {
				server.Stop()
				start()
			})
		})
	}
}

// Rotation of a real Bifrost that exec has started, and that is killed and comes
// back.
func TestRotationExec(t *testing.T) {
	bin := os.Getenv("BIFROST_BIN")
	if bin == "" {
		t.Skip("BIFROST_BIN is not set: this test starts a real Bifrost; name its binary there to run it")
	}
	t.Parallel()
	r := newRotated(t)
	if err := os.WriteFile(filepath.Join(r.dir, "config.schema.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	port := bifrosttest.FreePort(t)
	r.api = "http://127.0.0.1:" + port
	child := 0
	start := func() {
		t.Helper()
		r.run = r.start("exec", "--app-dir", r.app, "--listen", "127.0.0.1:0", "--", bin, "-app-dir", r.app, "-host", "127.0.0.1", "-port", port, "-log-style", "json")
		r.listening()
		var entry struct{ PID int }
		if err := json.Unmarshal([]byte(r.run.logs("started Bifrost")), &entry); err != nil {
			t.Fatal(err)
		}
		child = entry.PID
		r.run.logs(`"trigger":"restarted"`)
	}
	start()
	if !json.Valid([]byte(r.call(http.MethodGet, "/api/mcp/clients", ""))) {
		t.Skip("this build of Bifrost has no MCP: TestBifrostFields rotates the rest")
	}
	r.story(func() { // exec ends with its Bifrost, and the platform starts it again
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.run.ends(137)
		start()
	})
}
