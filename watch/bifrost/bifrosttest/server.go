// Package bifrosttest is a Bifrost in memory, for tests where no real one is at
// hand: the part of its management API that is known, its database, which
// outlives restarts, and a chat endpoint that sends what a real one would to
// the provider. It does what Bifrost 1.4.19, 1.5.0-prerelease7, 1.5.16 and
// 2.0.0-prerelease3 were observed to do, traps included: what a body leaves out is
// reset, but by those that keep it.
package bifrosttest

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Versions are those that New can be given.
var Versions = []string{"1.4.19", "1.5.0-prerelease7", "1.5.16", "2.2.1"}

// Server is a Bifrost.
type Server struct {
	URL string

	version             string
	major, minor, patch int
	http                *http.Client
	server              *httptest.Server
	routes              *http.ServeMux

	hookMu sync.Mutex
	hook   func(r *http.Request) int

	mu    sync.Mutex
	up    bool
	db    database
	open  map[string]map[string]string // by id of an MCP client: the headers of its connection
	calls []string                     // every call of the API, as METHOD path
	asked []string                     // every call of all there is
	runs  int                          // how often it was started
	quiet bool                         // it has no metrics
}

// New makes a Bifrost of a version that is not started yet: see Start. It ends
// with the test.
func New(t testing.TB, version string) *Server {
	t.Helper()
	s := &Server{version: version, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &s.major, &s.minor, &s.patch); n != 3 {
		t.Fatalf("%q is no version", version)
	}
	s.routes = s.mux()
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	s.URL = s.server.URL
	return s
}

// keysInside tells whether keys are a part of their provider.
func (s *Server) keysInside() bool { return s.major == 1 && s.minor < 5 }

// secretVars tells whether values have a type.
func (s *Server) secretVars() bool { return s.major > 1 || s.minor > 5 }

// patches tells whether what the body of an MCP client leaves out is kept, and
// whether a plugin shows profiles: from 1.5.16 on.
func (s *Server) patches() bool { return s.secretVars() || s.minor == 5 && s.patch >= 16 }

// perCall tells whether MCP clients have a connection for each call.
func (s *Server) perCall(c *client) bool { return s.major > 1 && !c.Sticky }

// OnCall sets a function that every call of the management API goes through. It
// may block, or edit as a dashboard would; a status that is not 0 is answered in
// place of what the call would do.
func (s *Server) OnCall(hook func(r *http.Request) int) {
	s.hookMu.Lock()
	defer s.hookMu.Unlock()
	s.hook = hook
}

// Stop makes it go away, and its connections with it. Its database stays.
func (s *Server) Stop() {
	s.mu.Lock()
	s.up = false
	s.mu.Unlock()
	s.server.CloseClientConnections()
}

// Called returns every call of the API since the last time, as METHOD path.
func (s *Server) Called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.calls
	s.calls = nil
	return all
}

// Asked returns every call since the last time, /health too, as METHOD path.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.asked
	s.asked = nil
	return all
}

// NoMetrics switches its metrics off, as a setting of Bifrost does.
func (s *Server) NoMetrics() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = true
}

// metrics shows when it was started, a minute after the time before.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	runs, quiet := s.runs, s.quiet
	s.mu.Unlock()
	if quiet {
		refuse(w, http.StatusNotFound, "Route not found: "+r.URL.Path)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.9e\n", 1.7e9+60*float64(runs))
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	up := s.up
	if up {
		s.asked = append(s.asked, r.Method+" "+r.URL.EscapedPath())
	}
	if up && strings.HasPrefix(r.URL.Path, "/api/") {
		s.calls = append(s.calls, r.Method+" "+r.URL.EscapedPath())
	}
	s.mu.Unlock()
	if !up {
		panic(http.ErrAbortHandler) // the connection is closed without an answer
	}
	if (strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics") && !s.allowed(r) {
		refuse(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.hookMu.Lock()
		hook := s.hook
		s.hookMu.Unlock()
		if hook != nil {
			if status := hook(r); status != 0 {
				refuse(w, status, "as the test wants it")
				return
			}
		}
	}
	s.routes.ServeHTTP(w, r)
}

func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"components": map[string]string{"db_pings": "ok"}, "status": "ok"})
	})
	m.HandleFunc("GET /metrics", s.metrics)
	m.HandleFunc("GET /api/version", func(w http.ResponseWriter, _ *http.Request) { reply(w, "v"+s.version) })
	m.HandleFunc("GET /api/providers", s.listProviders)
	m.HandleFunc("GET /api/providers/{provider}", s.getProvider)
	m.HandleFunc("PUT /api/providers/{provider}", s.putProvider)
	if !s.keysInside() {
		m.HandleFunc("GET /api/providers/{provider}/keys", s.listKeys)
		m.HandleFunc("PUT /api/providers/{provider}/keys/{id}", s.putKey)
	}
	m.HandleFunc("GET /api/mcp/clients", s.listClients)
	m.HandleFunc("PUT /api/mcp/client/{id}", s.putClient)
	m.HandleFunc("POST /api/mcp/client/{id}/reconnect", s.reconnect)
	m.HandleFunc("GET /api/plugins/{name}", s.getPlugin)
	m.HandleFunc("PUT /api/plugins/{name}", s.putPlugin)
	if s.major > 1 {
		m.HandleFunc("GET /api/webhooks", s.listWebhooks)
		m.HandleFunc("PUT /api/webhooks/{id}", s.putWebhook)
		m.HandleFunc("POST /api/webhooks/{id}/test", s.testWebhook)
	}
	m.HandleFunc("GET /api/config", s.getConfig)
	m.HandleFunc("PUT /api/config", s.putConfig)
	m.HandleFunc("POST /v1/chat/completions", s.chat)
	// What is not known is the dashboard's.
	m.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>bifrost</title>\n"))
	})
	return m
}

// allowed looks at the credentials as Bifrost does: Basic, or the same as a
// Bearer token.
func (s *Server) allowed(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.db.Auth
	if a == nil || !a.Enabled {
		return true
	}
	_, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	pair := base64.StdEncoding.EncodeToString([]byte(a.User.text() + ":" + a.Password.text()))
	return subtle.ConstantTimeCompare([]byte(given), []byte(pair)) == 1
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"is_bifrost_error": false, "status_code": status, "error": map[string]string{"message": message}, "extra_fields": map[string]any{},
	})
}

// body reads the body of a call into v.
func body(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid request format")
		return false
	}
	return true
}
