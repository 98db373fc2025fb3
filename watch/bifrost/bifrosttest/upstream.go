package bifrosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// The kinds of call that an Upstream tells apart.
const (
	Chat   = "chat"   // a chat completion
	Models = "models" // the list of models
	MCP    = "mcp"    // any call of the MCP server
	Traces = "traces" // what the plugin otel sends
	Hook   = "hook"   // what a webhook is sent
)

// Upstream is all that a Bifrost calls, the real one too: an OpenAI, an MCP
// server with one tool at /mcp, a collector at /v1/traces, a receiver of webhooks at
// /hook, and the price list that Bifrost would fetch from its maker at /datasheet. It
// remembers the headers it was shown.
type Upstream struct {
	URL string

	mu      sync.Mutex
	seen    map[string][]http.Header
	changed chan struct{} // closed and made anew at each call
}

// NewUpstream starts one, which ends with the test.
func NewUpstream(t testing.TB) *Upstream {
	u := &Upstream{seen: map[string][]http.Header{}, changed: make(chan struct{})}
	m := http.NewServeMux()
	m.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		u.note(Chat, r)
		var ask struct {
			Model string `json:"model"`
		}
		_ = json.NewDecoder(r.Body).Decode(&ask)
		write(w, fmt.Sprintf(`{"id":"c1","object":"chat.completion","created":1,"model":%q,
			"choices":[{"index":0,"message":{"role":"assistant","content":"pong"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, ask.Model))
	})
	m.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		u.note(Models, r)
		write(w, `{"object":"list","data":[{"id":"model-0","object":"model","created":1,"owned_by":"openai"}]}`)
	})
	m.HandleFunc("GET /datasheet", func(w http.ResponseWriter, _ *http.Request) {
		write(w, `{"model-0":{"provider":"openai","mode":"chat","input_cost_per_token":0.000001,"output_cost_per_token":0.000002}}`)
	})
	m.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		u.note(Traces, r)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	m.HandleFunc("POST /hook", func(_ http.ResponseWriter, r *http.Request) { u.note(Hook, r) })
	m.HandleFunc("/mcp", u.ServeMCP)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	u.URL = server.URL
	return u
}

// Framework is the section "framework" of a document that has Bifrost fetch from
// here what it would fetch from its maker at every start: without an answer some
// versions do not start.
func Framework(url string) string {
	return fmt.Sprintf(`{"pricing": {"pricing_url": %[1]q, "model_parameters_url": %[1]q, "mcp_library_url": %[1]q}}`, url+"/datasheet")
}

// ServeMCP is an MCP server over HTTP, without a stream of its own.
func (u *Upstream) ServeMCP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	u.note(MCP, r)
	var ask struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Version string `json:"protocolVersion"`
		} `json:"params"`
	}
	_ = json.NewDecoder(r.Body).Decode(&ask)
	if len(ask.ID) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	result := `{}`
	switch ask.Method {
	case "initialize":
		w.Header().Set("Mcp-Session-Id", "session-1")
		result = fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{"tools":{}},"serverInfo":{"name":"stub","version":"1"}}`, ask.Params.Version)
	case "tools/list":
		result = `{"tools":[{"name":"echo","description":"says it again","inputSchema":{"type":"object","properties":{}}}]}`
	case "tools/call":
		result = `{"content":[{"type":"text","text":"again"}]}`
	}
	write(w, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, ask.ID, result))
}

func write(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func (u *Upstream) note(kind string, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen[kind] = append(u.seen[kind], r.Header.Clone())
	close(u.changed)
	u.changed = make(chan struct{})
}

// Seen returns the values of a header in all calls of a kind, each once, sorted.
func (u *Upstream) Seen(kind, header string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	for _, h := range u.seen[kind] {
		all = append(all, h.Get(header))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Last returns the value of a header in the last call of a kind, and how many
// there were.
func (u *Upstream) Last(kind, header string) (string, int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.seen[kind]
	if len(all) == 0 {
		return "", 0
	}
	return all[len(all)-1].Get(header), len(all)
}

// Changed returns a channel that is closed at the next call.
func (u *Upstream) Changed() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.changed
}

// Forget drops what was seen.
func (u *Upstream) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.seen)
}
