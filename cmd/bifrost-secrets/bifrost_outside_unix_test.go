//go:build unix

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"bifrost-secrets/sources/postgres/pgtest"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// outside is what a Bifrost calls beside a provider: a proxy, a receiver of
// webhooks, the token endpoint of an OAuth server that lets nobody in, and a
// Weaviate. It keeps what each was shown last.
type outside struct {
	url string

	mu    sync.Mutex
	shown map[string]string
}

func newOutside(t *testing.T) *outside {
	e := &outside{shown: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.note("hook header", r.Header.Get("X-Hook-Token"))
		e.note("hook signature", r.Header.Get("Webhook-Signature"))
		e.note("hook signed", r.Header.Get("Webhook-Id")+"."+r.Header.Get("Webhook-Timestamp")+"."+string(body))
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		e.note("token", r.FormValue("client_secret"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
	})
	mux.HandleFunc("GET /v1/", func(w http.ResponseWriter, r *http.Request) {
		e.note("vector", r.Header.Get("Authorization"))
		reply(w, `{"hostname":"http://127.0.0.1","version":"1.25.0","modules":{}}`)
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect || r.URL.IsAbs() {
			e.proxy(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// proxy passes a connection, or a request, on.
func (e *outside) proxy(w http.ResponseWriter, r *http.Request) {
	given, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic "))
	e.note("proxy", string(given))
	if r.Method != http.MethodConnect {
		out := r.Clone(r.Context())
		out.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	to, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	w.WriteHeader(http.StatusOK)
	from, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
	_, _ = io.Copy(to, from)
	_ = to.Close()
	back.Wait()
}

func (e *outside) note(what, value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shown[what] = value
}

func (e *outside) last(what string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.shown[what]
}

// generationIn returns the generation of a text of a format; 0 for another text.
func generationIn(text, format string) int {
	for n := 1; n <= 2; n++ {
		if text == fmt.Sprintf(format, n) {
			return n
		}
	}
	return 0
}

// ours makes a call of our own control server and returns the body of its answer.
func (f *fielded) ours(req *http.Request) []byte {
	f.t.Helper()
	req.Header.Set("Authorization", "Bearer CANARY-token-of-this-test")
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return body
}

// call makes a call of Bifrost.
func (f *fielded) call(method, path, body string, change func(*http.Request)) (int, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.api+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

// ask is call as the admin, whichever password holds.
func (f *fielded) ask(method, path, body string) (int, string) {
	f.t.Helper()
	for range 2 {
		status, answer := f.call(method, path, body, func(r *http.Request) { r.SetBasicAuth("admin", f.value("admin password", f.admin)) })
		if status != http.StatusUnauthorized {
			return status, answer
		}
		f.admin = 3 - f.admin
	}
	return http.StatusUnauthorized, ""
}

// healthy waits until Bifrost answers.
func (f *fielded) healthy() {
	f.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		if status, _ := f.call(http.MethodGet, "/health", "", nil); status == http.StatusOK {
			return
		}
		select {
		case <-late:
			f.t.Fatalf("Bifrost is not healthy; the log:\n%s", strings.Join(f.run.all, "\n"))
		case <-tick.C:
		}
	}
}

func (f *fielded) chat(model string, change func(*http.Request)) (int, string) {
	return f.call(http.MethodPost, "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"ping"}]}`, change)
}

func chatHeader(header, format string) func(*fielded) int {
	return func(f *fielded) int {
		f.up.Forget()
		if status, body := f.chat("openai/model-0", nil); status != http.StatusOK {
			f.t.Logf("a chat: %d %s", status, body)
		}
		got, _ := f.up.Last(bifrosttest.Chat, header)
		return generationIn(got, format)
	}
}

// proxied returns what the proxy was shown last: a connection through it stays open.
func (f *fielded) proxied() int {
	if status, body := f.chat("groq/model-p", nil); status != http.StatusOK {
		f.t.Logf("a chat through the proxy: %d %s", status, body)
	}
	return generationIn(f.out.last("proxy"), "proxy:CANARY-proxy-%04d")
}

// tool calls a tool of an MCP server.
func (f *fielded) tool(server *bifrosttest.Upstream, tool, format string) int {
	server.Forget()
	status, body := f.ask(http.MethodPost, "/v1/mcp/tool/execute", `{"id":"c1","type":"function","function":{"name":"`+tool+`","arguments":"{}"}}`)
	got, n := server.Last(bifrosttest.MCP, "Authorization")
	if n == 0 {
		f.t.Logf("the tool %s: %d %s", tool, status, body)
	}
	return generationIn(got, format)
}

// moved calls a tool of the MCP client whose server changes.
func (f *fielded) moved() int {
	for _, server := range f.servers {
		server.Forget()
	}
	status, body := f.ask(http.MethodPost, "/v1/mcp/tool/execute", `{"id":"c1","type":"function","function":{"name":"moved-echo","arguments":"{}"}}`)
	var reached []int
	for n, server := range f.servers {
		if _, calls := server.Last(bifrosttest.MCP, "Authorization"); calls > 0 {
			reached = append(reached, n+1)
		}
	}
	if len(reached) != 1 {
		f.t.Logf("the tool moved-echo reached %v: %d %s", reached, status, body)
	}
	return only(reached)
}

// traced chats, and waits for what the plugin tells its collector of it.
func (f *fielded) traced() int {
	f.up.Forget()
	f.chat("openai/model-0", nil)
	for late := time.After(patience); ; {
		changed := f.up.Changed()
		if got, n := f.up.Last(bifrosttest.Traces, "X-Token"); n > 0 {
			return generationIn(got, "CANARY-otel-%04d")
		}
		select {
		case <-changed:
		case <-late:
			return 0
		}
	}
}

// login tries to sign in with the password of either generation.
func (f *fielded) login() int {
	var works []int
	for n := 1; n <= 2; n++ {
		status, _ := f.call(http.MethodGet, "/api/config", "", func(r *http.Request) { r.SetBasicAuth("admin", f.value("admin password", n)) })
		if status == http.StatusOK {
			works = append(works, n)
		}
	}
	return only(works)
}

// virtualKey chats with the virtual key of either generation.
func (f *fielded) virtualKey() int {
	var works []int
	for n := 1; n <= 2; n++ {
		if status, _ := f.chat("openai/model-0", func(r *http.Request) { r.Header.Set("X-Bf-Vk", f.value("virtual key", n)) }); status == http.StatusOK {
			works = append(works, n)
		}
	}
	return only(works)
}

func only(all []int) int {
	if len(all) != 1 {
		return 0
	}
	return all[0]
}

// hooked has Bifrost send a sample to the webhook, and returns the generation of its
// header and of the key that has signed it.
func (f *fielded) hooked() (header, signed int) {
	_, list := f.ask(http.MethodGet, "/api/webhooks", "")
	var hooks struct{ Endpoints []struct{ ID string } }
	if err := json.Unmarshal([]byte(list), &hooks); err != nil || len(hooks.Endpoints) != 1 {
		f.t.Logf("the webhooks are %s: %v", list, err)
		return 0, 0
	}
	f.out.note("hook header", "")
	f.out.note("hook signature", "")
	if status, body := f.ask(http.MethodPost, "/api/webhooks/"+hooks.Endpoints[0].ID+"/test", "{}"); f.out.last("hook signature") == "" {
		f.t.Logf("a test of the webhook: %d %s", status, body)
	}
	for n := 1; n <= 2; n++ {
		key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret(n), "whsec_"))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(f.out.last("hook signed")))
		if f.out.last("hook signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			signed = n
		}
	}
	return generationIn(f.out.last("hook header"), "CANARY-hook-%04d"), signed
}

// oauth begins to authorize the MCP client and comes back with a code, for which
// Bifrost asks the token endpoint. It lets nobody in, so that this can be done again.
func (f *fielded) oauth() int {
	_, list := f.ask(http.MethodGet, "/api/mcp/clients?limit=100", "")
	var clients struct {
		Clients []struct {
			Config struct {
				ID   string `json:"client_id"`
				Name string
			}
		}
	}
	_ = json.Unmarshal([]byte(list), &clients)
	f.out.note("token", "")
	for _, c := range clients.Clients {
		if c.Config.Name != "signed" {
			continue
		}
		_, body := f.ask(http.MethodPost, "/api/mcp/client/"+c.Config.ID+"/initiate-verification", "")
		var begun struct {
			URL string `json:"authorize_url"`
		}
		_ = json.Unmarshal([]byte(body), &begun)
		u, err := url.Parse(begun.URL)
		if err != nil || begun.URL == "" {
			f.t.Logf("the client cannot be authorized: %s", body)
			return 0
		}
		status, answer := f.ask(http.MethodGet, "/api/oauth/callback?code=c1&state="+url.QueryEscape(u.Query().Get("state")), "")
		if f.out.last("token") == "" {
			f.t.Logf("the callback: %d %.300s", status, answer)
		}
	}
	return generationIn(f.out.last("token"), "CANARY-oauth-%04d")
}

// connected reports, as the generation of its password, whether a role is connected.
func (f *fielded) connected(db *pgtest.Database, role string, stored int) int {
	if db.Text(f.t, "SELECT count(*)::text FROM pg_stat_activity WHERE usename = $1", role) == "0" {
		return 0
	}
	return stored
}
