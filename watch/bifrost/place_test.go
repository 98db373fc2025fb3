package bifrost

import (
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// TestTakings holds the table against the catalogue.
func TestTakings(t *testing.T) {
	all, err := walker.Rows(versionsText, 6, readTaking)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d lines: %v", len(all), err)
	}
	entry := func(pattern string) *walker.Entry {
		for i, e := range walker.Catalogue() {
			if e.Pattern == pattern {
				return &walker.Catalogue()[i]
			}
		}
		t.Fatalf("the catalogue has no %s", pattern)
		return nil
	}
	for _, taking := range all {
		used := slices.ContainsFunc(walker.Catalogue(), func(e walker.Entry) bool {
			return e.Pattern == taking.pattern || taking.prefix && strings.HasPrefix(e.Pattern, taking.pattern)
		})
		if !used {
			t.Errorf("no field of the catalogue is %s", taking.pattern)
		}
		if (!taking.live || taking.restart != always) && (taking.reason == "" || taking.hint == "") {
			t.Errorf("%s does not say why, or what to do", taking.pattern)
		}
	}
	for _, c := range []struct {
		pattern, version string
		live, restart    bool
	}{
		{"mcp.client_configs[].headers.*", "v1.4.19", true, false},
		{"mcp.client_configs[].headers.*", "v1.5.0-prerelease7", true, true},
		{"mcp.client_configs[].headers.*", "", true, true},
		{"mcp.client_configs[].connection_string", "v2.2.1", false, false},
		{"mcp.client_configs[].oauth_config.client_secret", "v1.5.16", false, false},
		{"webhooks[].secret", "v2.0.0-prerelease3", false, false},
		{"webhooks[].headers.*", "v2.0.0-prerelease3", true, true},
		{"plugins[].config.**", "v2.0.0-prerelease3", true, false}, // without a version
		{"plugins[].config.**", "v2.1.0", true, true},
		{"plugins[].config.**", "", true, false}, // it may be one that does not
		{"providers.*.keys[].value", "v1.4.19", true, true},
		{"governance.virtual_keys[].value", "v1.5.0", false, true},
		{"governance.virtual_keys[].value", "v2.1.0", false, true},
		{"encryption_key", "v1.5.0", false, false},
	} {
		takes, _, _ := start{parseVersion(c.version), nil}.takes(entry(c.pattern), "", false)
		if live := takingOf(entry(c.pattern), parseVersion(c.version)).live; live != c.live || takes != c.restart {
			t.Errorf("%s of %s: live %t, restart %t", c.pattern, c.version, live, takes)
		}
	}
	doc, err := walker.Parse("x", []byte(`{"plugins": [{"name": "a", "version": 2, "config": {}}, {"name": "b", "config": {}}], "source_of_truth": "config.json"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pattern, version, path string
		env, takes             bool
	}{
		{"plugins[].config.**", "v1.5.16", "plugins[0].config.a", false, true},
		{"plugins[].config.**", "v1.5.16", "plugins[1].config.a", false, false},
		{"plugins[].config.**", "v2.0.0", "plugins[1].config.a", false, true}, // by the source of truth
		{"plugins[].config.**", "v1.5.16", "plugins[1].config.a", true, true},
		{"webhooks[].secret", "v2.0.0", "webhooks[0].secret", true, true},
		{"mcp.client_configs[].oauth_config.client_secret", "v2.0.0", "mcp.client_configs[0].oauth_config.client_secret", true, true},
		{"mcp.client_configs[].connection_string", "v2.0.0", "mcp.client_configs[0].connection_string", true, true},
		{"mcp.client_configs[].headers.*", "v1.4.19", "mcp.client_configs[0].headers.a", true, true},
		{"governance.virtual_keys[].value", "v1.5.16", "governance.virtual_keys[0].value", false, true},
		{"governance.virtual_keys[].value", "v1.5.16", "governance.virtual_keys[0].value", true, false},
	} {
		takes, reason, hint := start{parseVersion(c.version), doc}.takes(entry(c.pattern), c.path, c.env)
		if takes != c.takes || !takes && (reason == "" || hint == "") {
			t.Errorf("%s of %s, by the environment %t: %t %q %q", c.path, c.version, c.env, takes, reason, hint)
		}
	}
	for version, unsure := range map[string]bool{"v2.0.0-prerelease3": false, "v2.1.0": true, "": true} {
		takes, reason, hint := start{parseVersion(version), doc}.takes(entry("governance.virtual_keys[].value"), "governance.virtual_keys[0].value", true)
		if !takes || (reason != "") != unsure || (hint != "") != unsure {
			t.Errorf("a virtual key of %s: %t %q %q", version, takes, reason, hint)
		}
	}
	for _, bad := range []string{"a\t-\tyes\tyes\t-", "a\tx\tyes\tyes\t-\t-", "a\t-\tmaybe\tyes\t-\t-"} {
		if _, err := walker.Rows(bad, 6, readTaking); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestEveryLiveField has a place for each field that the catalogue calls live,
// or a line in the table that says it is none.
func TestEveryLiveField(t *testing.T) {
	for i := range walker.Catalogue() {
		e := &walker.Catalogue()[i]
		if e.Change != walker.Live || !takingOf(e, release{}).live {
			continue
		}
		path := strings.NewReplacer("[]", "[0]", ".**", ".some.where[0]", ".*", ".some").Replace(e.Pattern)
		elements := map[string]element{"providers.some.keys[0]": {name: "k"}, "mcp.client_configs[0]": {name: "m"}, "plugins[0]": {name: "p"}, "webhooks[0]": {name: "w"}}
		if p, f := locate(0, Target{Path: path, Entry: e}, release{}, elements); f != nil {
			t.Errorf("%s has no place: %s", path, f.Reason)
		} else if len(p.steps) == 0 {
			t.Errorf("%s has no steps", path)
		}
	}
}

func TestReleases(t *testing.T) {
	if len(Releases()) < 4 {
		t.Errorf("%d releases", len(Releases()))
	}
	for version, want := range map[string]bool{"v1.4.19": false, "v2.0.0-prerelease3": false, "v2.0.0": false, "v2.0.1": true, "v2.5.1": true, "dev": false, "": false} {
		if is, than := Newer(version); is != want || than == "" {
			t.Errorf("%s is newer: %t than %s", version, is, than)
		}
	}
	for _, bad := range []string{"1.4\t1.4.19\tstart", "1.4\tx\tstart\tkey"} {
		if _, err := walker.Rows(bad, 4, readProven); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if !slices.IsSortedFunc(Releases(), func(a, b Proven) int { return parseVersion(a.Version).compare(parseVersion(b.Version)) }) {
		t.Error("they are not in order")
	}
}
