package lint

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// TestVersions has what is true for some versions of Bifrost alone: without one,
// for the line of 1.4, for that of 1.5.0, for 1.5.16 and for later lines.
func TestVersions(t *testing.T) {
	const (
		key    = `{"source_of_truth": "split", "encryption_key": "env.E", "providers": {"openai": {"keys": [{"name": "k", "value": VALUE}]}}}`
		plugin = `{"encryption_key": "env.E", TRUTH "plugins": [{"name": "otel", "config": {"headers": {"a": "vault.a/b"}}}]}`
	)
	with := func(value string) string { return strings.Replace(key, "VALUE", value, 1) }
	truth := func(member string) string { return strings.Replace(plugin, "TRUTH", member, 1) }
	const all, four, five0, five16, two0, two2 = "", "1.4", "1.5.0-prerelease7", "v1.5.16", "2.0", "2.2.1"
	for name, test := range map[string]struct {
		rule, text string
		want       map[string]Severity
	}{
		"a typed object":                  {"object-form", with(`{"ref":"env.A","type":"env"}`), map[string]Severity{all: Note, four: Error, five0: Error, five16: Error}},
		"a typed object without its env.": {"object-form", with(`{"ref":"A","type":"env"}`), map[string]Severity{all: Error, four: Error, five0: Error, five16: Error, two0: Error, two2: Error}},
		"a ref alone":                     {"object-form", with(`{"ref":"env.A"}`), map[string]Severity{all: Warning, four: Error, five0: Error, five16: Error, two0: Warning, two2: Warning}},
		"a value alone":                   {"object-form", with(`{"value":"sk-a"}`), map[string]Severity{all: Warning, four: Warning, five0: Warning, five16: Warning}},
		"the old object":                  {"object-form", with(`{"value":"env.A","env_var":"env.A"}`), nil},
		"an escape where all misread it":  {"json-escape", with(`"vault.a\/b"`), map[string]Severity{all: Error, four: Error, five0: Error, five16: Error, two0: Error, two2: Error}},
		"an escape where some do": {"json-escape", `{"providers": {"openai": {"proxy_config": {"password": "vault.a\/b"}}}}`,
			map[string]Severity{all: Warning, five0: Error, five16: Error, two0: Error, two2: Error}},
		"env. from 1.5 on":                   {"reference-not-resolved", `{"providers": {"openai": {"proxy_config": {"password": "env.A"}}}}`, map[string]Severity{all: Note, four: Note}},
		"env. in a field that began with it": {"reference-not-resolved", `{"mcp": {"client_configs": [{"oauth_config": {"client_secret": "env.A"}}]}}`, map[string]Severity{}},
		"env. after 2.0": {"reference-not-resolved", `{"providers": {"openai": {"network_config": {"base_url": "env.A"}}}}`,
			map[string]Severity{all: Note, four: Note, five0: Note, five16: Note, two0: Note}},
		"env. in none": {"reference-not-resolved", `{"providers": {"openai": {"network_config": {"extra_headers": {"a": "env.A"}}}}}`,
			map[string]Severity{all: Note, four: Note, five0: Note, five16: Note, two0: Note, two2: Note}},
		"a plugin":                {"plugin-version", truth(""), map[string]Severity{all: Warning, four: Warning, five0: Warning, five16: Warning, two0: Warning}},
		"a plugin of a truth":     {"plugin-version", truth(`"source_of_truth": "config.json",`), map[string]Severity{four: Warning, five0: Warning}},
		"a plugin of a split":     {"plugin-version", truth(`"source_of_truth": "split",`), map[string]Severity{all: Warning, four: Warning, five0: Warning, five16: Warning, two0: Warning}},
		"no source of truth":      {"source-of-truth", truth(""), map[string]Severity{all: Note, five16: Note, two0: Note, two2: Note}},
		"a truth":                 {"source-of-truth", truth(`"source_of_truth": "config.json",`), map[string]Severity{four: Warning, five0: Warning}},
		"a split":                 {"source-of-truth", truth(`"source_of_truth": "split",`), nil},
		"an empty source":         {"source-of-truth", truth(`"source_of_truth": "",`), nil},
		"a truth of another kind": {"source-of-truth", truth(`"source_of_truth": "config_store",`), map[string]Severity{all: Warning, four: Warning, five0: Warning, five16: Warning, two0: Warning, two2: Warning}},
		"a password for libpq": {"postgres-password", `{"config_store": {"type": "postgres", "config": {"password": "two words"}}}`,
			map[string]Severity{all: Warning, four: Warning, five0: Warning}},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := walker.Parse("config.json", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]Severity{}
			for _, text := range []string{all, four, five0, five16, two0, two2} {
				var opts Options
				if text != "" {
					if opts.Bifrost, err = ParseVersions(text); err != nil {
						t.Fatal(err)
					}
				}
				for _, f := range Check(doc, opts) {
					if f.Rule == test.rule {
						got[text] = max(got[text], f.Severity)
					}
				}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("%s is found with %v, want %v", test.rule, got, test.want)
			}
		})
	}
}

func TestParseVersions(t *testing.T) {
	for text, want := range map[string][]bool{ // below 1.5.0, 1.5.16 and 2.0.0; from them
		"1.4.19": {true, true, true, false, false, false}, "1.5": {false, true, true, true, true, false},
		"1.5.16": {false, false, true, true, true, false}, "v2.0.0-prerelease3": {false, false, false, true, true, true},
		"2": {false, false, false, true, true, true}, "1": {true, true, true, true, true, false}, "10.0": {false, false, false, true, true, true},
	} {
		v, err := ParseVersions(text)
		got := []bool{v.below(1, 5, 0), v.below(1, 5, 16), v.below(2, 0, 0), v.from(1, 5, 0), v.from(1, 5, 16), v.from(2, 0, 0)}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "v", "two", "2.x", "2.", "-1", "1.2.3.4", "2.0 ", "+2"} {
		if _, err := ParseVersions(text); err == nil {
			t.Errorf("%q is taken for a version", text)
		}
	}
}
