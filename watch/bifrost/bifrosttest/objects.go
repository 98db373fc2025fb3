package bifrosttest

import (
	"maps"
	"net/http"
	"slices"
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
	if c.SyncMinutes != 0 && !s.secretVars() {
		config["tool_sync_interval"] = c.SyncMinutes * int64(time.Minute) // it may overflow, as there
	}
	state := "connected"
	if s.open[c.ID] == nil {
		state = "error"
	}
	return map[string]any{"config": config, "tools": []any{}, "state": state}
}

func (s *Server) listClients(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []any{}
	for _, c := range s.db.Clients {
		all = append(all, s.viewClient(c))
	}
	reply(w, map[string]any{"clients": all, "count": len(all), "limit": len(all), "offset": 0, "total_count": len(all)})
}

// client gives the MCP client of the path. The lock is held.
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
		Name        string            `json:"name"`
		Headers     map[string]*value `json:"headers"`
		Tools       []string          `json:"tools_to_execute"`
		CodeMode    bool              `json:"is_code_mode_client"`
		AutoExecute []string          `json:"tools_to_auto_execute"`
		SyncMinutes int64             `json:"tool_sync_interval"` // shown in nanoseconds, taken in minutes
	}
	if !body(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client(w, r)
	if c == nil {
		return
	}
	if in.Name == "" {
		refuse(w, http.StatusBadRequest, "name is required")
		return
	}
	for name, v := range in.Headers {
		in.Headers[name] = kept(v, c.Headers[name])
	}
	if c.SyncMinutes = in.SyncMinutes; c.SyncMinutes == 0 {
		c.SyncMinutes = 10
	}
	// The open connection goes on with the headers that it has.
	c.Name, c.Headers, c.Tools, c.CodeMode, c.AutoExecute = in.Name, in.Headers, in.Tools, in.CodeMode, in.AutoExecute
	reply(w, map[string]string{"status": "success", "message": "MCP client edited successfully"})
}

func (s *Server) reconnect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	c := s.client(w, r)
	s.mu.Unlock()
	if c == nil {
		return
	}
	if !s.connect(c) {
		refuse(w, http.StatusInternalServerError, "failed to reconnect")
		return
	}
	reply(w, map[string]string{"status": "success", "message": "MCP client reconnected successfully"})
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
	reply(w, map[string]any{
		"id": p.Row, "name": name, "enabled": p.Enabled, "version": p.Version, "isCustom": false, "config_hash": "", "config": p.Config,
	})
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
	in.Version, in.Row = 1, old.Row+1
	s.db.Plugins[name] = in
	reply(w, map[string]any{"message": "Plugin updated successfully", "plugin": map[string]any{"name": name, "enabled": in.Enabled, "config": in.Config}})
}

func (s *Server) getConfig(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := map[string]any{
		"client_config": s.db.Client, "framework_config": s.db.Framework, "is_cache_connected": false, "is_db_connected": true,
		"is_logs_connected": true, "restart_required": map[string]bool{"required": false},
	}
	if a := s.db.Auth; a != nil {
		o["auth_config"] = map[string]any{
			"admin_username": s.show(a.User, a.User.text()), "admin_password": s.show(a.Password, "<redacted>"),
			"is_enabled": a.Enabled, "disable_auth_on_inference": a.OpenToInference,
		}
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
