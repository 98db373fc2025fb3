package bifrost_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/watch"
	"bifrost-secrets/watch/bifrost"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// canned is a Bifrost that always has the same answers, and takes note of what
// is written to it.
type canned struct {
	version string
	answers map[string]string // by path, to a GET

	mu      sync.Mutex
	written []string // bodies
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
	}
	if r.Method != http.MethodGet {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r.Method == http.MethodPut {
			c.written = append(c.written, string(sent))
		}
		return answer(http.StatusOK, "{}")
	}
	if r.URL.Path == "/health" {
		return answer(http.StatusOK, `{"status":"ok"}`)
	}
	if r.URL.Path == "/api/version" {
		return answer(http.StatusOK, `"v`+c.version+`"`)
	}
	for _, at := range []string{r.URL.RequestURI(), r.URL.Path} {
		if body, ok := c.answers[at]; ok {
			return answer(http.StatusOK, body)
		}
	}
	return answer(http.StatusOK, "<!doctype html>")
}

func (c *canned) client(t testing.TB) *bifrost.Client {
	return client(t, "http://127.0.0.1:1", func(o *bifrost.Options) { o.HTTPClient = &http.Client{Transport: c} })
}

const (
	someKey      = `{"id":"id-1","name":"main","value":{"value":"sk-f************************0001","env_var":"","from_env":false},"models":["*"],"weight":1}`
	someProvider = `{"name":"openai","keys":[` + someKey + `],"network_config":{"extra_headers":{"X-Team":"team-first-0001"}},"concurrency_and_buffer_size":{"concurrency":1,"buffer_size":1}}`
	bareProvider = `{"name":"openai","network_config":{"extra_headers":{"X-Team":"team-first-0001"}},"concurrency_and_buffer_size":{"concurrency":1,"buffer_size":1}}`
	someClients  = `{"clients":[{"config":{"client_id":"id-2","name":"stub","headers":{"Authorization":{"value":"Bear************************0001","env_var":"","from_env":false}},"tools_to_execute":["*"],"tool_sync_interval":600000000000}}]}`
	somePlugin   = `{"id":1,"name":"otel","enabled":true,"config":{"service_name":"bifrost","headers":{"X-Token":"otel-first-0001"}}}`
	newerClients = `{"clients":[{"config":{"client_id":"id-2","name":"stub","headers":{"Authorization":{"value":"Bear************************0001","secret_ref":"","type":"plain_text"}},"tools_to_execute":["*"],"tool_sync_interval":600}}]}`
)

// TestUnknownShapes has answers that are not quite those that are known. Each
// is made of a good one by a replacement, and nothing may be written for it.
func TestUnknownShapes(t *testing.T) {
	for _, c := range []struct {
		target, path, good string
		old, new           string
		says               string
	}{
		{keyPath, "/api/providers/openai", someProvider, `"keys":[`, `"keys":{"a":[`, "no json"},
		{keyPath, "/api/providers/openai", someProvider, `{"value":"sk-f************************0001","env_var":"","from_env":false}`, `12`, "neither a text"},
		{keyPath, "/api/providers/openai", someProvider, `"env_var":"","from_env":false`, `"encrypted":true`, "not known"},
		{keyPath, "/api/providers/openai", someProvider, `"env_var":"","from_env":false`, `"note":""`, "not known"},
		{keyPath, "/api/providers/openai", someProvider, `,"env_var":"","from_env":false`, ``, "neither type nor env_var"},
		{keyPath, "/api/providers/openai", someProvider, `"from_env":false`, `"from_env":"no"`, "no boolean"},
		{keyPath, "/api/providers/openai", someProvider, `"env_var":""`, `"env_var":"env.OPENAI"`, "a reference of its own"},
		{keyPath, "/api/providers/openai", someProvider, `"env_var":"","from_env":false`, `"secret_ref":"x","type":"env"`, "a reference of its own"},
		{keyPath, "/api/providers/openai", someProvider, someKey, someKey + "," + someKey, "more than one key"},
		{keyPath, "/api/providers/openai", someProvider, `"name":"main"`, `"name":"else"`, `no key that is called "main"`},
		{keyPath, "/api/providers/openai", someProvider, `"name":"main"`, `"label":"main"`, "has no name"},
		{keyPath, "/api/providers/openai", someProvider, `"id":"id-1"`, `"id":""`, "a key without an id"},
		{keyPath, "/api/providers/openai", someProvider, `"name":"openai"`, `"name":"open"`, "another name"},
		{keyPath, "/api/providers/openai", someProvider, `"keys":[`, `"keys":["x",`, "something else than objects"},
		{keyPath, "/api/providers/openai", someProvider, `"network_config"`, `"network"`, "no network_config"},
		{keyPath, "/api/providers/openai", someProvider, `"concurrency":1,`, `"concurrency":1,"concurrency":2,`, "two members of one name"},
		{keyPath, "/api/providers/openai", someProvider, `team-first-0001`, `team************************0001`, "masks its extra_headers"},
		{keyPath, "/api/providers/openai", someProvider, `"models"`, `"other":"é12************************0001","models"`, "cannot be written back"},
		{keyPath, "/api/providers/openai", someProvider, someProvider, `<html>`, "no json"},
		{keyPath, "/api/providers/openai", someProvider, someProvider, `[]`, "no object"},
		{keyPath, "/api/providers/openai", someProvider, someProvider, someProvider + "{}", "json"},
		{headerPath, "/api/providers/openai", someProvider, `{"X-Team":"team-first-0001"}`, `"none"`, "no object"},
		{headerPath, "/api/providers/openai", someProvider, `"team-first-0001"`, `["a"]`, "neither a text"},
		{keyPath, "/api/providers/openai/keys", `{"keys":[` + someKey + `]}`, `"id":"id-1"`, `"id":7`, "has no id"},
		{keyPath, "/api/providers/openai/keys", `{"keys":[` + someKey + `]}`, `"weight":1`, `"share":1`, "no models and weight"},
		{keyPath, "/api/providers/openai/keys", `{"keys":[` + someKey + `]}`, someKey, ``, `no key that is called "main"`},
		{mcpPath, "/api/mcp/clients", someClients, `"config":`, `"settings":`, "has no config"},
		{mcpPath, "/api/mcp/clients", someClients, `"clients":`, `"items":`, "no list of clients"},
		{mcpPath, "/api/mcp/clients", someClients, `"client_id":"id-2",`, ``, "no client_id"},
		{mcpPath, "/api/mcp/clients", someClients, `600000000000`, `600000000001`, "an unknown unit"},
		{mcpPath, "/api/mcp/clients", someClients, `600000000000`, `"10m"`, "no number"},
		{mcpPath, "/api/mcp/clients", someClients, `"tool_sync_interval"`, `"tool_execution_timeout"`, "an unknown unit"},
		{mcpPath, "/api/mcp/clients", someClients, `["*"]`, `"*"`, "no list of tools_to_execute"},
		{mcpPath, "/api/mcp/clients", someClients, `"headers":{`, `"headers":[{`, "no json"},
		{pluginPath, "/api/plugins/otel", somePlugin, `"service_name":"bifrost"`, `"api_key":"<redacted>"`, "masks values"},
		{pluginPath, "/api/plugins/otel", somePlugin, `"enabled":true`, `"active":true`, "whether it is enabled"},
		{pluginPath, "/api/plugins/otel", somePlugin, `"config":{`, `"settings":{`, `has no "config"`},
		{pluginPath, "/api/plugins/otel", somePlugin, `"otel-first-0001"`, `5`, "neither a text"},
	} {
		if !strings.Contains(c.good, c.old) {
			t.Fatalf("%s is not in %s", c.old, c.good)
		}
		for _, bad := range []bool{false, true} {
			text := c.good
			if bad {
				text = strings.Replace(c.good, c.old, c.new, 1)
			}
			s := &canned{version: "1.5.0", answers: map[string]string{"/api/providers/openai": bareProvider, c.path: text}}
			u := &bifrosttest.Upstream{URL: "http://127.0.0.1:1"}
			doc := second.render(t, u)
			got := s.client(t).Push(t.Context(), doc, targets(t, doc, c.target))
			switch {
			case !bad && len(s.written) != 1:
				t.Errorf("%s: the good answer is not written: %+v", c.target, got)
			case bad && (got[0].State != watch.RestartRequired || !strings.Contains(got[0].Reason, c.says) || got[0].Hint == ""):
				t.Errorf("%s with %s: %+v, want restart required and %q", c.target, c.new, got[0], c.says)
			case bad && len(s.written) > 0:
				t.Errorf("%s with %s is written", c.target, c.new)
			}
			if strings.Contains(got[0].Reason, "0001") || strings.Contains(got[0].Reason, "0002") {
				t.Errorf("a value in %q", got[0].Reason)
			}
		}
	}
}

// TestNewerShapes has values with a type, which are written with one.
func TestNewerShapes(t *testing.T) {
	u := &bifrosttest.Upstream{URL: "http://127.0.0.1:1"}
	doc := second.render(t, u)
	// The rest of the client, of whatever shape, is neither looked at nor written.
	want := `{"headers":{"Authorization":{"value":"Bearer mcp-second-0002","type":"plain_text"}}}`
	for _, answer := range []string{
		newerClients,
		strings.Replace(newerClients, `"tool_sync_interval":600`, `"tool_sync_interval":600000000001,"tool_execution_timeout":"45s"`, 1),
		strings.Replace(newerClients, `["*"]`, `"*"`, 1),
		strings.Replace(newerClients, `"name":"stub",`, `"name":"stub","connection_string":{"value":"http************************\ufffd/mc","type":"plain_text"},`, 1),
	} {
		s := &canned{version: "2.2.1", answers: map[string]string{"/api/mcp/clients": answer}}
		s.client(t).Push(t.Context(), doc, targets(t, doc, mcpPath))
		if len(s.written) != 1 || s.written[0] != want {
			t.Errorf("%s: written is %q, want %q", answer, s.written, want)
		}
	}
	// Nanoseconds of a version that takes no headers alone, and whose unit is not known.
	for _, version := range []string{"1.5.15", "dev"} {
		s := &canned{version: version, answers: map[string]string{"/api/mcp/clients": strings.Replace(someClients, "00}", "01}", 1)}}
		got := s.client(t).Push(t.Context(), doc, targets(t, doc, mcpPath))
		if got[0].State != watch.RestartRequired || len(s.written) > 0 {
			t.Errorf("%s: %+v, and %d written", version, got[0], len(s.written))
		}
	}
}

// TestNotLive has fields that the API is not for.
func TestNotLive(t *testing.T) {
	doc := parse(t, `{
	  "encryption_key": "canary-key",
	  "providers": {"openai": {"keys": [{"value": "canary-unnamed"}]}},
	  "config_store": {"enabled": true, "type": "postgres", "config": {"password": "canary-postgres"}},
	  "governance": {"virtual_keys": [{"name": "v", "value": "sk-bf-canary"}]},
	  "mcp": {"client_configs": [{"name": "stub", "connection_string": "http://canary"}]}
	}`)
	s := &canned{version: "1.5.0"}
	got := s.client(t).Push(t.Context(), doc, targets(t, doc, "encryption_key", keyPath, "config_store.config.password",
		"governance.virtual_keys[0].value", "mcp.client_configs[0].connection_string"))
	wantStates(t, got, watch.Refused, watch.RestartRequired)
	for _, o := range got {
		if o.Reason == "" || o.Hint == "" {
			t.Errorf("%s without reason or hint: %+v", o.Path, o)
		}
	}
	// Only 1.5 takes another connection_string from its file.
	for version, hint := range map[string]string{"1.4.19": "delete the mcp client", "1.5.0": "restart bifrost", "1.5.16": "restart bifrost", "2.0.0-prerelease3": "delete the mcp client"} {
		s.version = version
		if got := s.client(t).Push(t.Context(), doc, targets(t, doc, "mcp.client_configs[0].connection_string")); !strings.Contains(got[0].Hint, hint) {
			t.Errorf("%s: the hint for a connection_string is %q", version, got[0].Hint)
		}
	}
	if len(s.written) > 0 {
		t.Error("something is written")
	}
}

// FuzzAnswers has a server that answers anything: what is written is what was
// read but for the one value, or nothing is written.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		someProvider, bareProvider, someClients, newerClients, somePlugin, `{"keys":[` + someKey + `]}`, "", "[]", "{}", `{"keys":null}`,
		strings.Replace(someProvider, `"env_var":"","from_env":false`, `"ref":"","type":"plain_text"`, 1),
		strings.Replace(somePlugin, `{"X-Token"`, `{"X-Token":"a","X-Token"`, 1),
		strings.Replace(someProvider, `"weight":1`, `"weight":1.0e0,"":{"":[null,1E400,"\ud83d\ude00"]}`, 1),
	} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(1))
	}
	u := &bifrosttest.Upstream{URL: "http://127.0.0.1:1"}
	doc := second.render(f, u)
	all := targets(f, doc, keyPath, headerPath, mcpPath, pluginPath)
	news := []string{second.key, second.header, second.mcp, second.plugin}
	f.Fuzz(func(t *testing.T, answer []byte, how uint8) {
		for i, target := range all {
			s := &canned{version: "1.4.19", answers: map[string]string{}}
			for _, path := range []string{"/api/providers/openai", "/api/mcp/clients", "/api/plugins/otel"} {
				s.answers[path] = string(answer)
			}
			if how%2 == 1 && i == 0 {
				s.answers["/api/providers/openai"], s.answers["/api/providers/openai/keys"] = bareProvider, string(answer)
			}
			for _, o := range s.client(t).Push(t.Context(), doc, []bifrost.Target{target}) {
				if o.State == watch.Verified {
					if len(s.written) > 0 {
						t.Errorf("%s is verified although the answer never changes", o.Path)
					}
				}
			}
			for _, w := range s.written {
				wantReadButOne(t, answer, []byte(w), news[i])
			}
		}
	})
}

// wantReadButOne looks for a part of read that is written but for one value, and
// for an interval whose unit is turned.
func wantReadButOne(t *testing.T, read, written []byte, value string) {
	t.Helper()
	tree := func(b []byte) (v any) {
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			t.Fatalf("%q is no json", b)
		}
		return v
	}
	w := tree(written)
	var look func(v any) bool
	look = func(v any) bool {
		if n := differences(v, w, value); n == 1 {
			return true
		}
		switch x := v.(type) {
		case map[string]any:
			for _, inner := range x {
				if look(inner) {
					return true
				}
			}
		case []any:
			for _, inner := range x {
				if look(inner) {
					return true
				}
			}
		}
		return false
	}
	if !look(tree(read)) {
		t.Errorf("from %s\nwas written %s", read, written)
	}
}

// differences counts the places where b has the value in place of what a has;
// any other difference counts a hundred.
func differences(a, b any, value string) int {
	if reflect.DeepEqual(a, b) {
		return 0
	}
	if b == value {
		return 1
	}
	if o, ok := b.(map[string]any); ok && len(o) == 2 && o["value"] == value && o["type"] == "plain_text" {
		return 1
	}
	switch y := b.(type) {
	case map[string]any:
		x, ok := a.(map[string]any)
		if !ok {
			return 100
		}
		n := 0
		for name := range x {
			if _, ok := y[name]; !ok {
				return 100
			}
		}
		for name := range y {
			_, had := x[name]
			switch {
			case name == "tool_sync_interval" && had:
			case !had && y[name] != value:
				return 100
			default:
				n += differences(x[name], y[name], value)
			}
		}
		return n
	case []any:
		x, ok := a.([]any)
		if !ok || len(x) != len(y) {
			return 100
		}
		n := 0
		for i := range y {
			n += differences(x[i], y[i], value)
		}
		return n
	}
	return 100
}
