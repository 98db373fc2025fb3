package bifrosttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// webhook is an endpoint of version 2.
type webhook struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	URL      string            `json:"url"`
	Events   []string          `json:"events"`
	Headers  map[string]*value `json:"headers"`
	Response bool              `json:"include_response"`
	Private  bool              `json:"allow_private_network"`
	Disabled bool              `json:"disabled"`
	Retries  int               `json:"max_retries"`
	hash     string
}

func (s *Server) loadWebhook(raw json.RawMessage) error {
	next := &webhook{hash: hash(without(raw, "secret"))}
	if err := json.Unmarshal(raw, next); err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	i := slices.IndexFunc(s.db.Webhooks, func(w *webhook) bool { return w.Name == next.Name })
	switch {
	case s.major < 2:
	case i < 0:
		next.ID = s.db.newID()
		s.db.Webhooks = append(s.db.Webhooks, next)
	case s.db.Webhooks[i].hash != next.hash:
		next.ID = s.db.Webhooks[i].ID
		s.db.Webhooks[i] = next
	}
	return nil
}

func (s *Server) viewWebhook(w *webhook) map[string]any {
	headers := map[string]any{}
	for name, v := range w.Headers {
		headers[name] = s.show(v, "<REDACTED>")
	}
	o := map[string]any{
		"id": w.ID, "name": w.Name, "url": w.URL, "events": w.Events, "headers": headers, "include_response": w.Response, "allow_private_network": w.Private,
		"disabled": w.Disabled, "consecutive_failures": 0, "config_hash": w.hash, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
	}
	if w.Retries != 0 {
		o["max_retries"] = w.Retries
	}
	return o
}

func (s *Server) listWebhooks(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := len(s.db.Webhooks)
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	offset, _ := strconv.Atoi(r.FormValue("offset"))
	if limit <= 0 {
		limit = 25
	}
	all := []any{}
	for _, hook := range s.db.Webhooks[min(offset, total):min(offset+limit, total)] {
		all = append(all, s.viewWebhook(hook))
	}
	reply(w, map[string]any{"endpoints": all, "count": len(all), "limit": limit, "offset": offset, "total_count": total})
}

// putWebhook stores what is sent: what is left out is reset, and a mask is no change.
func (s *Server) putWebhook(w http.ResponseWriter, r *http.Request) {
	next := new(webhook)
	if !body(w, r, next) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.db.Webhooks, func(w *webhook) bool { return w.ID == r.PathValue("id") })
	switch {
	case i < 0:
		refuse(w, http.StatusNotFound, "Webhook endpoint not found")
		return
	case next.Name == "" || next.URL == "" || len(next.Events) == 0:
		refuse(w, http.StatusBadRequest, "webhook endpoint must subscribe to at least one event")
		return
	}
	old := s.db.Webhooks[i]
	for name, v := range next.Headers {
		next.Headers[name] = kept(v, old.Headers[name])
	}
	next.ID, next.hash = old.ID, old.hash
	s.db.Webhooks[i] = next
	reply(w, s.viewWebhook(next))
}

// testWebhook sends a sample.
func (s *Server) testWebhook(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	i := slices.IndexFunc(s.db.Webhooks, func(w *webhook) bool { return w.ID == r.PathValue("id") })
	if i < 0 {
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "Webhook endpoint not found")
		return
	}
	url, headers := s.db.Webhooks[i].URL, map[string]string{}
	for name, v := range s.db.Webhooks[i].Headers {
		headers[name] = v.text()
	}
	s.mu.Unlock()
	status, _, err := s.call(r.Context(), http.MethodPost, url, "", headers, []byte("{}"))
	reply(w, map[string]any{"delivered": err == nil, "receiver_status_code": status})
}
