package render

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// memory is a source that holds its secrets in memory and counts what it is
// asked.
type memory struct {
	values map[string]string
	fails  map[string]*sources.Error
	asked  [][]string
}

func (m *memory) Fetch(_ context.Context, names []string) map[string]sources.Result {
	m.asked = append(m.asked, slices.Clone(names))
	out := map[string]sources.Result{}
	for _, name := range names {
		switch v, ok := m.values[name]; {
		case m.fails[name] != nil:
			out[name] = sources.Result{Err: m.fails[name]}
		case ok:
			out[name] = sources.Result{Value: sources.NewSecret([]byte(v)), Version: "v-" + name}
		default:
			out[name] = sources.Result{Err: &sources.Error{Kind: sources.NotFound, Name: name, Message: "no such secret"}}
		}
	}
	return out
}

func (m *memory) Plan(names []string) sources.Calls  { return sources.Calls{Single: len(names)} }
func (m *memory) Ping(context.Context, string) error { return nil }
func (m *memory) Describe() string                   { return "memory" }
func (m *memory) Close() error                       { return nil }

var awsStore = &VaultStore{Type: "aws-secrets-manager", Enabled: true, from: "config.json"}

func none(string) (string, bool) { return "", false }

// renderText renders doc from values and returns the result, the notes and the
// error.
func renderText(t *testing.T, doc string, values map[string]string, opts Options) (string, []Problem, error) {
	t.Helper()
	d, err := walker.Parse("config.json", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if opts.Mode == "" {
		opts.Mode = Inline
	}
	if opts.Getenv == nil {
		opts.Getenv = none
	}
	p, err := NewPlan(d, awsStore, opts)
	if err != nil {
		return "", p.Notes, err
	}
	r, err := p.Resolve(t.Context(), &memory{values: values})
	if err != nil {
		return "", r.Notes, err
	}
	return string(r.Document()), r.Notes, nil
}

func TestRender(t *testing.T) {
	env := func(name string) (string, bool) { v, ok := map[string]string{"HERE": "set-here"}[name]; return v, ok }
	tests := []struct{ name, doc, want string }{
		{"nothing to do", `{"a" : [1.0, 1e3] }`, `{"a" : [1.0, 1e3] }`},
		{"string form", `{"encryption_key":"vault.a#k"}`, `{"encryption_key":"value-k"}`},
		{"whole secret less one newline", `{"encryption_key":"vault.plain"}`, `{"encryption_key":"one line\n"}`},
		{"object form", `{"encryption_key":{"value":"","ref":"vault.a#k","type":"vault"}}`, `{"encryption_key":"value-k"}`},
		{"object form of env that versions dispute", `{"encryption_key":{"ref":"env.X","type":"env"}}`, `{"encryption_key":"env.X"}`},
		{"object form of env that none disputes", `{"encryption_key":{"value":"env.X","env_var":"env.X"}}`, `{"encryption_key":{"value":"env.X","env_var":"env.X"}}`},
		{"literal object that versions dispute", `{"encryption_key":{"value":"x"}}`, `{"encryption_key":"x"}`},
		{"literal that would become a reference", `{"encryption_key":{"value":"env.X","type":"plain_text"}}`, `{"encryption_key":{"value":"env.X","type":"plain_text"}}`},
		{"unquoted service account", `{"providers":{"v":{"keys":[{"vertex_key_config":{"auth_credentials":{"type": "service_account"}}}]}}}`,
			`{"providers":{"v":{"keys":[{"vertex_key_config":{"auth_credentials":"{\"type\": \"service_account\"}"}}]}}}`},
		{"escapes that Bifrost misreads", `{"encryption_key":"a\/b\ud83d\ude00","x":"\/"}`, `{"encryption_key":"a/b😀","x":"\/"}`},
		{"env. where Bifrost resolves it", `{"encryption_key":"env.X"}`, `{"encryption_key":"env.X"}`},
		{"env. where it ignores what stands there", `{"providers":{"azure":{"keys":[{"azure_key_config":{"api_version":"env.X"}}]}}}`, `{"providers":{"azure":{"keys":[{"azure_key_config":{"api_version":"env.X"}}]}}}`},
		{"env. where it does not", `{"plugins":[{"name":"mine","config":{"a":["env.HERE"]}}]}`, `{"plugins":[{"name":"mine","config":{"a":["set-here"]}}]}`},
		{"a value that needs escapes", `{"encryption_key":"vault.odd"}`, `{"encryption_key":"q\" b\\ s/ <&> é😀\t\u0001"}`},
		{"number and object under a key", `{"auth_config":{"admin_username":"vault.a#n","admin_password":"vault.a#o"}}`, `{"auth_config":{"admin_username":"1.50","admin_password":"{\"x\": [1]}"}}`},
		{"pointer and literal key", `{"auth_config":{"admin_username":"vault.a#/o/x/0","admin_password":"vault.a#/lit"}}`, `{"auth_config":{"admin_username":"1","admin_password":"slash"}}`},
		{"dots and # in a key", `{"auth_config":{"admin_username":"vault.a#x.y","admin_password":"vault.a#p#q"}}`, `{"auth_config":{"admin_username":"dotted","admin_password":"hash"}}`},
		{"vault_store first", `{"config_store":{"vault_store":{"enabled":true}, "type":"sqlite"}}`, `{"config_store":{"type":"sqlite"}}`},
		{"vault_store last", "{\"config_store\":{\n  \"type\":\"sqlite\",\n  \"vault_store\":{}\n}}", "{\"config_store\":{\n  \"type\":\"sqlite\"\n}}"},
		{"vault_store alone", `{"config_store":{ "vault_store":{} },"encryption_key":"vault.a#k"}`, `{"config_store":{  },"encryption_key":"value-k"}`},
		{"vault_store twice and in capitals", `{"config_store":{"a":1,"vault_store":{},"Vault_Store":null,"b":2},"Config_Store":{"vault_store":1,"c":3}}`, `{"config_store":{"a":1,"b":2},"Config_Store":{"c":3}}`},
		{"vault_store in the middle", `{"config_store":{"a":1,"vault_store":{},"b":2,"vault_store":{}}}`, `{"config_store":{"a":1,"b":2}}`},
	}
	values := map[string]string{
		"a":     `{"k":"value-k","n":1.50,"o":{"x": [1]},"/lit":"slash","x.y":"dotted","p#q":"hash"}`,
		"plain": "one line\n\n",
		"odd":   "q\" b\\ s/ <&> é😀\t\x01",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := renderText(t, tt.doc, values, Options{Getenv: env})
			if err != nil || got != tt.want {
				t.Errorf("got  %s %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// Each of these fails with the one message, at the place, and renders nothing.
func TestProblems(t *testing.T) {
	key := func(ref string) string { return `{"encryption_key":"` + ref + `"}` }
	tests := []struct{ name, doc, want string }{
		{"no such secret", key("vault.no"), "config.json:1:19: encryption_key: vault.no: no such secret"},
		{"fragments of a secret that is not there", `{"auth_config":{"admin_username":"vault.no#a","admin_password":"vault.no#b"}}`,
			"config.json:1:34: auth_config.admin_username: vault.no: no such secret; also wanted by auth_config.admin_password"},
		{"key missing", key("vault.a#z"), `config.json:1:19: encryption_key: vault.a#z: the secret has no key "z"`},
		{"key null", key("vault.a#null"), `config.json:1:19: encryption_key: vault.a#null: the key "null" is null`},
		{"not JSON with a fragment", key("vault.text#k"), "config.json:1:19: encryption_key: vault.text#k: the secret is not a JSON object, so it has no keys"},
		{"duplicate keys", key("vault.dup#k"), `config.json:1:19: encryption_key: vault.dup#k: the key "k" occurs twice in the secret`},
		{"nested duplicate keys", key("vault.dup2#k"), `config.json:1:19: encryption_key: vault.dup2#k: the key "x" occurs twice in the secret`},
		{"pointer past the end", key("vault.a#/list/1"), `config.json:1:19: encryption_key: vault.a#/list/1: the secret has no key "/list/1"`},
		{"pointer with a leading zero", key("vault.a#/list/00"), `config.json:1:19: encryption_key: vault.a#/list/00: the secret has no key "/list/00"`},
		{"binary", key("vault.binary"), "config.json:1:19: encryption_key: vault.binary: a binary secret, and not UTF-8 text"},
		{"binary with a fragment", key("vault.binary#k"), "config.json:1:19: encryption_key: vault.binary#k: the secret is not a JSON object, so it has no keys"},
		{"empty", key("vault.empty"), "config.json:1:19: encryption_key: vault.empty: the value is empty"},
		{"NUL", key("vault.nul"), "config.json:1:19: encryption_key: vault.nul: the value has a NUL byte in it"},
		{"value that is a reference", key("vault.ref"), "config.json:1:19: encryption_key: vault.ref: the value itself begins with env. or vault., so Bifrost would take it for a reference"},
		{"value in quotes", key("vault.quoted"), "config.json:1:19: encryption_key: vault.quoted: the value begins or ends with a double quote, which Bifrost strips when it reads its database"},
		{"value with a quote at its start", key("vault.lead"), "config.json:1:19: encryption_key: vault.lead: the value begins or ends with a double quote, which Bifrost strips when it reads its database"},
		{"value that looks masked", key("vault.mask"), "config.json:1:19: encryption_key: vault.mask: the value looks like a mask, which Bifrost takes for no change"},
		{"virtual key", `{"governance":{"virtual_keys":[{"value":"vault.a#k"}]}}`, "config.json:1:41: governance.virtual_keys[0].value: vault.a#k: the value does not begin sk-bf-, so Bifrost would make a key of its own in its place"},
		{"line break in a header", `{"mcp":{"client_configs":[{"headers":{"X":"vault.lines"}}]}}`, "config.json:1:43: mcp.client_configs[0].headers.X: vault.lines: the value has a line break in it, which a header cannot carry"},
		{"empty path", key("vault."), "config.json:1:19: encryption_key: the reference has an empty path"},
		{"empty key", key("vault.a#"), "config.json:1:19: encryption_key: the reference has an empty key after #"},
		{"space", key("vault. a"), "config.json:1:19: encryption_key: the reference has space at its ends"},
		{"control character", key(`vault.a\u0007`), "config.json:1:19: encryption_key: the reference has a control character in it"},
		{"name that AWS cannot have", key("vault.a b"), "config.json:1:19: encryption_key: vault.a b: the path of the reference has a character that aws-secrets-manager does not allow in a name"},
		{"name that is too long", key("vault." + strings.Repeat("a", 513)), "config.json:1:19: encryption_key: vault." + strings.Repeat("a", 513) + ": the path of the reference is longer than aws-secrets-manager allows (513 characters)"},
		{"circular", `{"config_store":{"vault_store":{"aws":{"region":"vault.a"}}}}`, "config.json:1:49: config_store.vault_store.aws.region: vault.a: a vault. reference inside vault_store: the vault cannot open itself"},
		{"env. not set where Bifrost does not resolve it", `{"plugins":[{"config":{"a":"env.NO"}}]}`, "config.json:1:28: plugins[0].config.a: env.NO: the variable is not set"},
		{"all at once", `{"encryption_key":"vault.","auth_config":{"admin_password":"vault.b#"}}`,
			"config.json:1:19: encryption_key: the reference has an empty path\nconfig.json:1:60: auth_config.admin_password: the reference has an empty key after #"},
	}
	values := map[string]string{
		"a": `{"k":"value-k","null":null,"list":[1]}`, "text": "CANARY text", "dup": `{"k":"CANARY","k":"CANARY"}`, "dup2": `{"k":{"x":"CANARY","x":1}}`,
		"binary": "CANARY\xff", "empty": "\n", "nul": "CANARY\x00", "ref": "vault.CANARY", "quoted": `"CANARY"`, "lead": `"CANARY`, "mask": "CANA" + strings.Repeat("*", 24) + "NARY", "lines": "CANARY\nCANARY",
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := renderText(t, tt.doc, values, Options{})
			var problems *Problems
			if !errors.As(err, &problems) || err.Error() != tt.want {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			if all := fmt.Sprintf("%+v", *problems); strings.Contains(all, "CANARY") {
				t.Errorf("a value got out: %s", all)
			}
		})
	}
}

func TestNotEnabled(t *testing.T) {
	d, err := walker.Parse("config.json", []byte(`{"encryption_key":"vault.a"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]*VaultStore{"no block": nil, "disabled": {Type: "file"}} {
		_, err := NewPlan(d, store, Options{Getenv: none})
		if err == nil || err.Error() != "config.json:1:19: encryption_key: vault: not enabled" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without a vault reference there is nothing to enable.
	d, err = walker.Parse("config.json", []byte(`{"encryption_key":"env.A"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPlan(d, nil, Options{Getenv: none}); err != nil {
		t.Error(err)
	}
}

// Each distinct secret is asked for once, however many references there are.
func TestEachSecretOnce(t *testing.T) {
	d, err := walker.Parse("config.json", []byte(`{"encryption_key":"vault.b","auth_config":{"admin_username":"vault.a#x","admin_password":"vault.a#y"},"setup_token":"vault.a"}`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(d, awsStore, Options{Mode: Inline, Getenv: none})
	if err != nil {
		t.Fatal(err)
	}
	source := &memory{values: map[string]string{"a": `{"x":"1","y":"2"}`, "b": "3"}}
	r, err := p.Resolve(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(source.asked); got != "[[b a]]" {
		t.Errorf("asked for %s", got)
	}
	if got := slices.Sorted(maps.Values(r.Versions)); fmt.Sprint(got) != "[v-a v-b]" {
		t.Errorf("versions %v", got)
	}
}

func TestLiteral(t *testing.T) {
	doc := `{"plugins":[{"config":{"host":"vault.example.com:8200"}}]}`
	_, _, err := renderText(t, doc, nil, Options{})
	var problems *Problems
	if !errors.As(err, &problems) || !strings.Contains(problems.List[0].Hint, `--literal 'plugins[0].config.host'`) {
		t.Errorf("the hint does not name the exemption: %+v", problems)
	}
	got, _, err := renderText(t, doc, nil, Options{Literal: []string{"plugins[0].config.host"}})
	if err != nil || got != doc {
		t.Errorf("%s, %v", got, err)
	}
	_, _, err = renderText(t, doc, nil, Options{Literal: []string{"plugins[0].config.host", "plugins[1].x"}})
	if err == nil || err.Error() != "config.json: plugins[1].x: --literal names no field of the document" {
		t.Error(err)
	}
}

// Bifrost itself puts virtual keys into its database: env mode has to say so.
func TestVirtualKeysInEnvMode(t *testing.T) {
	const keys = `"governance":{"virtual_keys":[{"value":"vault.vk"},{"value":"vault.vk"}]}`
	for doc, want := range map[string]int{`{` + keys + `}`: 1, `{"encryption_key":"env.K",` + keys + `}`: 0} {
		_, notes, err := renderText(t, doc, map[string]string{"vk": "sk-bf-x"}, Options{Mode: EnvMode})
		if err != nil || len(notes) != want {
			t.Errorf("%s: %d notes, %v", doc, len(notes), err)
		}
	}
}

func TestNotes(t *testing.T) {
	doc := "\xef\xbb\xbf" + `{"encryption_key":"vault.object","x":"vault.y","auth_config":{"admin_password":"vault.space"},"setup_token":{"a":1},
"config_store":{"type":"postgres","config":{"password":"vault.pg"}},"governance":{"auth_config":{"admin_password":{"value":"x"},"admin_username":"a\/b"}},
"audit_logs":{"hmac_key":{"value":"env.X","type":"plain_text"}}}`
	_, notes, err := renderText(t, doc, map[string]string{"object": `{"a":"b"}`, "space": " x", "pg": "it's"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range notes {
		path := ""
		if len(n.Places) > 0 {
			path = n.Places[0].Path
		}
		got = append(got, path+": "+n.Reason)
	}
	want := []string{
		": a byte order mark at its start was dropped",
		"setup_token: an object that versions of Bifrost read in different ways is written as a string",
		"governance.auth_config.admin_password: an object that versions of Bifrost read in different ways is written as a string",
		"governance.auth_config.admin_username: the string has escapes that Bifrost misreads; it is written without them",
		"audit_logs.hmac_key: a literal that looks like a reference; versions of Bifrost read it in different ways; it is left as it is",
		"x: looks like a reference, but no field that takes one is known here; it is left as it is",
		"encryption_key: the value is a JSON object and the field wants one value",
		"auth_config.admin_password: the value begins or ends with space",
		"config_store.config.password: the password has a space, a quote or a backslash in it, which Bifrost up to 1.5.0 passes on unquoted",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzBytes renders a document that has references at known places and holds
// the result against one made by sjson, a call a field. Outside of the values
// every byte must be the same.
func FuzzBytes(f *testing.F) {
	f.Add([]byte(`{"a" : 1.50, "encryption_key":"x", "config_store":{"vault_store":{"a":[1,{}]} , "b":"\u0041"}}`), "va\"lue\\é")
	f.Add([]byte("{\n\t\"config_store\": {\"vault_store\": null\n}, \"b\": [ ]}"), "")
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		d, err := walker.Parse("c", data)
		if err != nil {
			return
		}
		opts := Options{Mode: Inline, Getenv: none}
		plain, err := NewPlan(d, awsStore, opts)
		if err != nil {
			return
		}
		before, err := plain.Resolve(t.Context(), &memory{})
		if err != nil {
			return
		}
		out := before.Document()
		if !json.Valid(out) {
			t.Fatalf("not valid JSON: %s", out)
		}
		again, err := walker.Parse("c", out)
		if err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		if found := again.Members("config_store", "vault_store"); len(found) > 0 {
			t.Errorf("vault_store is still there: %s", out)
		}
		if p, err := NewPlan(again, awsStore, opts); err != nil || len(p.edits) > 0 {
			t.Errorf("rendering is not at rest: %v, %d edits in %s", err, len(p.edits), out)
		}
		// Now give one field of the rendered document a reference.
		if gjson.GetBytes(out, "setup_token").Exists() || strings.Contains(strings.ToLower(string(out)), "setup_to") || strings.Contains(string(out), `\u`) {
			return
		}
		wanted, err := sjson.SetRawBytes(slices.Clone(out), "setup_token", []byte(`"vault.secret"`))
		if err != nil {
			return
		}
		d, err = walker.Parse("c", wanted)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPlan(d, awsStore, opts)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(t.Context(), &memory{values: map[string]string{"secret": value}})
		if err != nil {
			return // a value that is refused
		}
		text, _ := whole([]byte(value))
		got := r.Document()
		at := bytes.Index(wanted, []byte(`"vault.secret"`))
		if head := wanted[:at]; !bytes.HasPrefix(got, head) || !bytes.HasSuffix(got, wanted[at+len(`"vault.secret"`):]) {
			t.Errorf("bytes outside of the reference changed:\n%s\n%s", wanted, got)
		}
		if v := gjson.GetBytes(got, "setup_token").String(); v != string(text) {
			t.Errorf("the value is %q, want %q", v, text)
		}
	})
}
