package lint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

// key makes a document with one provider key, which has a name.
func key(value string) string {
	return `{"providers":{"openai":{"keys":[{"name":"k","value":` + value + `}]}}}`
}

// Keys that look like those of an issuer are put together here, so that no
// scanner takes this file for one with secrets in it.
var (
	openAI    = "sk-" + strings.Repeat("aB3d", 8)
	anthropic = "sk-ant-" + strings.Repeat("aB3d", 8)
	awsKey    = "AKIA" + strings.Repeat("ABC7", 4)
	pem       = "-----BEGIN " + "PRIVATE KEY-----\\n" + strings.Repeat("aB3d", 20) + "\\n-----END " + "PRIVATE KEY-----"
)

// TestShapes has what the goldens cannot hold, keys that look real.
func TestShapes(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{key(`"` + openAI + `"`), "error providers.openai.keys[0].value"},
		{key(`"` + anthropic + `"`), "error providers.openai.keys[0].value"},
		{key(`{"value":"` + openAI + `","env_var":""}`), "error providers.openai.keys[0].value"},
		{`{"mcp":{"client_configs":[{"stdio_config":{"command":"npx","args":["--api-key=` + openAI + `","-y"]}}]}}`, "error mcp.client_configs[0].stdio_config.args[0]"},
		{`{"mcp":{"client_configs":[{"stdio_config":{"args":["abcdefghpwdQ0FOQVJZMTIzNDU2Nzg5MA==","--token=="]}}]}}`, ""},
		{`{"plugins":[{"config":{"a":"` + awsKey + `"}}]}`, "error plugins[0].config.a"},
		{`{"plugins":[{"config":{"a":"` + pem + `"}}]}`, "error plugins[0].config.a"},
		// In an object that names no reference, or that is none of the object form.
		{key(`{"value":"` + openAI + `","type":"env"}`), "error providers.openai.keys[0].value"},
		{key(`{"value":"` + openAI + `","type":"vault"}`), "error providers.openai.keys[0].value"},
		{key(`{"value":"` + openAI + `","from_env":"yes"}`), "error providers.openai.keys[0].value"},
		{key(`{"a":["b","` + openAI + `"]}`), "error providers.openai.keys[0].value"},
		// Outside of every field.
		{key(`["` + openAI + `"]`), "error providers.openai.keys[0].value[0]"},
		{`{"providers":{"openai":{"api_key":"` + anthropic + `","keys":[{"name":"a","vlaue":"` + openAI + `"}]}},"pem":"` + pem + `"}`, "error providers.openai.api_key\nerror providers.openai.keys[0].vlaue\nerror pem"},
		// In the place of a name: no path and no message shows it.
		{`{"client":{"` + openAI + `":"x"}}`, "error client[\"(35 characters that look like a key)\"]"},
		{`{"plugins":[{"config":{"` + anthropic + `":{"password":"Xk9vQ2mLp7TzRw4"}}}]}`, "error plugins[0].config[\"(39 characters that look like a key)\"]\nwarning plugins[0].config[\"(39 characters that look like a key)\"].password"},
		{`{"plugins":[{"config":{"` + openAI + `":1,"` + openAI + `":2}}]}`, strings.Repeat("\nerror plugins[0].config[\"(35 characters that look like a key)\"]", 2)[1:]},
		{`{"providers":{"a":{"keys":[{"name":"` + openAI + `","value":"env.A"},{"name":"` + openAI + `","value":"env.B"}]}}}`, "error providers.a.keys[0].name\nerror providers.a.keys[1].name"},
		{`{"x":{"gpt-4o-mini-2024-07-18":"a","us.anthropic.claude-3-7-sonnet-20250219-v1:0":"b","your-openai-api-key-goes-here":"c"}}`, ""},
		// With something around it.
		{key(`"\"` + openAI + `\""`), "error providers.openai.keys[0].value"},
		{key(`"“` + openAI + `”"`), "error providers.openai.keys[0].value"},
		{key(`"\ufeff` + openAI + `\u200b"`), "error providers.openai.keys[0].value"},
		{key(`"OPENAI=` + openAI + ` # main"`), "error providers.openai.keys[0].value"},
		{`{"providers":{"openai":{"network_config":{"extra_headers":{"Authorization":"'` + openAI + `'"}}}}}`, "error providers.openai.network_config.extra_headers.Authorization"},
		{`{"mcp":{"client_configs":[{"stdio_config":{"envs":["X=` + openAI + `"],"command":"run ` + openAI + `"}}]}}`, "error mcp.client_configs[0].stdio_config.envs[0]\nerror mcp.client_configs[0].stdio_config.command"},
	} {
		doc, err := walker.Parse("config.json", []byte(c.doc))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range Check(doc, Options{}) {
			if f.Rule == plaintextSecret.ID {
				got = append(got, fmt.Sprintf("%s %s", f.Severity, f.Path))
			}
			for _, secret := range []string{openAI, anthropic, awsKey, "abcdefgh"} {
				if strings.Contains(f.Message+f.Hint+f.Path, secret) {
					t.Errorf("%s: the value got out: %s", f.Rule, f.Message)
				}
			}
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: got %q, want %q", c.doc, got, c.want)
		}
	}
}

// A repair leaves valid JSON in which its rule finds nothing more at that place.
func TestFixes(t *testing.T) {
	repaired := map[string]bool{}
	for _, g := range goldens(t, "err") {
		doc, err := walker.ReadFile(g.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Check(doc, Options{}) {
			if f.Fix == nil {
				continue
			}
			repaired[f.Rule] = true
			text := string(doc.Bytes()[:f.Fix.Start]) + f.Fix.Text + string(doc.Bytes()[f.Fix.End:])
			fixed, err := walker.Parse("config.json", []byte(text))
			if err != nil {
				t.Errorf("%s: the repair of %s is no JSON: %s", f.Rule, g.path, text)
				continue
			}
			for _, again := range Check(fixed, Options{}) {
				if again.Rule == f.Rule && again.Path == f.Path {
					t.Errorf("%s: still there after the repair: %s", f.Rule, text)
				}
			}
		}
	}
	for _, id := range []string{"reference-syntax", "json-escape", "object-form", "null-secret", "plugin-version"} {
		if !repaired[id] {
			t.Errorf("no document has a repair of %s", id)
		}
	}
}

// FuzzCheck lints whatever comes: no crash, no value of a secret field in what
// is said, and a repair that leaves a document.
func FuzzCheck(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := walker.Parse("config.json", data)
		if err != nil {
			return
		}
		found := Check(doc, Options{})
		doc.Walk(func(field *walker.Field) bool {
			value := field.Text()
			if field.Kind() != walker.SecretKind || field.What != walker.Literal || len(value) < 24 {
				return true
			}
			for _, one := range found {
				// A long value may well be a part of a name that stands elsewhere too.
				if strings.Contains(one.Message+one.Hint, value) && bytes.Count(data, []byte(value)) == 1 {
					t.Errorf("%s says the value of %s", one.Rule, field.Path)
				}
			}
			return true
		})
		for _, one := range found {
			if one.Fix == nil {
				continue
			}
			text := slices.Concat(doc.Bytes()[:one.Fix.Start], []byte(one.Fix.Text), doc.Bytes()[one.Fix.End:])
			if _, err := walker.Parse("config.json", text); err != nil {
				t.Errorf("the repair of %s leaves no document: %s", one.Rule, text)
			}
		}
	})
}

func TestSettings(t *testing.T) {
	doc, err := walker.Parse("config.json", []byte(`{"plugins":[{"name":"mine","version":2,"config":{"word":"hunter2hunter3","deep":[{"key":"hunter2hunter3"}]}}],"encryption_key":"hunter2hunter3","a":"env.X"}`))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"\ufeff{\"rules\":{\"unknown-place\":\"off\"}}\r\n": "plaintext-secret warning encryption_key", // of an editor
		`{}`: "plaintext-secret warning encryption_key\nsource: unknown-place warning a",
		`{"rules":{"unknown-place":"off","plaintext-secret":"error"}}`:                                                                                           "plaintext-secret error encryption_key",
		`{"ignore":[{"path":"encryption*"},{"rule":"unknown-place","path":"a"}]}`:                                                                                "",
		`{"ignore":[{"rule":"masked-value","path":"*"},{"path":"*_key"}]}`:                                                                                       "unknown-place warning a",
		`{"own_fields":[{"plugin":"mine","path":"word","kind":"secret"},{"plugin":"mine","path":"deep[].key","kind":"secret"}],"rules":{"unknown-place":"off"}}`: "plaintext-secret warning encryption_key\nplaintext-secret warning plugins[0].config.deep[0].key\nplaintext-secret warning plugins[0].config.word",
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
	if _, err := ParseSettings([]byte("\xff\xfe{\x00}\x00")); err == nil || err.Error() != "is in UTF-16: save it as UTF-8" {
		t.Errorf("UTF-16: %v", err)
	}
	some, err := ParseSettings([]byte(`{"ignore":[{"file":"deploy/*.json","path":"encryption*"},{"file":"config.json","rule":"unknown-place"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{"deploy/eu/a.json": 1, "config.json": 1, "deploy/config.json": 0, "a.json": 2} {
		got := 0
		for _, f := range Check(doc, Options{Settings: some.For(file)}) {
			if f.Severity > Note {
				got++
			}
		}
		if got != want {
			t.Errorf("%s: %d findings, want %d", file, got, want)
		}
	}
	for _, text := range []string{`{`, `[]`, `{"x":1}`, `{"rules":{"nope":"off"}}`, `{"rules":{"prefix":"loud"}}`, `{"ignore":[{"rule":"prefix"}]}`, `{"ignore":[{"rule":"nope","path":"a"}]}`, `{"own_fields":[{"plugin":"x"}]}`, `{} {}`} {
		if _, err := ParseSettings([]byte(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
