package file

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"bifrost-secrets/sources"
)

func TestDocumentValues(t *testing.T) {
	o := openAt(t, write(t, filepath.Join(t.TempDir(), "secrets.json"), "\uFEFF \n"+`{
		"openai/key": "sk-CANARY",
		"a.b": "dot", "a": {"b": "inner"},
		"#*": "hash", "@this": "at", "../x": "up", "/abs": "abs",
		"quote\"\u00e9\ud83d\ude00": "esc\"\\\/\b\f\n\r\t\u0000\ud83d\ude00",
		"written": "�", "escaped": "\uFFFD", "empty": "",
		"db": { "password": "CANARY" , "port":5432},
		"list": [1, "\u0041"],
		"int": 12345678901234567890, "float": 1.50e+3, "yes": true, "no": false
	}`+"\n"))
	for name, value := range map[string]string{
		"openai/key": "sk-CANARY",
		"a.b":        "dot", "a": `{"b": "inner"}`,
		"#*": "hash", "@this": "at", "../x": "up", "/abs": "abs",
		`quote"é😀`: "esc\"\\/\b\f\n\r\t\x00😀",
		"written":  "\uFFFD", "escaped": "\uFFFD", "empty": "",
		"db":   `{ "password": "CANARY" , "port":5432}`,
		"list": `[1, "\u0041"]`,
		"int":  "12345678901234567890", "float": "1.50e+3", "yes": "true", "no": "false",
	} {
		o.wantValue(t, name, value)
	}
}

func TestDocumentRefuses(t *testing.T) {
	long := strings.Repeat("x", sources.MaxValue)
	tests := []struct {
		name, data, secret string
		kind               sources.Kind
		parts              []string
	}{
		{"missing", `{"openai-key":"CANARY","db":1}`, "openai", sources.NotFound,
			[]string{`no key "openai" in `, `did you mean "openai-key"?`, "holds 2 names"}},
		{"no path", `{"a":{"b":"CANARY"}}`, "a.b", sources.NotFound, []string{`holds one name: "a"`}},
		{"nothing there", `{}`, "a", sources.NotFound, []string{"holds no secret"}},
		{"no name", `{"":"CANARY"}`, "", sources.BadName, nil},
		{"null", `{"a":null,"b":"CANARY"}`, "a", sources.Unusable, []string{`"a" in `, " is null"}},
		{"half a pair", `{"a":"CANARY\ud83d"}`, "a", sources.Unusable, []string{"half of a surrogate pair"}},
		{"large", `{"a":"` + long + `CANARY"}`, "a", sources.Unusable, []string{`"a" in `, "limit of 1048576 bytes"}},
		{"large object", `{"a":["` + long + `"]}`, "a", sources.Unusable, []string{"limit of 1048576 bytes"}},

		{"empty", ``, "a", sources.Unusable, []string{"is empty", "one JSON object"}},
		{"blank", "\uFEFF \n", "a", sources.Unusable, []string{"is empty"}},
		{"text", `CANARY`, "a", sources.Unusable, []string{"cannot be read as JSON at 1:1"}},
		{"cut short", "{\"a\":\n\"CANARY", "a", sources.Unusable, []string{"cannot be read as JSON at 2:7"}},
		{"no quotes", "{\n  \"é\": CANARY}", "a", sources.Unusable, []string{"cannot be read as JSON at 2:8"}},
		{"comma", `{"a":"CANARY",}`, "a", sources.Unusable, []string{"cannot be read as JSON at 1:15"}},
		{"bad escape", `{"a":"\CANARY"}`, "a", sources.Unusable, []string{"cannot be read as JSON at 1:8"}},
		{"two", `{"a":"CANARY"}{}`, "a", sources.Unusable, []string{"cannot be read as JSON at 1:15"}},
		{"array", `["CANARY"]`, "a", sources.Unusable, []string{"JSON that is not an object"}},
		{"string", `"CANARY"`, "a", sources.Unusable, []string{"JSON that is not an object"}},
		{"not UTF-8", "{\n\"é\":\"\xffCANARY\"}", "a", sources.Unusable, []string{"is not UTF-8 text at 2:6"}},
		{"UTF-16", "\xff\xfe{\x00}\x00", "a", sources.Unusable, []string{"is not UTF-8 text at 1:1"}},
		{"twice", "{\"a\":\"CANARY\",\n \"\\u0061\":\"CANARY\"}", "b", sources.Unusable,
			[]string{`has the key "a" twice, at 1:2 and at 2:2`}},
		{"deep", `{"a":` + strings.Repeat("[", 5<<20), "a", sources.Unusable, []string{"cannot be read as JSON at 1:10005"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "secrets.json"), test.data)
			openAt(t, path).wantError(t, test.secret, test.kind, test.parts...)
		})
	}
}

func TestDocumentTooLarge(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "secrets.json"), "")
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	openAt(t, path).wantError(t, "a", sources.Unusable, path+" is larger than the limit of 67108864 bytes")
}

func TestDocumentIsReadAfresh(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "secrets.json"), `{"a":"1"}`)
	o := openAt(t, path)
	o.wantValue(t, "a", "1")
	write(t, path, `{"a":"2"}`)
	o.wantValue(t, "a", "2")
}

func TestDidYouMean(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"openai", "openai-key"},
		{"OPENAI-KEY", "openai-key"},
		{"openia-key", "openai-key"},
		{"openai-key-prod", "openai-key"},
		{"azure", ""},
		{"d", ""},
		{"dv", ""},
		{strings.Repeat("x", 1<<20), ""},
		{"", ""},
	} {
		got := didYouMean(test.name, []string{"db", "openai-key", strings.Repeat("y", 1<<20)})
		if test.want != "" && got != `did you mean "`+test.want+`"? ` || test.want == "" && got != "" {
			t.Errorf("%.20q: %q", test.name, got)
		}
	}
}

// FuzzParse holds parse against encoding/json: it takes the same documents but
// for repeated names, and reads the same names and strings from them.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":"b","c":{"d":[1,null]},"e":1.5e3,"f":true}`, `{"a":1,"\u0061":2}`, `{}`, `[]`, ``, `{"a":"\ud83d\ude00\ud800"}`,
		"\uFEFF{\"\":\"\"}", `{"a" : "\/\"" , "b":-0}`, `{"a":nul}`, `{"a":"` + "\x7f\u2028" + `"}`, `{"a":01}`, `{"a":1}x`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, fault := parse(data)
		if (values == nil) != (fault != "") {
			t.Fatalf("values %v, fault %q", values, fault)
		}
		plain := bytes.TrimPrefix(data, []byte("\uFEFF"))
		var want map[string]json.RawMessage
		err := json.Unmarshal(plain, &want)
		if fault != "" {
			if err == nil && want != nil && utf8.Valid(data) && !strings.Contains(fault, "twice") {
				t.Fatalf("refused: %s", fault)
			}
			return
		}
		if err != nil {
			t.Fatalf("accepted: %v", err)
		}
		names, wantNames := slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(want))
		if !slices.Equal(names, wantNames) {
			t.Fatalf("names %q, want %q", names, wantNames)
		}
		for name, value := range values {
			if value.Raw != string(want[name]) {
				t.Errorf("%q: raw %q, want %q", name, value.Raw, want[name])
			}
			var text string
			if value.Type == gjson.String && (json.Unmarshal(want[name], &text) != nil || value.Str != text) {
				t.Errorf("%q: %q, want %q", name, value.Str, text)
			}
			if value.Type == gjson.Null && value.Raw != "null" {
				t.Errorf("%q: %q as null", name, value.Raw)
			}
		}
	})
}
