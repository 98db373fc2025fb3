package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// key makes a document with one provider key, which has a name.
func key(value string) string {
	return `{"providers":{"openai":{"keys":[{"name":"k","value":` + value + `}]}}}`
}

// storeOf makes a document with a vault_store block.
func storeOf(block string) string { return `{"config_store":{"vault_store":` + block + `}}` }

const at = " providers.openai.keys[0].value"

// Keys that look like those of an issuer are put together here, so that no
// scanner takes this file for one with secrets in it.
var (
	openAI    = "sk-" + strings.Repeat("aB3d", 8)
	anthropic = "sk-ant-" + strings.Repeat("aB3d", 8)
	awsKey    = "AKIA" + strings.Repeat("ABC7", 4)
	pem       = "-----BEGIN " + "PRIVATE KEY-----\\nabcdefgh\\n-----END " + "PRIVATE KEY-----"
)

// cases are documents for each rule with what the rule finds in them: a line
// of severity and path for each finding, none where the document is right.
var cases = map[string][]struct{ doc, want string }{
	"reference-syntax": {
		{key(`"ENV.X"`), "error" + at}, {key(`"Vault.a#b"`), "error" + at}, {key(`" env.X"`), "error" + at}, {key(`"${X}"`), "error" + at},
		{key(`"$OPENAI"`), "error" + at}, {key(`"{{ .X }}"`), "error" + at}, {key(`"vault:a"`), "error" + at}, {key(`"vault/a"`), "error" + at},
		{key(`"ref+awssecrets://a"`), "error" + at}, {key(`"arn:aws:secretsmanager:eu-west-1:123456789012:secret:a"`), "error" + at},
		{key(`"Bearer env.X"`), "error" + at}, {key(`"Bearer vault.x"`), "error" + at}, {key(`"vault."`), "error" + at}, {key(`"vault.a#"`), "error" + at}, {key(`"env."`), "error" + at},
		{key(`"env.X"`), ""}, {key(`"vault.a#b"`), ""}, {key(`"plain"`), ""}, {`{"plugins":[{"config":{"prompt":"{{name}} costs $5"}}]}`, ""},
	},
	"plaintext-secret": {
		{key(`"` + openAI + `"`), "error" + at}, {key(`"` + anthropic + `"`), "error" + at}, {key(`"hunter2hunter3"`), "warning" + at}, {key(`"your-key-here"`), "note" + at},
		{key(`{"value":"` + openAI + `","env_var":""}`), "error" + at}, {key(`"env.X"`), ""}, {key(`"vault.a"`), ""}, {key(`""`), ""}, {key(`null`), ""}, {key(`"ENV.X"`), ""},
		{`{"auth_config":{"admin_password":"$2a$10$` + strings.Repeat("a", 53) + `","admin_username":"admin"}}`, "note auth_config.admin_password"},
		{`{"providers":{"o":{"network_config":{"extra_headers":{"X-Team":"platform","Authorization":"Bearer 77ab91cdefgh"},"base_url":"https://u:77ab91cdefgh@x.io"}}}}`,
			"warning providers.o.network_config.extra_headers.Authorization\nwarning providers.o.network_config.base_url"},
		{`{"mcp":{"client_configs":[{"stdio_config":{"command":"npx","args":["--api-key=` + openAI + `","-y"],"envs":["HOME","TOKEN=77ab91cdefgh"]}}]}}`,
			"error mcp.client_configs[0].stdio_config.args[0]\nwarning mcp.client_configs[0].stdio_config.envs[1]"},
		{`{"plugins":[{"config":{"a":"` + awsKey + `","b":"` + pem + `","c":"https://example.com:8443/x"}}]}`, "error plugins[0].config.a\nerror plugins[0].config.b"},
	},
	"masked-value": {
		{key(`"sk-a************************0001"`), "error" + at}, {key(`"<REDACTED>"`), "error" + at}, {key(`"****"`), "error" + at}, {key(`"a****b"`), ""},
		{`{"auth_config":{"admin_username":"****"}}`, ""},
	},
	"null-secret": {{key(`null`), "error" + at}, {`{"vector_store":{"type":"qdrant","config":{"api_key":null}}}`, "error vector_store.config.api_key"}, {`{"encryption_key":null}`, ""}, {key(`""`), ""}},
	"json-escape": {{key(`"a\/b"`), "error" + at}, {key(`"\ud83d\ude00"`), "error" + at}, {key(`"a\u0041\n\"\\"`), ""}, {`{"x":"\/"}`, ""}},
	"object-form": {
		{key(`{"value":"env.X"}`), "warning" + at}, {key(`{"value":"x"}`), "warning" + at}, {key(`{"ref":"vault.a","type":"vault"}`), "warning" + at}, {key(`{"value":"env.X","type":"env"}`), "error" + at},
		{key(`{"type":"service_account"}`), "warning" + at}, {key(`{"value":"env.X","env_var":"env.X"}`), ""}, {key(`{"value":123}`), ""},
	},
	"duplicate-key": {
		{`{"a":1,"a":2}`, "warning a"}, {`{"x":[{"b":{},"b":{}}]}`, "warning b"}, {`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}`, ""}, {`{"a":1,"A":2}`, ""},
	},
	"reference-not-resolved": {
		{`{"plugins":[{"name":"mine","config":{"a":"env.X"}}]}`, "note plugins[0].config.a"}, {`{"providers":{"o":{"proxy_config":{"password":"env.X"}}}}`, "note providers.o.proxy_config.password"},
		{key(`"env.X"`), ""}, {key(`"vault.x"`), ""},
	},
	"unknown-place":        {{`{"a":"vault.x"}`, "warning a"}, {`{"provider":{"o":{"value":"env.X"}}}`, "warning provider.o.value"}, {key(`"env.X"`), ""}, {`{"a":"vaults.x"}`, ""}},
	"circular-vault-store": {{storeOf(`{"type":"aws-secrets-manager","aws":{"region":"vault.x"}}`), "error config_store.vault_store.aws.region"}, {storeOf(`{"other":"vault.x"}`), "error config_store.vault_store.other"}, {storeOf(`{"aws":{"region":"env.X"}}`), ""}, {key(`"vault.x"`), ""}},
	"vault-store": {
		{storeOf(`{"enabled":true,"type":"s3"}`), "error config_store.vault_store.type"}, {storeOf(`{"enabled":true}`), "error config_store.vault_store.type"},
		{storeOf(`{"type":"file","file":{"path":"x"},"color":1}`), "warning config_store.vault_store.color"}, {storeOf(`{"type":"file","file":{"path":"x","colour":1}}`), "warning config_store.vault_store.file.colour"},
		{storeOf(`{"type":"file"}`), "error config_store.vault_store.file"}, {storeOf(`{"type":"file","access_mode":"rw","file":{"path":"x"}}`), "error config_store.vault_store.access_mode"},
		{storeOf(`{"type":"aws-secrets-manager","aws":{"region":"eu-west-1","access_key_id":"env.A"}}`), "error config_store.vault_store.aws.access_key_id"},
		{storeOf(`{"type":"hashicorp-vault","hashicorp":{"token":"hunter2hunter3"}}`), "error config_store.vault_store.hashicorp.token"},
		{storeOf(`{"type":"aws-secrets-manager"}`), "note config_store.vault_store.aws"}, {storeOf(`{"enabled":true,"type":"aws-secrets-manager","aws":{"region":"eu-west-1"}}`), ""},
		{storeOf(`{"type":"file","file":{"path":"x","identity":"/etc/key.txt"}}`), ""},
		{`{"encryption_key":"vault.a","config_store":{"vault_store":{"type":"file","file":{"path":"x"}}}}`, "error config_store.vault_store"},
	},
	"secret-name": {
		{`{"encryption_key":"vault.a b","config_store":{"vault_store":{"type":"aws-secrets-manager"}}}`, "error encryption_key"}, {`{"encryption_key":"vault.arn:aws:s3:::x","config_store":{"vault_store":{"type":"aws-secrets-manager"}}}`, "error encryption_key"},
		{`{"encryption_key":"vault.a/b_c+d=e.f@g-h","config_store":{"vault_store":{"type":"aws-secrets-manager"}}}`, ""}, {key(`"vault.a b"`), ""},
	},
	"fragment-mixed": {
		{`{"encryption_key":"vault.a","auth_config":{"admin_password":"vault.a#x"}}`, "warning encryption_key"}, {`{"encryption_key":"vault.a#x","auth_config":{"admin_password":"vault.a"}}`, "warning auth_config.admin_password"},
		{`{"encryption_key":"vault.a#x","auth_config":{"admin_password":"vault.a#y"}}`, ""}, {`{"encryption_key":"vault.a","auth_config":{"admin_password":"vault.a"}}`, ""},
	},
	"prefix":             {{key(`"vault.prod/x"`), "warning" + at}, {key(`"vault.bifros/x#y"`), "warning" + at}, {key(`"vault.bifrost/x"`), ""}, {key(`"env.X"`), ""}},
	"virtual-key-prefix": {{`{"governance":{"virtual_keys":[{"value":"vk-x"}]}}`, "error governance.virtual_keys[0].value"}, {`{"governance":{"virtual_keys":[{},{"value":"SK-BF-x"}]}}`, "error governance.virtual_keys[1].value"}, {`{"governance":{"virtual_keys":[{"value":"sk-bf-x"},{"value":"vault.x"}]}}`, ""}, {key(`"vk-x"`), ""}},
	"plugin-version": {
		{`{"plugins":[{"name":"otel","config":{"headers":{"a":"vault.x"}}}]}`, "warning plugins[0]"}, {`{"plugins":[{},{"name":"mine","version":1,"config":{"a":"vault.x"}}]}`, "warning plugins[1]"},
		{`{"plugins":[{"name":"otel","version":2,"config":{"headers":{"a":"vault.x"}}}]}`, ""}, {`{"plugins":[{"name":"mine","config":{"a":"b"}}]}`, ""},
	},
	"key-name": {
		{`{"providers":{"a":{"keys":[{"value":"env.A"}]}}}`, "warning providers.a.keys[0]"}, {`{"providers":{"a":{"keys":[{"name":"x"}]},"b":{"keys":[{"name":"x"}]}}}`, "warning providers.b.keys[0]"},
		{`{"providers":{"a":{"keys":[{"name":"x"},{"name":"y"}]}}}`, ""}, {`{"providers":{}}`, ""},
	},
	"encryption-key": {
		{key(`"vault.a"`), "note "}, {key(`"hunter2hunter3"`), "note "}, {`{"encryption_key":"env.K","auth_config":{"admin_password":"vault.a"}}`, ""}, {key(`"env.X"`), ""},
		{`{"config_store":{"enabled":false},"providers":{"o":{"keys":[{"value":"vault.a"}]}}}`, ""},
	},
	"source-of-truth": {{key(`"vault.a"`), "note "}, {`{"encryption_key":"vault.a"}`, "note "}, {`{"source_of_truth":"config.json","encryption_key":"vault.a"}`, ""}, {key(`"env.X"`), ""}},
	"postgres-password": {
		{`{"config_store":{"type":"postgres","config":{"password":"it's mine"}}}`, "warning config_store.config.password"}, {`{"logs_store":{"type":"postgres","config":{"password":"a\\b"}}}`, "warning logs_store.config.password"},
		{`{"logs_store":{"type":"postgres","config":{"password":"ab-c"}}}`, ""}, {`{"logs_store":{"type":"clickhouse","config":{"password":"a b"}}}`, ""},
	},
	"stdio-environment": {
		{`{"mcp":{"client_configs":[{"stdio_config":{"command":"x"}}]}}`, "warning mcp.client_configs[0].stdio_config"}, {`{"mcp":{"client_configs":[{},{"stdio_config":{}}]}}`, "warning mcp.client_configs[1].stdio_config"},
		{`{"mcp":{"client_configs":[{"connection_string":"x"}]}}`, ""}, {`{}`, ""},
	},
	"unscanned-store": {
		{`{"config_store":{"enabled":true,"type":"sqlite"}}`, "note config_store.type"}, {`{"config_store":{"type":"sqlite"}}`, "note config_store.type"},
		{`{"config_store":{"type":"postgres"}}`, ""}, {`{"config_store":{"enabled":false,"type":"sqlite"}}`, ""},
	},
}

// optionsFor gives the options under which a rule has something to say.
func optionsFor(t *testing.T, rule string) Options {
	t.Helper()
	s, err := ParseSettings([]byte(`{"prefix":"bifrost/"}`))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Settings: s, Env: rule == "stdio-environment"}
}

func TestRules(t *testing.T) {
	for _, rule := range Rules() {
		bad, good := 0, 0
		for _, c := range cases[rule.ID] {
			doc, err := walker.Parse("config.json", []byte(c.doc))
			if err != nil {
				t.Fatalf("%s: %v", c.doc, err)
			}
			var got []string
			for _, f := range Check(doc, optionsFor(t, rule.ID)) {
				if f.Rule == rule.ID {
					got = append(got, fmt.Sprintf("%s %s", f.Severity, f.Path))
				}
				for _, secret := range []string{openAI, anthropic, awsKey, "hunter2", "77ab91cdefgh", "it's mine"} {
					if strings.Contains(f.Message+f.Hint+f.Path, secret) {
						t.Errorf("%s: the value got out: %s", f.Rule, f.Message)
					}
				}
			}
			slices.Sort(got)
			want := strings.Split(c.want, "\n")
			slices.Sort(want)
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s in %s:\ngot  %q\nwant %q", rule.ID, c.doc, got, want)
			}
			if c.want == "" {
				good++
			} else {
				bad++
			}
		}
		if bad < 2 || good < 2 {
			t.Errorf("%s has %d failing and %d passing cases; two of each are the least", rule.ID, bad, good)
		}
	}
}

// A repair leaves valid JSON in which its rule finds nothing more at that place.
func TestFixes(t *testing.T) {
	for id, all := range cases {
		for _, c := range all {
			doc, err := walker.Parse("config.json", []byte(c.doc))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range Check(doc, optionsFor(t, id)) {
				if f.Fix == nil {
					continue
				}
				text := c.doc[:f.Fix.Start] + f.Fix.Text + c.doc[f.Fix.End:]
				fixed, err := walker.Parse("config.json", []byte(text))
				if err != nil {
					t.Errorf("%s: the repair of %s is no JSON: %s", f.Rule, c.doc, text)
					continue
				}
				for _, again := range Check(fixed, optionsFor(t, id)) {
					if again.Rule == f.Rule && again.Path == f.Path {
						t.Errorf("%s: still there after the repair: %s", f.Rule, text)
					}
				}
			}
		}
	}
}

func TestSettings(t *testing.T) {
	doc, err := walker.Parse("config.json", []byte(`{"plugins":[{"name":"mine","version":2,"config":{"pass":"hunter2hunter3","deep":[{"key":"hunter2hunter3"}]}}],"encryption_key":"hunter2hunter3","a":"env.X"}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{}`: "plaintext-secret warning encryption_key\nsource: unknown-place warning a",
		`{"rules":{"unknown-place":"off","plaintext-secret":"error"}}`:                                                                                           "plaintext-secret error encryption_key",
		`{"ignore":[{"path":"encryption*"},{"rule":"unknown-place","path":"a"}]}`:                                                                                "",
		`{"ignore":[{"rule":"masked-value","path":"*"},{"path":"*_key"}]}`:                                                                                       "unknown-place warning a",
		`{"own_fields":[{"plugin":"mine","path":"pass","kind":"secret"},{"plugin":"mine","path":"deep[].key","kind":"secret"}],"rules":{"unknown-place":"off"}}`: "plaintext-secret warning encryption_key\nplaintext-secret warning plugins[0].config.deep[0].key\nplaintext-secret warning plugins[0].config.pass",
	} {
		s, err := ParseSettings([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range Check(doc, Options{Settings: s}) {
			if f.Severity > Note {
				got = append(got, fmt.Sprintf("%s %s %s", f.Rule, f.Severity, f.Path))
			}
		}
		slices.Sort(got)
		if g, w := strings.Join(got, "\n"), strings.ReplaceAll(want, "source: ", ""); g != w {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", text, g, w)
		}
	}
	for _, text := range []string{`{`, `[]`, `{"x":1}`, `{"rules":{"nope":"off"}}`, `{"rules":{"prefix":"loud"}}`, `{"ignore":[{"rule":"prefix"}]}`, `{"ignore":[{"rule":"nope","path":"a"}]}`, `{"own_fields":[{"plugin":"x"}]}`} {
		if _, err := ParseSettings([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
