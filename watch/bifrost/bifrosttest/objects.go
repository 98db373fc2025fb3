package bifrosttest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) viewClient(c *client) map[string]any {
	headers := map[string]any{}
	for name, v := range c.Headers {
		headers[name] = s.redacted(v)
	}
	config := map[string]any{
		"client_id": c.ID, "name": c.Name, "is_code_mode_client": c.CodeMode, "connection_type": "http",
		"connection_string": s.redacted(&c.Connection), "auth_type": "headers", "headers": headers, "tools_to_execute": c.Tools,
	}
	if len(c.AutoExecute) > 0 {
		config["tools_to_auto_execute"] = c.AutoExecute
	}
	if s.major > 1 && c.Sticky {
		config["needs_session_stickiness"] = true
	}
	if s.patches() {
		config["disabled"] = c.Disabled
	}
	if c.Timeout != 0 && s.major > 1 {
		config["tool_execution_timeout"] = (time.Duration(c.Timeout) * time.Second).String() // taken in seconds
	}
	if c.SyncMinutes != 0 {
		config["tool_sync_interval"] = c.SyncMinutes * int64(time.Minute) // it may overflow, as there
	}
	state := "connected"
	if s.open[c.ID] == nil {
		state = "error"
	}
	return map[string]any{"config": config, "tools": []any{}, "state": state}
}

func (s *Server) listClients(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := len(s.db.Clients)
	limit, offset := total, 0
	if s.patches() {
		limit, _ = strconv.Atoi(r.FormValue("limit"))
		offset, _ = strconv.Atoi(r.FormValue("offset"))
		switch {
		case limit <= 0 && s.major > 1:
			limit = 25
		case limit <= 0 || limit > 100:
			limit = 100
		}
	}
	all := []any{}
	for _, c := range s.db.Clients[min(offset, total):min(offset+limit, total)] {
		all = append(all, s.viewClient(c))
	}
	reply(w, map[string]any{"clients": all, "count": len(all), "limit": limit, "offset": offset, "total_count": total})
}

// client returns the MCP client of the path. The lock is held.
func (s *Server) client(w http.ResponseWriter, r *http.Request) *client {
	i := slices.IndexFunc(s.db.Clients, func(c *client) bool { return c.ID == r.PathValue("id") })
	if i < 0 {
		refuse(w, http.StatusNotFound, "MCP client not found")
		return nil
	}
	return s.db.Clients[i]
}

func (s *Server) putClient(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name        *string           `json:"name"`
		Headers     map[string]*value `json:"headers"`
		Tools       *[]string         `json:"tools_to_execute"`
		CodeMode    *bool             `json:"is_code_mode_client"`
		AutoExecute *[]string         `json:"tools_to_auto_execute"`
		SyncMinutes *int64            `json:"tool_sync_interval"` // shown in nanoseconds, taken in minutes
	}
	if !body(w, r, &in) {
		return
	}
	s.mu.Lock()
	c := s.client(w, r)
	if c == nil {
		s.mu.Unlock()
		return
	}
	switch {
	case s.patches():
	case in.Name == nil || *in.Name == "":
		s.mu.Unlock()
		refuse(w, http.StatusBadRequest, "name is required")
		return
	default:
		c.Tools, c.CodeMode, c.AutoExecute, c.SyncMinutes = nil, false, nil, 10
	}
	if in.Headers != nil || !s.patches() {
		for name, v := range in.Headers {
			in.Headers[name] = kept(v, c.Headers[name])
		}
		c.Headers = in.Headers
	}
	set(&c.Name, in.Name)
	set(&c.Tools, in.Tools)
	set(&c.CodeMode, in.CodeMode)
	set(&c.AutoExecute, in.AutoExecute)
	if in.SyncMinutes != nil && *in.SyncMinutes != 0 {
		c.SyncMinutes = *in.SyncMinutes
	}
	s.mu.Unlock()
	// A connection that stays open goes on with the headers that it has.
	if s.perCall(c) {
		s.connect(c)
	}
	reply(w, map[string]string{"status": "success", "message": "MCP client edited successfully"})
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Server) reconnect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	c := s.client(w, r)
	s.mu.Unlock()
	switch {
	case c == nil:
		return
	case c.Disabled && s.patches():
		refuse(w, http.StatusBadRequest, "cannot reconnect a disabled MCP client: enable the client first")
		return
	case s.perCall(c):
		refuse(w, http.StatusBadRequest, "client uses per-call connections; there is no persistent connection to reconnect")
		return
	}
	if !s.connect(c) {
		refuse(w, http.StatusInternalServerError, "failed to reconnect")
		return
	}
	reply(w, map[string]string{"status": "success", "message": "MCP client reconnected successfully"})
}

// profiles returns the config of the plugin otel as newer versions keep it: a list of
// profiles, made of one where there is none.
func profiles(config map[string]any) map[string]any {
	if _, ok := config["profiles"]; ok {
		return config
	}
	return map[string]any{"profiles": []any{maps.Clone(config)}}
}

// masked returns a config with the headers of its profiles masked.
func (s *Server) masked(config map[string]any) map[string]any {
	text, _ := json.Marshal(profiles(config))
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	all, _ := out["profiles"].([]any)
	for _, p := range all {
		profile, _ := p.(map[string]any)
		if text, ok := profile["collector_url"].(string); ok {
			profile["collector_url"] = s.show(&value{plain: text}, text)
		}
		headers, _ := profile["headers"].(map[string]any)
		for name, v := range headers {
			text, _ := v.(string)
			headers[name] = redact(text)
		}
	}
	return out
}

func (s *Server) getPlugin(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	p := s.db.Plugins[name]
	if p == nil {
		refuse(w, http.StatusNotFound, "Plugin not found")
		return
	}
	o := map[string]any{"name": name, "enabled": p.Enabled, "isCustom": false, "config": p.Config}
	if s.patches() {
		o["actualName"], o["path"], o["status"] = name, p.Path, map[string]any{"name": name, "status": "active"}
		if name == "otel" {
			o["config"] = s.masked(p.Config)
		}
	} else {
		o["id"], o["version"], o["config_hash"] = p.Row, p.Version, ""
	}
	reply(w, o)
}

func (s *Server) putPlugin(w http.ResponseWriter, r *http.Request) {
	in := &plugin{}
	if !body(w, r, in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	old := s.db.Plugins[name]
	if old == nil {
		refuse(w, http.StatusNotFound, "Plugin not found")
		return
	}
	if s.patches() { // what it does not name stays, and a mask of what stands in the same place
		merged := maps.Clone(old.Config)
		for member, v := range in.Config {
			merged[member] = restored(v, old.Config[member])
		}
		in.Config = merged
	}
	in.Version, in.Row = 1, old.Row+1
	s.db.Plugins[name] = in
	reply(w, map[string]any{"message": "Plugin updated successfully", "plugin": map[string]any{"name": name, "enabled": in.Enabled, "config": in.Config}})
}

// restored returns what is stored for a value of a plugin's config.
func restored(in, stored any) any {
	switch v := in.(type) {
	case map[string]any:
		old, _ := stored.(map[string]any)
		out := map[string]any{}
		for name, inner := range v {
			out[name] = restored(inner, old[name])
		}
		return out
	case []any:
		old, _ := stored.([]any)
		out := slices.Clone(v)
		for i := range min(len(old), len(v)) {
			out[i] = restored(v[i], old[i])
		}
		return out
	case string:
		if old, ok := stored.(string); ok && strings.Contains(v, "****") {
			return old
		}
	}
	return in
}

func (s *Server) getConfig(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := map[string]any{
		"client_config": s.db.Client, "framework_config": s.db.Framework, "is_cache_connected": false, "is_db_connected": true,
		"is_logs_connected": true, "restart_required": map[string]bool{"required": false},
	}
	if a := s.db.Auth; a != nil {
		auth := map[string]any{"admin_username": s.show(a.User, a.User.text()), "admin_password": s.show(a.Password, "<redacted>"), "is_enabled": a.Enabled}
		if !s.patches() {
			auth["disable_auth_on_inference"] = a.OpenToInference
		}
		if s.secretVars() {
			auth["admin_password"] = map[string]any{"value": "<redacted>"}
		}
		o["auth_config"] = auth
	}
	reply(w, o)
}

func (s *Server) putConfig(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Client    map[string]any `json:"client_config"`
		Framework map[string]any `json:"framework_config"`
		Auth      *auth          `json:"auth_config"`
	}
	if !body(w, r, &in) {
		return
	}
	if days, _ := in.Client["log_retention_days"].(float64); days < 1 {
		refuse(w, http.StatusBadRequest, "log_retention_days must be at least 1")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db.Client = maps.Clone(in.Client)
	if in.Framework != nil {
		s.db.Framework = in.Framework
	}
	if in.Auth != nil {
		if s.db.Auth != nil {
			in.Auth.Password = kept(in.Auth.Password, s.db.Auth.Password)
		}
		s.db.Auth = in.Auth
	}
	reply(w, map[string]string{"status": "success", "message": "configuration updated successfully"})
}
