package configstore

import (
	"fmt"
	"strings"
	"testing"

	"bifrost-secrets/walker"
)

func TestSchema(t *testing.T) {
	patterns := map[string]bool{}
	for _, e := range walker.Catalogue() {
		patterns[e.Pattern] = true
	}
	for _, table := range known() {
		seen := map[string]bool{}
		for _, c := range table.columns {
			at := c.name + " " + c.where.name
			if seen[at] {
				t.Errorf("%s.%s stands twice", table.name, c.name)
			}
			seen[at] = true
			if c.form != textForm {
				continue
			}
			// A value stands where the catalogue has a field.
			pattern := strings.Join(append([]string{table.place}, c.place...), ".")
			pattern = strings.TrimLeft(pattern, ".")
			if !patterns[pattern] {
				t.Errorf("%s.%s: the catalogue has no field %s", table.name, c.name, pattern)
			}
		}
	}
	for _, bad := range []struct{ tables, columns string }{
		{"a\tid\t-\t-\t-", ""}, {"a\tid\t-\t-\t-\t-\na\tid\t-\t-\t-\t-", ""}, {"a\tid\tp.*\t-\t-\tx", ""}, {"a\tid\tp[]\t-\tx\tx", ""},
		{"a\tid\tp[]\t-\t-\tx", "b\tc\tv\ttext\tno\t-\t-"}, {"a\tid\tp[]\t-\t-\tx", "a\tc\tv\tnope\tno\t-\t-"}, {"a\tid\tp[]\t-\t-\tx", "a\tc\t-\ttext\tno\t-\t-"},
		{"a\tid\t-\t-\t-\tx", "a\tc\tv\ttext\tno\t-\t-"}, {"a\tid\tp[]\t-\t-\tx", "a\tc\tv\ttext\tmaybe\t-\t-"}, {"a\tid\tp[]\t-\t-\tx", "a\tc\tv\ttext\tno\tkey\t-"},
	} {
		if _, err := parseSchema(bad.tables, bad.columns); err == nil {
			t.Errorf("taken: %q %q", bad.tables, bad.columns)
		}
	}
}

func TestIsCiphertext(t *testing.T) {
	for text, want := range map[string]bool{
		"q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0VniQEjRWeJA=": true,
		"vault.openai/key": false,
		"env.BIFROST_SECRET_0123456789ABCDEF01234567":   false,
		`{"Authorization":"vault.mcp/auth","X":"yyyy"}`: false,
		"c2hvcnQ=": false, "": false, "sk-0123456789012345678901234567890123456789": false,
	} {
		if got := isCiphertext(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestNameTwice(t *testing.T) {
	values := map[string]string{"name": "n", "headers_json": `{"A":"vault.a","B":"vault.b","A":"vault.c"}`}
	r := tableOf("config_mcp_clients").read("1", "2", func(name string) (string, bool) { text, ok := values[name]; return text, ok })
	got := ""
	for i := range r.Fields {
		got += fmt.Sprintf("%s %t ", r.Fields[i].Ref, r.Fields[i].Env)
	}
	if got != "vault.a false vault.b true vault.c false " {
		t.Error(got)
	}
}

// A Row shows nothing of its values, whoever prints it and however.
func TestRowPrintsNoValue(t *testing.T) {
	values := map[string]string{"value": "canary-7f", "name": "n", "provider": "openai"}
	r := tableOf("config_keys").read("1", "2", func(name string) (string, bool) { text, ok := values[name]; return text, ok })
	if len(r.Fields) != 1 {
		t.Fatal(r)
	}
	if out := fmt.Sprintf("%v %+v %#v %s %q %x %v %+v", r, *r, *r, r, r, r, r.Fields[0], r.Fields); strings.Contains(out, "canary") || strings.Contains(out, "63616e617279") {
		t.Errorf("printed %s", out)
	}
}

// FuzzRow reads any text as the columns of a row: what is put back where it
// stood returns the very same text.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{"vault.a#b", "sk-1", `"quoted"`, "env.X", "", "\x00", "a\\/b", "{\"Authorization\":\"vault.a\\u0026b\",\"x\\/y\":\"z\"}", `{"a":{"value":"","env_var":"env.X","from_env":true}}`, `[1]`, "nul", "\xff"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, value, headers string) {
		for _, name := range []string{"config_keys", "config_mcp_clients", "config_plugins", "config_log_store", "governance_config"} {
			values := map[string]string{
				"name": value, "provider": headers, "value": value, "headers_json": headers, "connection_string": value, "config_json": headers, "config": headers,
				"key_id": value, "client_id": headers, "encryption_status": "plain_text",
			}
			r := tableOf(name).read(value, "1", func(name string) (string, bool) { text, ok := values[name]; return text, ok })
			for i := range r.Fields {
				field := &r.Fields[i]
				for cell, text := range rewritten([]edit{{field: field, text: field.spelled()}}) {
					if text != cell.text {
						t.Fatalf("%s: %q became %q", field.Place, cell.text, text)
					}
				}
			}
		}
	})
}
