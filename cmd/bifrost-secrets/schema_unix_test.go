//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"bifrost-secrets/cmd/internal/lintcmd"
	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type object = map[string]any

const draft = "http://json-schema.org/draft-07/schema#"

// storeSchema is the schema of a vault_store block for editors, made of the table of
// backends.
func storeSchema() object {
	var kinds []string
	var needs []object
	properties := object{
		"enabled":     object{"type": "boolean", "description": "without it no reference is resolved"},
		"prefix":      object{"type": "string", "description": "what the names of stored secrets begin with", "default": render.DefaultPrefix},
		"access_mode": object{"enum": []string{"read_only", render.ReadAndWrite}, "description": "whether secrets may be stored", "default": "read_only"},
	}
	for _, f := range sources.Table {
		kinds = append(kinds, f.Type)
		settings, needed := object{}, []string{}
		for _, key := range f.Keys {
			settings[key] = object{"$ref": "#/definitions/setting"}
			if slices.Contains(f.Credentials, key) {
				settings[key] = object{"$ref": "#/definitions/credential"}
			}
		}
		for _, s := range f.Begin {
			settings[s.Key] = object{"allOf": []any{settings[s.Key]}, "examples": []string{s.Value}}
			if s.Needed {
				needed = append(needed, s.Key)
			}
		}
		properties[f.Block] = object{"type": "object", "additionalProperties": false, "properties": settings, "description": "settings of " + f.Type}
		if len(needed) > 0 {
			needs = append(needs, object{
				"if":   object{"required": []string{"type"}, "properties": object{"type": object{"const": f.Type}}},
				"then": object{"required": []string{f.Block}, "properties": object{f.Block: object{"required": needed}}},
			})
		}
	}
	properties["type"] = object{"enum": kinds, "description": "where the secrets are"}
	value := []any{object{"type": []string{"string", "number", "boolean"}}, object{"$ref": "#/definitions/variable"}}
	return object{
		"$schema": draft, "title": "vault_store of bifrost-secrets", "type": "object", "additionalProperties": false,
		"properties": properties, "required": []string{"type"}, "allOf": needs,
		"definitions": object{
			"setting":    object{"anyOf": value},
			"credential": object{"anyOf": value, "description": "a credential: write env.NAME, and keep it out of the file"},
			"variable": object{
				"type": "object", "description": "Bifrost's object form",
				"properties": object{"value": object{}, "ref": object{}, "type": object{}, "env_var": object{}, "from_env": object{}},
			},
		},
	}
}

// configSchema has that block where a config.json has it, and says nothing of the rest.
func configSchema() object {
	in := func(name string, what object) object {
		return object{"type": "object", "properties": object{name: what}}
	}
	s := in("config_store", in("vault_store", object{"$ref": "vault-store.json"}))
	s["$schema"], s["title"] = draft, "what bifrost-secrets adds to Bifrost's config.json"
	return s
}

var capital = regexp.MustCompile(`"[a-z_]*[A-Z][A-Za-z_]*":`)

var identity = sync.OnceValue(func() *ageIdentity {
	id, err := newAgeIdentity()
	if err != nil {
		panic(err)
	}
	return id
})

// refusal says why the program does not take a config, by what lint says of its block
// and by opening it; it is empty where it does.
func refusal(t *testing.T, config string, open bool) string {
	t.Helper()
	doc, err := walker.Parse("config.json", []byte(config))
	if err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	for _, f := range lint.Check(doc, lint.Options{Backends: lintcmd.Backends, Getenv: func(string) (string, bool) { return "", false }}) {
		if strings.HasSuffix(f.Rule, "vault-store") && f.Severity >= lint.Warning {
			return f.Message
		}
	}
	store, err := render.StoreFromDocument(doc)
	if err != nil || !open {
		return strings.TrimPrefix(fmt.Sprint(err), "<nil>")
	}
	said := ""
	source, err := store.Open(t.Context(), backends, sources.Options{
		Warn: func(text string) { said = text }, Log: slog.New(slog.DiscardHandler),
		Getenv: func(name string) (string, bool) {
			value, ok := map[string]string{"VAULT_TOKEN": "t", "SECRETS_DATABASE_URL": "postgres://u@127.0.0.1:1/x", "SECRETS_AGE_IDENTITY": identity().String()}[name]
			return value, ok
		},
	})
	if err != nil {
		return err.Error()
	}
	_ = source.Close()
	return said
}

// The schemas for editors are what the program takes, and refuse what it refuses.
func TestSchema(t *testing.T) {
	folder := filepath.Join(root, "docs", "schema")
	for name, schema := range map[string]object{"vault-store.json": storeSchema(), "config.json": configSchema()} {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(schema); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(filepath.Join(folder, name), want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("docs/schema/%s is not what the program takes: run make docs (%v)", name, err)
		}
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	validate := func(config string) error {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(config))
		if err != nil {
			t.Fatalf("%s: %v", config, err)
		}
		return schema.Validate(instance)
	}
	in := func(block string) string { return `{"config_store": {"enabled": true, "vault_store": ` + block + `}}` }

	seen, taken := 0, 0
	for place, block := range shownBlocks(t) {
		seen++
		// Names in other letters than small ones are for the program the same, and for an
		// editor mistakes. That a backend cannot be opened here is none of the block's.
		if refusal(t, in(block), false) != "" || strings.HasSuffix(refusal(t, in(block), true), "neither a string, a number nor a boolean") || capital.MatchString(block) {
			continue
		}
		taken++
		if err := validate(in(block)); err != nil {
			t.Errorf("%s: the program takes %s, and the schema does not: %v", place, block, err)
		}
	}
	if taken < 30 {
		t.Errorf("of %d blocks the program takes %d", seen, taken)
	}

	wrong := []string{
		`[]`, `"file"`, `{}`, `{"type": "nope"}`, `{"type": 1}`, `{"enabled": "yes", "type": "file", "file": {"path": "a"}}`,
		`{"enabled": true, "type": "file", "file": {"path": "a"}, "prefix": 1}`, `{"enabled": true, "type": "file", "file": {"path": "a"}, "access_mode": "write"}`,
		`{"enabled": true, "type": "file", "file": {"path": "a"}, "region": "eu-west-1"}`, `{"enabled": true, "type": "aws-secrets-manager", "aws": []}`,
	}
	own := strings.NewReplacer("<region, such as eu-west-1>", "eu-west-1", "<project id>", "my-project-123", "<host>", "127.0.0.1", "<name>", "my-vault", `"secrets"`, fmt.Sprintf("%q", t.TempDir()))
	for _, f := range sources.Table {
		written := string(render.NewBlock(f, true))
		good := own.Replace(written)
		for _, block := range []string{written, good} {
			err, why := validate(in(block)), refusal(t, in(block), block == good)
			if strings.Contains(block, "<") { // which the schema takes, so that editors do not complain of what is begun
				var told bool
				if why, told = strings.CutSuffix(why, "a part in angle brackets, which was to be filled in"); !told {
					t.Errorf("%s is not refused for what was to be filled in", block)
				}
			}
			if err != nil || why != "" {
				t.Errorf("init begins with %s: %v, %s", block, err, why)
			}
		}
		for _, s := range f.Begin {
			if s.Needed {
				wrong = append(wrong, without(good, s.Key, ""), without(good, f.Block, ""))
			}
		}
		wrong = append(wrong, strings.Replace(good, "}}", `, "nope": "a"}}`, 1))
		for _, key := range f.Keys {
			wrong = append(wrong, without(good, key, f.Block))
		}
	}
	for _, block := range wrong {
		if validate(in(block)) == nil {
			t.Errorf("the schema takes %s", block)
		}
		if refusal(t, in(block), true) == "" {
			t.Errorf("the program takes %s", block)
		}
	}
	t.Logf("%d blocks, of which the program takes %d; %d wrong ones", seen, taken, len(wrong))
}

// The page for editors puts the block into Bifrost's own schema, which knows none, and
// names files that it has copied.
func TestEditors(t *testing.T) {
	page := pages(t)["docs/editors.md"]
	for _, m := range regexp.MustCompile(`docs/schema/([a-z-]+\.json)`).FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat(filepath.Join(root, "docs", "schema", m[1])); err != nil {
			t.Error(err)
		}
	}
	known := "vault-store.json lint.json config.json"
	for _, m := range regexp.MustCompile(`\.vscode/([a-z-]+\.json)`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(known+" settings.json tasks.json", m[1]) {
			t.Errorf(".vscode/%s is not made", m[1])
		}
	}
	filter := regexp.MustCompile(`jq '([^']+)'`).FindStringSubmatch(page)
	if _, err := exec.LookPath("jq"); err != nil || filter == nil {
		t.Skipf("jq is not run: %v", err)
	}
	jq := exec.Command("jq", filter[1])
	jq.Stdin = strings.NewReader(`{"properties": {"config_store": {"properties": {"enabled": {"type": "boolean"}}, "additionalProperties": false}}}`)
	made, err := jq.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), string(made))
	block, err := os.ReadFile(filepath.Join(root, "docs", "schema", "vault-store.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "vault-store.json"), string(block))
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for setting, good := range map[string]bool{"path": true, "paht": false} {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"config_store": {"enabled": true, "vault_store": {"type": "file", "file": {"` + setting + `": "a"}}}}`))
		if err != nil || (schema.Validate(instance) == nil) != good {
			t.Errorf("%s: %v %v", setting, err, schema.Validate(instance))
		}
	}
}

// without returns a block without a member; where into is the name of an object, it
// has there a list of that name.
func without(block, name, into string) string {
	cut := regexp.MustCompile(fmt.Sprintf(`(, )?%q: ("[^"]*"|\{[^}]*\})`, name)).ReplaceAllString(block, "")
	if into != "" {
		cut = strings.Replace(cut, fmt.Sprintf("%q: {", into), fmt.Sprintf("%q: {%q: [1], ", into, name), 1)
	}
	return strings.NewReplacer("{, ", "{", ", ,", ",", ", }", "}").Replace(cut)
}

// shownBlocks are the vault_store blocks of the pages, of deploy/ and of testdata, by
// where they stand.
func shownBlocks(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	begins := regexp.MustCompile(`"vault_store":\s*\{`)
	for _, dir := range []string{"docs", "deploy", "testdata", "README.md", "walker/lint/testdata", "cmd/bifrost-secrets/testdata"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "docs/schema") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, at := range begins.FindAllIndex(text, -1) {
				var block json.RawMessage
				if json.NewDecoder(bytes.NewReader(text[at[1]-1:])).Decode(&block) == nil {
					all[fmt.Sprintf("%s:%d", path, at[0])] = string(block)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
