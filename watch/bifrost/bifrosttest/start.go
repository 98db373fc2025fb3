package bifrosttest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// document is the part of a config.json that this Bifrost reads.
type document struct {
	Providers map[string]json.RawMessage `json:"providers"`
	MCP       struct {
		Clients []json.RawMessage `json:"client_configs"`
	} `json:"mcp"`
	Plugins []struct {
		Name    string         `json:"name"`
		Enabled bool           `json:"enabled"`
		Path    *string        `json:"path"`
		Version *int           `json:"version"`
		Config  map[string]any `json:"config"`
	} `json:"plugins"`
	Webhooks []json.RawMessage `json:"webhooks"`

	Auth   *auth          `json:"auth_config"`
	Client map[string]any `json:"client"`
}

// Start starts it with a rendered config.json, or starts it again: each part of
// the file is taken where it differs from the file that was taken before, and
// the database stands where it does not. That is the rollback trap: what the API
// has changed outlives a file that has not.
func (s *Server) Start(config []byte) error {
	var doc document
	if err := json.Unmarshal(config, &doc); err != nil {
		return fmt.Errorf("failed to load config: %w", err)
	}
	s.mu.Lock()
	err := s.load(&doc)
	clients := slices.Clone(s.db.Clients)
	s.open = map[string]map[string]string{}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, c := range clients {
		s.connect(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = true
	s.runs++
	return nil
}

func hash(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		text, _ := json.Marshal(p)
		h.Write(append(text, 0))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// without returns an object less some members.
func without(raw json.RawMessage, names ...string) map[string]any {
	var o map[string]any
	_ = json.Unmarshal(raw, &o)
	for _, n := range names {
		delete(o, n)
	}
	return o
}

func (s *Server) load(doc *document) error {
	if s.db.Providers == nil {
		s.db.Providers, s.db.Plugins = map[string]*provider{}, map[string]*plugin{}
		s.db.Client = map[string]any{"log_retention_days": 0, "enable_logging": true, "allowed_origins": []string{"*"}}
		s.db.Framework = map[string]any{"id": 0, "pricing_sync_interval": 86400}
		maps.Copy(s.db.Client, doc.Client)
	}
	for name, raw := range doc.Providers {
		if err := s.loadProvider(name, raw); err != nil {
			return err
		}
	}
	for _, raw := range doc.MCP.Clients {
		if err := s.loadClient(raw); err != nil {
			return err
		}
	}
	for _, p := range doc.Plugins {
		version := 1
		if p.Version != nil {
			version = *p.Version
		}
		// Versions of the database are never looked at: the comparison is against 1.
		if s.db.Plugins[p.Name] == nil || version > 1 {
			s.db.Plugins[p.Name] = &plugin{Enabled: p.Enabled, Path: p.Path, Config: p.Config, Version: version, Row: 1}
		}
	}
	for _, raw := range doc.Webhooks {
		if err := s.loadWebhook(raw); err != nil {
			return err
		}
	}
	if doc.Auth != nil {
		s.db.Auth = doc.Auth // the file always wins
	}
	return nil
}

func (s *Server) loadProvider(name string, raw json.RawMessage) error {
	var in providerBody
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("provider %s: %w", name, err)
	}
	next, err := in.provider()
	if err != nil {
		return fmt.Errorf("provider %s: %w", name, err)
	}
	if next.Buffers == (buffers{}) {
		next.Buffers = buffers{Concurrency: 1000, BufferSize: 5000}
	}
	next.hash = hash(without(raw, "keys"))
	var keys struct {
		Keys []json.RawMessage `json:"keys"`
	}
	_ = json.Unmarshal(raw, &keys)
	for i, k := range next.Keys {
		k.hash = hash(without(keys.Keys[i], "id"))
	}
	old := s.db.Providers[name]
	if old == nil {
		old = &provider{hash: "none"}
	}
	var merged []*key
	for _, k := range next.Keys {
		i := slices.IndexFunc(old.Keys, func(o *key) bool { return o.Name == k.Name })
		switch {
		case i < 0:
			if k.ID == "" {
				k.ID = s.db.newID()
			}
		case old.Keys[i].hash == k.hash:
			k = old.Keys[i]
		default:
			k.ID = old.Keys[i].ID
		}
		merged = append(merged, k)
	}
	if old.hash == next.hash {
		for _, k := range old.Keys { // a key that the file does not have any more stays
			if !slices.ContainsFunc(merged, func(m *key) bool { return m.Name == k.Name }) {
				merged = append(merged, k)
			}
		}
		next = old
	}
	next.Keys = merged
	s.db.Providers[name] = next
	return nil
}

func (s *Server) loadClient(raw json.RawMessage) error {
	var in struct {
		ID          string            `json:"client_id"`
		Name        string            `json:"name"`
		Connection  value             `json:"connection_string"`
		Headers     map[string]*value `json:"headers"`
		Tools       []string          `json:"tools_to_execute"`
		CodeMode    bool              `json:"is_code_mode_client"`
		AutoExecute []string          `json:"tools_to_auto_execute"`
		Timeout     int64             `json:"tool_execution_timeout"`
		Sticky      bool              `json:"needs_session_stickiness"`
		Disabled    bool              `json:"disabled"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("mcp client: %w", err)
	}
	next := &client{ID: in.ID, Name: in.Name, Connection: in.Connection, Headers: in.Headers, Tools: in.Tools,
		CodeMode: in.CodeMode, AutoExecute: in.AutoExecute, Timeout: in.Timeout, Sticky: in.Sticky, Disabled: in.Disabled, hash: hash(without(raw, "client_id"))}
	i := slices.IndexFunc(s.db.Clients, func(c *client) bool { return c.Name == next.Name })
	switch {
	case i < 0:
		if next.ID == "" {
			next.ID = s.db.newID()
		}
		s.db.Clients = append(s.db.Clients, next)
	case s.keysInside() || s.db.Clients[i].hash == next.hash: // 1.4 reads it once
	default:
		next.ID, next.Connection = s.db.Clients[i].ID, s.db.Clients[i].Connection
		s.db.Clients[i] = next
	}
	return nil
}
