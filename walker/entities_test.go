package walker

import (
	"slices"
	"strings"
	"testing"
)

// alone are the objects whose fields have nothing to do with each other.
var alone = []string{
	"", "client", "client.oauth2_server_config", "audit_logs", "audit_logs.immutability", "framework.pricing", "feature_flags.flags.*",
}

// Every line of the catalogue belongs to an entity, or stands for itself: a new
// line has to say which. The vault_store is cut out.
func TestEveryFieldHasAnEntity(t *testing.T) {
	entries := Catalogue()
	for i := range entries {
		pattern := entries[i].Pattern
		if strings.HasPrefix(pattern, "config_store.vault_store.") {
			continue
		}
		parent := ""
		if at := strings.LastIndexByte(pattern, '.'); at >= 0 {
			parent = pattern[:at]
		}
		path := strings.NewReplacer("[]", "[0]", "**", "x", "*", "x").Replace(pattern)
		own := entries[i].Entity(path) == path
		if own != slices.Contains(alone, parent) {
			t.Errorf("%s: stands for itself: %v; add its object to entities.tsv, or to the list of this test", pattern, own)
		}
	}
}

func TestEntity(t *testing.T) {
	at := func(pattern string) *Entry { return &Entry{Pattern: pattern} }
	for _, one := range []struct{ pattern, path, want string }{
		{"providers.*.keys[].bedrock_key_config.access_key", "providers.bedrock.keys[3].bedrock_key_config.access_key", "providers.bedrock.keys[3]"},
		{"providers.*.keys[].value", `providers["a.b"].Keys[0].value`, `providers["a.b"].Keys[0]`},
		{"providers.*.proxy_config.username", "providers.openai.proxy_config.username", "providers.openai.proxy_config"},
		{"plugins[].config.**", `plugins[1].config.deep["x y"][2]`, "plugins[1]"},
		{"mcp.client_configs[].headers.*", "mcp.client_configs[0].headers.Authorization", "mcp.client_configs[0]"},
		{"auth_config.oidc_providers[].client_id", "auth_config.oidc_providers[1].client_id", "auth_config.oidc_providers[1]"},
		{"auth_config.admin_password", "auth_config.admin_password", "auth_config"},
		{"encryption_key", "encryption_key", "encryption_key"},
		{"providers.*.keys[].value", "config_keys/1/value", "config_keys/1/value"},
	} {
		if got := at(one.pattern).Entity(one.path); got != one.want {
			t.Errorf("%s: %s, want %s", one.path, got, one.want)
		}
	}
	if got := (*Entry)(nil).Entity("a.b"); got != "a.b" {
		t.Errorf("no entry: %s", got)
	}
}

// Every pair stands in the catalogue, side by side.
func TestPairsAreFields(t *testing.T) {
	for _, pair := range Pairs() {
		found := false
		entries := Catalogue()
		for i := range entries {
			parent, is := strings.CutSuffix(entries[i].Pattern, "."+pair.One)
			found = found || is && slices.ContainsFunc(entries, func(e Entry) bool { return e.Pattern == parent+"."+pair.Other })
		}
		if !found {
			t.Errorf("%+v stands nowhere", pair)
		}
	}
}

func TestParseEntities(t *testing.T) {
	for _, bad := range []string{"entity\ta", "entity\t\t-\t-", "entity\ta\tb\t-", "pair\ta\t-\t-", "pair\ta\tb\tc", "other\ta\t-\t-"} {
		if _, err := parseEntities("# a comment\n\n" + bad); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
