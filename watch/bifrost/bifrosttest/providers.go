package bifrosttest

import (
	"net/http"
	"slices"
	"sort"
)

func (s *Server) viewProvider(name string, p *provider) map[string]any {
	net := map[string]any{
		"default_request_timeout_in_seconds": p.Network.Timeout, "max_retries": p.Network.Retries,
		"retry_backoff_initial": p.Network.BackoffFirst, "retry_backoff_max": p.Network.BackoffMost,
	}
	if p.Network.BaseURL != "" {
		net["base_url"] = p.Network.BaseURL
	}
	if len(p.Network.ExtraHeaders) > 0 {
		net["extra_headers"] = p.Network.ExtraHeaders // as they are
	}
	if ca := p.Network.CACert; ca.text() != "" {
		switch {
		case s.keysInside():
			net["ca_cert_pem"] = "<REDACTED>"
		case s.secretVars():
			net["ca_cert_pem"] = s.redacted(ca)
		default:
			net["ca_cert_pem"] = redact(ca.plain)
		}
	}
	o := map[string]any{
		"name": name, "network_config": net, "concurrency_and_buffer_size": p.Buffers, "proxy_config": s.viewProxy(p.Proxy),
		"send_back_raw_request": false, "send_back_raw_response": p.RawBack, "store_raw_request_response": false,
		"provider_status": "active", "status": "unknown", "config_hash": p.hash,
	}
	if len(p.Custom) > 0 && string(p.Custom) != "null" {
		o["custom_provider_config"] = p.Custom
	}
	if s.keysInside() {
		keys := make([]any, len(p.Keys))
		for i, k := range p.Keys {
			keys[i] = s.viewKey(k)
		}
		o["keys"] = keys
	}
	return o
}

func (s *Server) viewProxy(p *proxy) any {
	if p == nil {
		return nil
	}
	hide := func(v *value) *value {
		if v.text() == "" {
			return v
		}
		return &value{plain: "<REDACTED>", ref: v.ref}
	}
	o := map[string]any{"type": p.Type}
	for name, v := range map[string]*value{"url": p.URL, "username": p.Username, "password": hide(p.Password), "ca_cert_pem": hide(p.CACert)} {
		if s.keysInside() {
			o[name] = v.text()
		} else {
			o[name] = s.show(v, v.text())
		}
	}
	return o
}

func (s *Server) listProviders(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.db.Providers {
		names = append(names, name)
	}
	sort.Strings(names)
	all := []any{}
	for _, name := range names {
		all = append(all, s.viewProvider(name, s.db.Providers[name]))
	}
	reply(w, map[string]any{"providers": all, "total": len(all)})
}

// provider returns the provider of the path. The lock is held.
func (s *Server) provider(w http.ResponseWriter, r *http.Request) (string, *provider) {
	name := r.PathValue("provider")
	p := s.db.Providers[name]
	if p == nil {
		refuse(w, http.StatusNotFound, "Provider not found: not found")
	}
	return name, p
}

func (s *Server) getProvider(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, p := s.provider(w, r); p != nil {
		reply(w, s.viewProvider(name, p))
	}
}

func (s *Server) putProvider(w http.ResponseWriter, r *http.Request) {
	var in providerBody
	if !body(w, r, &in) {
		return
	}
	next, err := in.provider()
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid request format")
		return
	}
	if next.Buffers.Concurrency <= 0 {
		refuse(w, http.StatusBadRequest, "Concurrency must be greater than 0")
		return
	}
	s.mu.Lock()
	name, old := s.provider(w, r)
	if old == nil {
		s.mu.Unlock()
		return
	}
	next.hash = old.hash
	if !s.keysInside() {
		next.Keys = old.Keys
	} else if !s.mergeKeys(next, old) {
		s.mu.Unlock()
		refuse(w, http.StatusInternalServerError, "a record with this name already exists")
		return
	}
	next.Network.CACert = kept(next.Network.CACert, old.Network.CACert)
	if next.Proxy != nil && old.Proxy != nil {
		next.Proxy.Password = kept(next.Proxy.Password, old.Proxy.Password)
		next.Proxy.CACert = kept(next.Proxy.CACert, old.Proxy.CACert)
	}
	s.db.Providers[name] = next
	view := s.viewProvider(name, next)
	s.mu.Unlock()
	s.discover(r, next)
	reply(w, view)
}

// mergeKeys is how 1.4 takes the keys of a body: those without an id are new,
// those that are not in it are deleted. It reports whether the names are free.
func (s *Server) mergeKeys(next, old *provider) bool {
	for _, k := range next.Keys {
		i := slices.IndexFunc(old.Keys, func(o *key) bool { return o.ID == k.ID && k.ID != "" })
		if i >= 0 {
			k.keep(old.Keys[i])
		} else if k.ID = s.db.newID(); s.nameTaken(k.Name, "") {
			return false
		}
	}
	return true
}

// nameTaken reports whether a key of another id has the name, in any provider.
func (s *Server) nameTaken(name, id string) bool {
	for _, p := range s.db.Providers {
		for _, k := range p.Keys {
			if k.Name == name && k.ID != id {
				return true
			}
		}
	}
	return false
}

func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p := s.provider(w, r)
	if p == nil {
		return
	}
	all := []any{}
	for _, k := range p.Keys {
		all = append(all, s.viewKey(k))
	}
	reply(w, map[string]any{"keys": all, "total": len(all)})
}

func (s *Server) putKey(w http.ResponseWriter, r *http.Request) {
	next := new(key)
	if !body(w, r, next) {
		return
	}
	s.mu.Lock()
	_, p := s.provider(w, r)
	if p == nil {
		s.mu.Unlock()
		return
	}
	i := slices.IndexFunc(p.Keys, func(k *key) bool { return k.ID == r.PathValue("id") })
	status, message := 0, ""
	switch {
	case i < 0:
		status, message = http.StatusNotFound, "Key not found"
	case s.nameTaken(next.Name, p.Keys[i].ID):
		status, message = http.StatusConflict, "a key with this name already exists"
	case next.Value.plain == "" && next.Value.ref == "" && len(next.Configs) == 0:
		status, message = http.StatusBadRequest, "Key value must not be empty"
	}
	if status != 0 {
		s.mu.Unlock()
		refuse(w, status, message)
		return
	}
	next.keep(p.Keys[i])
	next.ID = p.Keys[i].ID
	keys := slices.Clone(p.Keys)
	keys[i] = next
	changed := *p
	changed.Keys = keys
	s.db.Providers[r.PathValue("provider")] = &changed
	view := s.viewKey(next)
	s.mu.Unlock()
	s.discover(r, &changed)
	reply(w, view)
}
