package embedded_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/lint/embedded"
)

// key is found wherever it stands: a finding is at the place of its quote, or of
// its first character where it has none.
const key = "sk-proj-CANARY0123456789abcdefghijABCDEFGHIJ"

func TestPlaces(t *testing.T) {
	config := `{"providers": {"openai": {"keys": [{"name": "a", "value": "` + key + `"}]}}}`
	for _, test := range []struct {
		name, file, text string
		want             string // line:column of each finding about plain text, in order
	}{
		{"comments", "a.jsonc", "// é\n{ /* é */ \"providers\": {\"openai\": {\"keys\": [\n  /* ééé */ {\"name\": \"a\", \"value\": \"" + key + "\",},\n]}}}\n", "3:36"},
		{"comments with a byte order mark", "a.jsonc", "\xef\xbb\xbf{\n  \"providers\": {\"openai\": {\"keys\": [{\"name\": \"// no\", \"value\": \"" + key + "\"}]}}} // the end", "2:64"},
		{"a comment without an end", "a.jsonc", "/* é */ {\"providers\": {\"openai\": {\"keys\": [{\"value\": \"" + key + "\"}]}}} /*", "1:54"},
		{"secrets in comments", "a.jsonc", "{ // old: " + key + " (é)\n  /* the\n     password: hunter2hunter3 */ \"providers\": {}, // " + key + "\n} // no secret: your-key, https://host/path", "1:11 3:16 3:54"},
		{"a ConfigMap", "a.yaml", "kind: ConfigMap\ndata:\n  config.json: |\n    {\n      \"providers\": {\"openai\": {\"keys\": [{\"value\": \"" + key + "\"}]}}\n    }\n", "5:51"},
		{"a block that begins with an empty line and has an indicator", "a.yaml", "data:\n  config.json: |2-\n\n      {\"providers\":\n       {\"openai\": {\"keys\": [{\"value\": \"" + key + "\"}]}}}", "5:39"},
		{"CRLF", "a.yaml", "data:\r\n  config.json: |\r\n    {\r\n    \"providers\": {\"openai\": {\"keys\": [{\"value\": \"" + key + "\"}]}}}\r\n", "4:49"},
		{"a quoted text", "a.yaml", "data:\n  config.json: '" + config + "'\n", "2:16"},
		{"a folded text", "a.yaml", "data:\n  config.json: >\n    " + config + "\n", "2:16"},
		{"a Secret", "a.yml", "kind: Secret\ndata:\n  config.json: " + base64.StdEncoding.EncodeToString([]byte(config)) + "\n", "3:16"},
		{"the second document", "a.yaml", "a: 1\n---\nconfigs:\n  bifrost:\n    content: |\n      " + config + "\n", "6:65"},
		{"values of the chart", "values.yaml", "bifrost:\n  encryptionKey: " + key + "\n  providers:\n    openai:\n      keys:\n        - name: a\n          value: \"" + key + "\"\n", "2:18 7:18"},
		{"values in camelCase below a chart of charts", "values.yaml", "gateway:\n  bifrost:\n    mcp:\n      clientConfigs:\n        - name: x\n          headers: {Authorization: 'Bearer " + key + "'}\n", "6:36"},
		{"the chart's stores", "values.yaml", "bifrost:\n  client: {dropExcessRequests: true}\nstorage:\n  configStore:\n    vaultStore:\n      type: hashicorp-vault\n      enabled: true\n      hashicorp: {address: https://vault.example.com, token: hvs.CAESIJ8xQ2mLp7TzRw4Xk9vB3nD5fG1hJ6kL0pQ8rT2uY7wZ}\n", "8:62"},
		{"an alias and a merge", "values.yaml", "x: &key " + key + "\nbase: &base {value: " + key + "}\nbifrost:\n  providers:\n    openai:\n      keys:\n      - {name: a, value: *key}\n      - {name: b, <<: *base}\n", "1:4 2:21"},
		{"the chart's environment", "values.yaml", "bifrost: {encryptionKey: env.K}\nenv:\n  - name: OPENAI_API_KEY\n    value: " + key + "\n  - name: DB_PASSWORD\n    value: hunter2hunter3\n  - name: LEVEL\n    value: verbose-level\n  - {name: A_TOKEN, valueFrom: {secretKeyRef: {name: team-token-77ab91cd, key: a}}}\nextraEnv:\n  PGPASSWORD: 'hunter2hunter3'\n  clientSecret: env.OTHER\nenvFrom:\n  - secretRef: {name: " + key + "}\n", "4:12 6:12 11:15"},
		{"names of Kubernetes' secrets", "values.yaml", "bifrost:\n  encryptionKeySecret: {name: " + key + ", key: k}\n  authConfig: {existingSecret: " + key + ", passwordKey: password}\n  providers: {openai: {keys: []}}\n", ""},
		{"guardrails of the chart alone", "values.yaml", "bifrost:\n  guardrails:\n    providers:\n      - config: {api_key: " + key + "}\n", "4:27"},
		{"a plugin of the chart", "values.yaml", "x: &x {config: {api_key: '" + key + "'}}\nbifrost:\n  plugins:\n    otel:\n      config:\n        headers: {x: " + key + "}\n    maxim: *x\n    custom:\n    - {name: own, config: {a: [" + key + "]}}\n", "6:22 1:26 9:32"},
		{"the schema of the chart", "values.schema.json", `{"properties": {"bifrost": {"type": "object", "properties": {"providers": {"default": {"a": "` + key + `"}}}}, "storage": {"type": "object"}}}`, ""},
		{"a template that was rendered for another program", "a.yaml", "bifrost: yes\ndata: {config.json: '{}'}", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var configs []embedded.Config
			var err error
			if embedded.KindOf(test.file) == embedded.JSONC {
				configs = make([]embedded.Config, 1)
				configs[0], err = embedded.Commented(test.file, []byte(test.text))
			} else {
				configs, err = embedded.InYAML(test.file, []byte(test.text))
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range configs {
				for _, f := range lint.Check(c.Document, lint.Options{Part: c.Part, Comments: c.Comments}) {
					if strings.Contains(f.Message, "in plain text (") {
						at := c.Document.Position(f.Span.Start)
						got = append(got, fmt.Sprintf("%d:%d", at.Line, at.Column))
					}
				}
			}
			if found := strings.Join(got, " "); found != test.want {
				t.Errorf("found at %q, want %q", found, test.want)
			}
		})
	}
}

// What the chart has in a form of its own is known as the fields that it becomes.
func TestFieldsOfTheChart(t *testing.T) {
	const values = `
storage:
  configStore:
    vaultStore: {enabled: true, type: hashicorp-vault, accessMode: read_only, hashicorp: {address: https://vault.example.com, token: env.VAULT_TOKEN}}
  logsStore:
    objectStorage: {type: gcs, projectId: env.PROJECT}
bifrost:
  plugins:
    otel: {enabled: true, version: 2, config: {collector_url: env.OTEL, headers: {x-team: env.TEAM}}}
    semanticCache: {enabled: true, version: 2, config: {keys: [{value: env.CACHE}, env.OTHER]}}
    datadog: {enabled: true, version: 2, config: {agent_host: env.HOST_IP}}
    maxim: {enabled: true, version: 1, config: {api_key: vault.maxim}}
    custom:
      - {name: own, enabled: true, path: /own.so, config: {own: vault.own}}
  scim: {enabled: true, provider: okta, config: {clientSecret: vault.okta, apiToken: vault.token}}
  guardrails: {providers: [{id: 1, provider_name: bedrock, config: {access_key: vault.aws}}], rules: [{id: 1, name: a}]}
  cluster: {enabled: true, discovery: {type: etcd, etcdEndpoints: [etcd:2379]}}
`
	configs, err := embedded.InYAML("values.yaml", []byte(values))
	if err != nil || len(configs) != 1 {
		t.Fatalf("%d configs, error %v", len(configs), err)
	}
	doc := configs[0].Document
	var got []string
	for _, f := range lint.Check(doc, lint.Options{Part: true}) {
		if f.Severity > lint.Note {
			got = append(got, fmt.Sprintf("%d %s %s", doc.Position(f.Span.Start).Line, f.Rule, f.Path))
		}
	}
	want := []string{"12 plugin-version plugins[3]", "14 plugin-version plugins[4]"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestErrorsStandInTheFile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"data:\n  config.json: |\n    {\"providers\": {},\n     \"plugins\": [}\n", "a.yaml:4:18: "},
		{"bifrost: [\n", "a.yaml: not valid YAML: "},
		{"a: &a [x]\nb: &b [*a,*a]\nbifrost: {client: &c {x: *c}}\n", "a.yaml:3:10: "},
		{"bifrost:\n  <<: &x [*x, *x]\n  encryptionKey: abcd\n", "a.yaml:2:3: "},
		{"bifrost:\n  encryptionKey: *CANARY\n", "a.yaml: not valid YAML: unknown anchor …"},
	} {
		_, err := embedded.InYAML("a.yaml", []byte(test.text))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one that begins %q", test.text, err, test.want)
		} else if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("a value was printed: %v", err)
		}
	}
}

// FuzzYAML looks for a text that makes the reader fail otherwise than by an error,
// or returns a place that the file does not have.
func FuzzYAML(f *testing.F) {
	f.Add("data:\n  config.json: |\n    {\"providers\": {\"a\": {\"keys\": [{\"value\": \"x\"}]}}}\n")
	f.Add("bifrost:\n  providers: &a {openai: {keys: [{value: \"é\"}]}}\n  plugins: *a\n")
	f.Add("bifrost: {<<: [{client: {}}], encryptionKey: 'a''b', x: |2\n    {\n}")
	f.Add("bifrost: {<<: &x [*x], encryptionKey: a}")
	f.Fuzz(func(t *testing.T, text string) {
		configs, err := embedded.InYAML("a.yaml", []byte(text))
		if err != nil {
			return
		}
		for _, c := range configs {
			inside(t, c.Document, strings.Count(text, "\n")+1)
		}
	})
}

// FuzzCommented holds what is read of JSON with comments against the places in
// the text.
func FuzzCommented(f *testing.F) {
	f.Add("{\"a\": 1, // é\n\"b\": [1, /* x */ 2,],}")
	f.Add("/**/{\"a\": \"//\"}//")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := embedded.Commented("a.jsonc", []byte(text))
		if err != nil {
			return
		}
		text = strings.TrimPrefix(text, "\xef\xbb\xbf")
		if len(c.Document.Bytes()) != len(text) {
			t.Fatalf("%d bytes of %d", len(c.Document.Bytes()), len(text))
		}
		for i, b := range c.Document.Bytes() {
			if b != ' ' && b != text[i] {
				t.Fatalf("byte %d is %q and was %q", i, b, text[i])
			}
			if b == '"' {
				want := walker.Position{Line: 1 + strings.Count(text[:i], "\n"), Column: 1 + len([]rune(text[strings.LastIndexByte(text[:i], '\n')+1:i]))}
				if got := c.Document.Position(i); got != want {
					t.Fatalf("the byte at %d is at %v, want %v", i, got, want)
				}
			}
		}
	})
}

func inside(t *testing.T, doc *walker.Document, lines int) {
	for i := range doc.Bytes() {
		if at := doc.Position(i); at.Line < 1 || at.Line > lines || at.Column < 1 {
			t.Fatalf("offset %d of %q is at %v of %d lines", i, doc.Bytes(), at, lines)
		}
	}
}
