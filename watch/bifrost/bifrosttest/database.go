package bifrosttest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// database is what outlives a restart.
type database struct {
	Providers map[string]*provider
	Clients   []*client
	Plugins   map[string]*plugin
	Webhooks  []*webhook
	Auth      *auth
	Client    map[string]any
	Framework map[string]any
	next      int // the last id that was given
}

func (d *database) newID() string {
	d.next++
	return fmt.Sprintf("5a1f6c3e-0b7d-4e2a-9c48-7d31%08x", 0xabc50+d.next)
}

// value is an EnvVar or SecretVar.
type value struct {
	plain string
	ref   string // env.NAME: Bifrost shows the name
}

func (v *value) text() string {
	if v == nil {
		return ""
	}
	return v.plain
}

// UnmarshalJSON reads the string form and both object forms.
func (v *value) UnmarshalJSON(raw []byte) error {
	var o struct {
		Value  string `json:"value"`
		EnvVar string `json:"env_var"`
		Ref    string `json:"ref"`
		Secret string `json:"secret_ref"`
		Type   string `json:"type"`
	}
	if raw[0] == '{' {
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		*v = value{plain: o.Value, ref: o.EnvVar + o.Ref + o.Secret}
		return nil
	}
	if err := json.Unmarshal(raw, &v.plain); err != nil {
		return err
	}
	if v.ref = ""; strings.HasPrefix(v.plain, "env.") {
		v.plain, v.ref = "", v.plain
	}
	return nil
}

// redact hides a value as Bifrost does.
func redact(s string) string {
	if len(s) <= 8 {
		return strings.Repeat("*", len(s))
	}
	return s[:4] + strings.Repeat("*", 24) + s[len(s)-4:]
}

// show returns a value as the API shows it, shown being its text.
func (s *Server) show(v *value, shown string) any {
	if v == nil {
		return nil
	}
	if !s.secretVars() {
		return map[string]any{"value": shown, "env_var": v.ref, "from_env": v.ref != ""}
	}
	kind := "plain_text"
	if v.ref != "" {
		kind = "env"
	}
	o := map[string]any{"value": shown, "type": kind}
	if v.ref != "" {
		o["secret_ref"] = v.ref
	}
	return o
}

func (s *Server) redacted(v *value) any {
	if v == nil {
		return nil
	}
	return s.show(v, redact(v.plain))
}

// kept returns what is stored after a body brought in: its mask means no change.
func kept(in, stored *value) *value {
	if in != nil && stored != nil && in.plain != "" && (in.plain == redact(stored.plain) || strings.EqualFold(in.plain, "<redacted>")) {
		return stored
	}
	return in
}

// key is a provider key. Configs are its *_key_config objects.
type key struct {
	ID, Name    string
	Value       value
	Models      []string
	Blacklisted []string
	Weight      float64
	Batch       bool
	Enabled     *bool
	Configs     map[string]map[string]*value
	hash        string
}

// UnmarshalJSON reads a key; what is left out is empty.
func (k *key) UnmarshalJSON(raw []byte) error {
	var in struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		Value       value    `json:"value"`
		Models      []string `json:"models"`
		Blacklisted []string `json:"blacklisted_models"`
		Weight      float64  `json:"weight"`
		Batch       bool     `json:"use_for_batch_api"`
		Enabled     *bool    `json:"enabled"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return err
	}
	*k = key{ID: in.ID, Name: in.Name, Value: in.Value, Models: in.Models, Blacklisted: in.Blacklisted,
		Weight: in.Weight, Batch: in.Batch, Enabled: in.Enabled, Configs: map[string]map[string]*value{}}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for name, c := range all {
		if strings.HasSuffix(name, "_key_config") {
			var fields map[string]*value
			if err := json.Unmarshal(c, &fields); err != nil {
				return err
			}
			k.Configs[name] = fields
		}
	}
	return nil
}

// keep takes over from the stored key what a body had masked.
func (k *key) keep(stored *key) {
	k.Value = *kept(&k.Value, &stored.Value)
	for name, fields := range k.Configs {
		for f, v := range fields {
			fields[f] = kept(v, stored.Configs[name][f])
		}
	}
	k.hash = stored.hash
}

func (s *Server) viewKey(k *key) map[string]any {
	o := map[string]any{
		"id": k.ID, "name": k.Name, "value": s.redacted(&k.Value), "models": k.Models, "blacklisted_models": list(k.Blacklisted),
		"weight": k.Weight, "use_for_batch_api": k.Batch, "status": "success",
	}
	if s.keysInside() {
		o["enabled"] = k.Enabled == nil || *k.Enabled
		o["config_hash"] = k.hash
		o["status"] = "unknown"
	}
	for name, fields := range k.Configs {
		view := map[string]any{}
		for f, v := range fields {
			if f == "api_version" {
				view[f] = s.show(v, v.text())
			} else if v != nil {
				view[f] = s.redacted(v)
			}
		}
		o[name] = view
	}
	return o
}

func list(a []string) []string {
	if a == nil {
		return []string{}
	}
	return a
}

type network struct {
	BaseURL      string            `json:"base_url,omitempty"`
	ExtraHeaders map[string]string `json:"extra_headers,omitempty"`
	Timeout      int               `json:"default_request_timeout_in_seconds"`
	Retries      int               `json:"max_retries"`
	BackoffFirst int               `json:"retry_backoff_initial"`
	BackoffMost  int               `json:"retry_backoff_max"`
	CACert       *value            `json:"-"`
}

type proxy struct {
	Type     string `json:"type"`
	URL      *value `json:"url"`
	Username *value `json:"username"`
	Password *value `json:"password"`
	CACert   *value `json:"ca_cert_pem"`
}

type buffers struct {
	Concurrency int `json:"concurrency"`
	BufferSize  int `json:"buffer_size"`
}

// provider is a provider; the raw messages are what this Bifrost only keeps.
type provider struct {
	Keys    []*key
	Network network
	Proxy   *proxy
	Buffers buffers
	RawBack bool
	Custom  json.RawMessage
	hash    string
}

type providerBody struct {
	Keys    []*key          `json:"keys"`
	Network json.RawMessage `json:"network_config"`
	Proxy   *proxy          `json:"proxy_config"`
	Buffers buffers         `json:"concurrency_and_buffer_size"`
	RawBack bool            `json:"send_back_raw_response"`
	Custom  json.RawMessage `json:"custom_provider_config"`
}

func (b *providerBody) provider() (*provider, error) {
	p := &provider{Keys: b.Keys, Proxy: b.Proxy, Buffers: b.Buffers, RawBack: b.RawBack, Custom: b.Custom}
	if len(b.Network) == 0 || string(b.Network) == "null" {
		return p, nil
	}
	var more struct {
		CACert *value `json:"ca_cert_pem"`
	}
	if err := json.Unmarshal(b.Network, &more); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b.Network, &p.Network); err != nil {
		return nil, err
	}
	p.Network.CACert = more.CACert
	return p, nil
}

type client struct {
	ID, Name    string
	Connection  value
	Headers     map[string]*value
	Tools       []string
	CodeMode    bool
	AutoExecute []string
	SyncMinutes int64
	Timeout     int64
	Sticky      bool
	Disabled    bool
	hash        string
}

type plugin struct {
	Enabled bool           `json:"enabled"`
	Path    *string        `json:"path"`
	Config  map[string]any `json:"config"`
	Version int            `json:"-"`
	Row     int            `json:"-"` // changes with every write
}

type auth struct {
	User            *value `json:"admin_username"`
	Password        *value `json:"admin_password"`
	Enabled         bool   `json:"is_enabled"`
	OpenToInference bool   `json:"disable_auth_on_inference"`
}
