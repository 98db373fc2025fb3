package report

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bifrost-secrets/walker/lint"
)

func TestJSON(t *testing.T) {
	doc := parse(t, "{\"encryption_key\":\n \"hunter2\"}")
	f := finding(t, doc, `"hunter2"`)
	f.Hint, f.Path, f.Fix = "a <hint>", "encryption_key", &lint.Edit{Text: "hunter2"}
	want := `[
  {"file":"config.json","line":2,"column":2,"end_line":2,"end_column":11,"rule":"rule","severity":"error","message":"message","hint":"a <hint>","path":"encryption_key","fixable":true}
]
`
	if got := render(Options{Format: JSON}, doc, f); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	two := render(Options{Format: JSON}, doc, f, f)
	var all []map[string]any
	if err := json.Unmarshal([]byte(two), &all); err != nil || len(all) != 2 {
		t.Errorf("%v: %s", err, two)
	}
	if got := render(Options{Format: JSON}, doc); got != "[]\n" {
		t.Errorf("no findings: %q", got)
	}
}

func TestSARIF(t *testing.T) {
	doc := parse(t, "{\"encryption_key\":\n \"hunter2 \\u003c\"}")
	f := finding(t, doc, `"hunter2 \u003c"`)
	f.Rule, f.Path, f.Hint = "plaintext-secret", `headers["x y"]`, "store it"
	unknown := f
	unknown.Rule = "of no list"
	for _, tt := range []struct {
		name     string
		file     string
		findings []lint.Finding
		uri      string
	}{
		{"none", "config.json", nil, ""},
		{"one", "config.json", []lint.Finding{f}, "config.json"},
		{"many", "a b/ü%.json", []lint.Finding{f, f, {Rule: "encryption-key", Severity: lint.Note}, unknown}, "a%20b/%C3%BC%25.json"},
		{"an absolute name", "/etc/bifrost/config.json", []lint.Finding{f}, "file:///etc/bifrost/config.json"},
		{"a name like an address", "a:b.json", []lint.Finding{f}, "./a:b.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc.Name = tt.file
			got := render(Options{Format: SARIF, Rules: lint.Rules(), Version: "1.0"}, doc, tt.findings...)
			var log any
			if err := json.Unmarshal([]byte(got), &log); err != nil {
				t.Fatalf("%v\n%s", err, got)
			}
			for _, fault := range validate(sarifSchema, log, "") {
				t.Error(fault)
			}
			if _, results, _ := strings.Cut(got, `"results"`); strings.Contains(results, "hunter2") { // the page has one of its own
				t.Error("a value in the log")
			}
			run := log.(map[string]any)["runs"].([]any)[0].(map[string]any)
			for _, rule := range run["tool"].(map[string]any)["driver"].(map[string]any)["rules"].([]any) {
				rule := rule.(map[string]any)
				risk, err := strconv.ParseFloat(rule["properties"].(map[string]any)["security-severity"].(string), 64)
				if text := rule["help"].(map[string]any)["markdown"].(string); err != nil || risk <= 0 || risk > 10 || !strings.Contains(text, "```") {
					t.Errorf("%s: severity %v (%v), help %q", rule["id"], risk, err, text)
				}
			}
			results := run["results"].([]any)
			if len(results) != len(tt.findings) {
				t.Fatalf("%d results of %d findings", len(results), len(tt.findings))
			}
			prints := map[string]bool{}
			for _, r := range results {
				r := r.(map[string]any)
				place := r["locations"].([]any)[0].(map[string]any)["physicalLocation"].(map[string]any)
				if uri := place["artifactLocation"].(map[string]any)["uri"]; uri != tt.uri {
					t.Errorf("uri %s, want %s", uri, tt.uri)
				}
				prints[fmt.Sprint(r["partialFingerprints"])] = true
				if index, ok := r["ruleIndex"].(float64); ok {
					rules := run["tool"].(map[string]any)["driver"].(map[string]any)["rules"].([]any)
					if id := rules[int(index)].(map[string]any)["id"]; id != r["ruleId"] {
						t.Errorf("ruleIndex is that of %s, not of %s", id, r["ruleId"])
					}
				} else if r["ruleId"] != "of no list" {
					t.Errorf("%s has no index", r["ruleId"])
				}
			}
			if len(prints) != len(results) {
				t.Errorf("%d fingerprints for %d results", len(prints), len(results))
			}
		})
	}
}

// schema is as much of a JSON schema as the part of SARIF's takes that concerns
// us. Members that are not named are not allowed, as in SARIF's own.
type schema struct {
	kind     string // object, array, string, integer or boolean
	members  map[string]*schema
	required []string
	each     *schema // the elements of an array, or the further members of an object
	enum     []string
	least    float64
	uri      string // "uri" or "uri-reference"
	min      int    // elements
}

func object(required string, members map[string]*schema) *schema {
	return &schema{kind: "object", members: members, required: strings.Fields(required)}
}

var (
	anyString   = &schema{kind: "string"}
	anyObject   = &schema{kind: "object", each: &schema{}}
	message     = object("text", map[string]*schema{"text": anyString})
	level       = &schema{kind: "string", enum: []string{"none", "note", "warning", "error"}}
	fromOne     = &schema{kind: "integer", least: 1}
	sarifSchema = object("version runs", map[string]*schema{
		"$schema": {kind: "string", uri: "uri"},
		"version": {kind: "string", enum: []string{"2.1.0"}},
		"runs": {kind: "array", each: object("tool", map[string]*schema{
			"tool": object("driver", map[string]*schema{"driver": object("name", map[string]*schema{
				"name": anyString, "version": anyString,
				"rules": {kind: "array", each: object("id", map[string]*schema{
					"id": anyString, "shortDescription": message, "fullDescription": message, "help": object("text", map[string]*schema{"text": anyString, "markdown": anyString}),
					"defaultConfiguration": object("", map[string]*schema{"enabled": {kind: "boolean"}, "level": level}),
					"helpUri":              {kind: "string", uri: "uri"},
					"properties":           object("tags security-severity", map[string]*schema{"tags": {kind: "array", each: anyString}, "security-severity": anyString}),
				})},
			})}),
			"columnKind":  {kind: "string", enum: []string{"utf16CodeUnits", "unicodeCodePoints"}},
			"invocations": {kind: "array", each: object("executionSuccessful", map[string]*schema{"executionSuccessful": {kind: "boolean"}})},
			"results": {kind: "array", each: object("message", map[string]*schema{
				"ruleId": anyString, "ruleIndex": {kind: "integer", least: -1}, "level": level, "message": message, "properties": anyObject,
				"partialFingerprints": {kind: "object", each: anyString},
				"locations": {kind: "array", each: object("", map[string]*schema{
					"physicalLocation": object("", map[string]*schema{
						"artifactLocation": object("", map[string]*schema{"uri": {kind: "string", uri: "uri-reference"}}),
						"region":           object("", map[string]*schema{"startLine": fromOne, "startColumn": fromOne, "endLine": fromOne, "endColumn": fromOne}),
					}),
					"logicalLocations": {kind: "array", min: 1, each: object("", map[string]*schema{"fullyQualifiedName": anyString, "kind": anyString})},
				})},
			})},
		})},
	})
)

// validate holds a value against a schema and returns what is wrong.
func validate(s *schema, v any, at string) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	kinds := map[reflect.Kind]string{reflect.Map: "object", reflect.Slice: "array", reflect.String: "string", reflect.Float64: "integer", reflect.Bool: "boolean"}
	if s.kind == "" {
		return nil
	}
	if got := kinds[reflect.ValueOf(v).Kind()]; got != s.kind {
		fault("is %q, want %s", got, s.kind)
		return faults
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range s.required {
			if _, ok := v[name]; !ok {
				fault("lacks %s", name)
			}
		}
		for name, member := range v {
			next := s.members[name]
			if next == nil {
				next = s.each
			}
			if next == nil {
				fault("has %s, which is not known", name)
				continue
			}
			faults = append(faults, validate(next, member, at+"."+name)...)
		}
	case []any:
		if len(v) < s.min {
			fault("has %d elements", len(v))
		}
		for i, element := range v {
			faults = append(faults, validate(s.each, element, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case string:
		if s.enum != nil && !slices.Contains(s.enum, v) {
			fault("%q is none of %q", v, s.enum)
		}
		if u, err := url.Parse(v); s.uri != "" && (err != nil || s.uri == "uri" && !u.IsAbs()) {
			fault("%q is no %s", v, s.uri)
		}
	case float64:
		if v != float64(int64(v)) || v < s.least {
			fault("%v is no whole number from %v", v, s.least)
		}
	}
	return faults
}
