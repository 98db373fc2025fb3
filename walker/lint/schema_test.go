package lint

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// settingsSchema is the schema of a settings file for editors, made of what the
// program reads one into, and of the rules that there are.
func settingsSchema() map[string]any {
	type object = map[string]any
	members := func(of any, about map[string]object) object {
		properties := object{}
		for f := range reflect.TypeOf(of).Fields() {
			name := f.Tag.Get("json")
			one := about[name]
			if one == nil {
				one = object{"type": "string"}
			}
			properties[name] = one
		}
		return object{"type": "object", "additionalProperties": false, "properties": properties}
	}
	severities, rules, ids := []string{}, object{}, []string{}
	for s := Severity(0); s <= Error; s++ {
		severities = append(severities, s.String())
	}
	for _, r := range slices.Concat(Rules(), []Rule{Online}, DatabaseRules) {
		ids = append(ids, r.ID)
		rules[r.ID] = object{"enum": severities, "description": r.Summary + " (by default " + (map[bool]string{true: "off", false: r.Severity.String()})[r.Off] + ")"}
	}
	var file settingsFile
	one := members(ignore{}, map[string]object{"rule": {"enum": ids}})
	one["anyOf"] = []object{{"required": []string{"path"}}, {"required": []string{"file"}}}
	own := members(reflect.New(reflect.TypeOf(file.OwnFields).Elem()).Elem().Interface(), map[string]object{"kind": {"enum": []string{"secret", "setting"}}})
	own["required"] = []string{"plugin", "path", "kind"}
	all := members(file, map[string]object{
		"rules":      {"type": "object", "additionalProperties": false, "properties": rules, "description": "the severity of all findings of a rule"},
		"ignore":     {"type": "array", "items": one, "description": "places whose findings are not wanted; * stands for any part of a path"},
		"prefix":     {"type": "string", "description": "what the path of every secret must begin with"},
		"own_fields": {"type": "array", "items": own, "description": "fields of your own plugins, below their config"},
	})
	all["$schema"] = "http://json-schema.org/draft-07/schema#"
	all["title"] = ".bifrost-secrets-lint.json: settings of bifrost-secrets lint"
	return all
}

// The schema for editors is what the program reads: both take and refuse the same.
func TestSettingsSchema(t *testing.T) {
	const name = "../../docs/schema/lint.json"
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(settingsSchema()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("docs/schema/lint.json is not what the program reads: run make docs (%v)", err)
	}
	schema, err := jsonschema.NewCompiler().Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(page), "or the file that `--settings` names:\n\n```json\n")
	shown, _, _ = strings.Cut(shown, "```")
	for text, good := range map[string]bool{
		shown: true, `{}`: true, `{"$schema": "../docs/schema/lint.json"}`: true, `{"rules": {"reference-syntax": "off", "online": "note"}}`: true,
		`{"rule": {}}`: false, `[]`: false, `{"rules": {"nope": "off"}}`: false, `{"rules": {"online": "fatal"}}`: false, `{"rules": []}`: false,
		`{"prefix": 1}`: false, `{"ignore": {}}`: false, `{"ignore": [{}]}`: false, `{"ignore": [{"rule": "online"}]}`: false, `{"ignore": [{"rule": "nope", "path": "a"}]}`: false,
		`{"ignore": [{"path": "a", "line": 1}]}`: false, `{"own_fields": [{"plugin": "p", "path": "a"}]}`: false, `{"own_fields": [{"plugin": "p", "path": "a", "kind": "key"}]}`: false,
	} {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		_, ours := ParseSettings([]byte(text))
		if theirs := schema.Validate(instance); (ours == nil) != good || (theirs == nil) != good {
			t.Errorf("%s: the program says %v, and the schema %v", text, ours, theirs)
		}
	}
}
