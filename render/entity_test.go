package render

import (
	"fmt"
	"testing"

	"bifrost-secrets/walker"
)

// What belongs together is found whatever the kind of entity, and what does not
// is left apart.
func TestEntities(t *testing.T) {
	for name, one := range map[string]struct{ doc, want string }{
		"a bedrock key": {`{"providers":{"bedrock":{"keys":[{"bedrock_key_config":{"access_key":"vault.u","secret_key":"vault.p","region":"us-east-1"}}]}}}`,
			"[{providers.bedrock.keys[0] [u p] [{u p} {p u}]}]"},
		"an azure key": {`{"providers":{"azure":{"keys":[{"azure_key_config":{"endpoint":"vault.e","tenant_id":"vault.t","client_id":"vault.c","client_secret":"vault.s"}}]}}}`,
			"[{providers.azure.keys[0] [e t c s] [{c s}]}]"},
		"two keys":         {`{"providers":{"openai":{"keys":[{"value":"vault.a"},{"value":"vault.b"}]}}}`, "[]"},
		"fragments of one": {`{"providers":{"bedrock":{"keys":[{"bedrock_key_config":{"access_key":"vault.a#u","secret_key":"vault.a#p"}}]}}}`, "[]"},
		"a proxy":          {`{"providers":{"openai":{"proxy_config":{"username":"vault.u","password":"vault.p"},"keys":[{"value":"vault.k"}]}}}`, "[{providers.openai.proxy_config [u p] [{u p}]}]"},
		"headers":          {`{"mcp":{"client_configs":[{"name":"m","headers":{"X-User":"vault.u","X-Pass":"vault.p"}}]}}`, "[{mcp.client_configs[0] [u p] []}]"},
		"a client":         {`{"mcp":{"client_configs":[{"name":"m","oauth_client_id":"vault.c","oauth_client_secret":"vault.s"}]}}`, "[{mcp.client_configs[0] [c s] [{c s}]}]"},
		"a plugin":         {`{"plugins":[{"name":"mine","config":{"user":"vault.u","deep":{"password":"vault.p"}}}]}`, "[{plugins[0] [u p] []}]"},
		"a store":          {`{"logs_store":{"type":"postgres","config":{"host":"vault.h","user":"vault.u","password":"vault.p"}}}`, "[{logs_store.config [h u p] [{u p}]}]"},
		"the admin":        {`{"auth_config":{"admin_username":"vault.u","admin_password":"vault.p"}}`, "[{auth_config [u p] [{u p}]}]"},
		"in any case":      {`{"governance":{"auth_config":{"Admin_Username":"vault.u","admin_password":"vault.p"}},"encryption_key":"vault.k"}`, "[{governance.auth_config [u p] [{u p}]}]"},
	} {
		d, err := walker.Parse("config.json", []byte(one.doc))
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Mode{Inline, EnvMode} {
			p, err := NewPlan(d, awsStore, Options{Mode: mode, Getenv: none})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.Entities()); got != one.want {
				t.Errorf("%s, %s: %s, want %s", name, mode, got, one.want)
			}
			// Every refresh asks for them.
			if n := testing.AllocsPerRun(3, func() { p.Entities() }); n > 0 {
				t.Errorf("%s, %s: asked again, they take %.0f allocations", name, mode, n)
			}
		}
	}
}

// The rows of a config store are entities too.
func TestEntitiesBeside(t *testing.T) {
	d, err := walker.Parse("config.json", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var beside []Beside
	for _, one := range [][3]string{{"vault.u", "config_keys/1/azure_client_id", "config_keys/1"}, {"vault.p", "config_keys/1/azure_client_secret", "config_keys/1"}, {"vault.o", "config_keys/2/value", "config_keys/2"}} {
		ref, err := walker.ParseReference(one[0])
		if err != nil {
			t.Fatal(err)
		}
		beside = append(beside, Beside{Ref: ref, Entry: &walker.Entry{Pattern: "providers.*.keys[].value"}, Path: one[1], Entity: one[2]})
	}
	p, err := NewPlan(d, awsStore, Options{Mode: EnvMode, Getenv: none, Beside: beside})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(p.Entities()), "[{config_keys/1 [u p] [{u p}]}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
