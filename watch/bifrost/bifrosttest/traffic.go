package bifrosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// discover asks a provider for its models with each of its keys, as Bifrost does
// before it answers a PUT.
func (s *Server) discover(r *http.Request, p *provider) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	for _, k := range p.Keys {
		s.mu.Lock()
		token, url, headers := k.Value.plain, p.Network.BaseURL, maps.Clone(p.Network.ExtraHeaders)
		s.mu.Unlock()
		if url != "" {
			_, _, _ = s.call(ctx, http.MethodGet, url+"/v1/models", token, headers, nil)
		}
	}
}

// call sends what Bifrost sends outwards.
func (s *Server) call(ctx context.Context, method, url, token string, headers map[string]string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, v := range headers {
		req.Header.Set(name, v)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// connect opens the connection of an MCP client with the headers that it has now.
func (s *Server) connect(c *client) bool {
	s.mu.Lock()
	id, url, headers := c.ID, c.Connection.plain, map[string]string{}
	for name, v := range c.Headers {
		headers[name] = v.text()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	status, _, err := s.call(ctx, http.MethodPost, url, "", headers,
		[]byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"bifrost","version":"1"}}}`))
	if err != nil || status != http.StatusOK {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = headers
	return true
}

// pick returns the key that serves a model.
func (s *Server) pick(p *provider, model string) *key {
	for _, k := range p.Keys {
		serves := slices.Contains(k.Models, model) || slices.Contains(k.Models, "*") || s.keysInside() && len(k.Models) == 0
		if serves && k.Weight > 0 && (k.Enabled == nil || *k.Enabled) && k.Value.plain != "" {
			return k
		}
	}
	return nil
}

// chat sends a chat on to the provider with the key in force, and what the
// plugin otel has to say to its collector.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var ask map[string]any
	if !body(w, r, &ask) {
		return
	}
	full, _ := ask["model"].(string)
	name, model, _ := strings.Cut(full, "/")
	s.mu.Lock()
	p := s.db.Providers[name]
	var k *key
	if p != nil {
		k = s.pick(p, model)
	}
	if k == nil {
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "no keys found that support model")
		return
	}
	token, url, headers := k.Value.plain, p.Network.BaseURL, maps.Clone(p.Network.ExtraHeaders)
	var collector string
	traced := map[string]string{}
	if otel := s.db.Plugins["otel"]; otel != nil && otel.Enabled {
		config := otel.Config
		if s.patches() {
			config, _ = profiles(config)["profiles"].([]any)[0].(map[string]any)
		}
		if collector, _ = config["collector_url"].(string); collector == "" {
			at, _ := config["collector_url"].(map[string]any)
			collector, _ = at["value"].(string)
		}
		all, _ := config["headers"].(map[string]any)
		for n, v := range all {
			traced[n], _ = v.(string)
		}
	}
	s.mu.Unlock()
	ask["model"] = model
	out, _ := json.Marshal(ask)
	status, answer, err := s.call(r.Context(), http.MethodPost, url+"/v1/chat/completions", token, headers, out)
	if err != nil {
		refuse(w, http.StatusBadGateway, "failed to execute HTTP request to provider API")
		return
	}
	if collector != "" {
		_, _, _ = s.call(r.Context(), http.MethodPost, collector, "", traced, nil)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}
