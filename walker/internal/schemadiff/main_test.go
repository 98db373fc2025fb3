package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// schemadiff runs the program on a schema.
func schemadiff(t *testing.T, schema string, flags ...string) (code int, listed, said string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.schema.json")
	if err := os.WriteFile(name, []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = run(append(flags, name), &out, &errs)
	return code, out.String(), errs.String()
}

func TestDiff(t *testing.T) {
	const word = `{"type": "string"}`
	for name, test := range map[string]struct{ properties, want string }{
		"a field":                         {`"encryption_key": ` + word, ""},
		"a field's object form":           {`"webhooks": {"items": {"properties": {"secret": {"anyOf": [` + word + `, {"type": "object", "properties": {"env_var": ` + word + `}}]}}}}`, ""},
		"below a map's field":             {`"providers": {"additionalProperties": {"properties": {"keys": {"items": {"properties": {"value": ` + word + `}}}}}}`, ""},
		"a zone":                          {`"plugins": {"items": {"properties": {"config": {"type": "object"}}}}`, ""},
		"no secret":                       {`"color": ` + word, ""},
		"judged to be none":               {`"client": {"properties": {"allowed_headers": {"type": "array", "items": ` + word + `}}}`, ""},
		"a choice of words":               {`"token_kind": {"type": "string", "enum": ["a", "b"]}`, ""},
		"no text":                         {`"token": {"type": "integer"}`, ""},
		"forbidden":                       {`"token": false`, ""},
		"a new name":                      {`"relay": {"properties": {"token": ` + word + `}}`, "relay.token\tis called so\n"},
		"a key":                           {`"relay": {"properties": {"shared_key": ` + word + `}}`, "relay.shared_key\tis called so\n"},
		"a new map":                       {`"relay": {"properties": {"headers": {"type": "object", "additionalProperties": ` + word + `}}}`, "relay.headers.*\tis called so\n"},
		"a new list":                      {`"relay": {"properties": {"tokens": {"type": "array", "items": ` + word + `}}}`, "relay.tokens[]\tis called so\n"},
		"a reference":                     {`"relay": {"properties": {"user": {"type": "string", "description": "Supports the env. prefix"}}}`, "relay.user\ttakes a reference\n"},
		"an expression":                   {`"relay": {"properties": {"user": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^env\\.[A-Z]+$"}]}}}`, "relay.user\ttakes a reference\n"},
		"an address":                      {`"relay": {"properties": {"to": {"type": "string", "format": "uri"}}}`, "relay.to\tan address, which may carry credentials\n"},
		"a description":                   {`"relay": {"properties": {"to": {"type": "string", "description": "The password of it."}}}`, "relay.to\tis described so\n"},
		"anything":                        {`"relay": {"properties": {"to": {"type": "object"}}}`, "relay.to\tanything may stand here\n"},
		"anything, in a branch":           {`"relay": {"properties": {"to": {"type": "integer"}}, "allOf": [{"properties": {"to": true}}]}`, ""},
		"only if":                         {`"relay": {"if": {"properties": {"kind": {"const": "x"}}}, "then": {"properties": {"token": ` + word + `}}}`, "relay.token\tis called so\n"},
		"a definition":                    {`"relay": {"$ref": "#/$defs/relay"}`, "relay.token\tis called so\n"},
		"a definition that has itself":    {`"tree": {"$ref": "#/$defs/tree"}`, "tree.secret\tis called so\n"},
		"of a provider of one's own name": {`"providers": {"properties": {"novel": {"properties": {"novel_secret": ` + word + `}}}}`, "providers.novel.novel_secret\tis called so\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, got, said := schemadiff(t, `{"properties": {"encryption_key": `+word+`, `+test.properties+`}, "$defs": {
				"relay": {"properties": {"token": `+word+`}},
				"tree": {"properties": {"secret": `+word+`, "below": {"$ref": "#/$defs/tree"}}}}}`)
			if got != test.want {
				t.Errorf("listed %q, want %q (%s)", got, test.want, said)
			}
			if want := min(len(test.want), 1); code != want {
				t.Errorf("it ended with %d, want %d", code, want)
			}
		})
	}
}

func TestListsAndFailures(t *testing.T) {
	const schema = `{"properties": {"color": {"type": "string"}, "client": {"properties": {"allowed_headers": {"items": {"type": "string"}}}}}}`
	if code, got, said := schemadiff(t, schema, "-all", "-none"); code != 0 || got != "client.allowed_headers[]\tis called so\tnone: names of headers\ncolor\t-\n" {
		t.Errorf("it ended with %d and listed %q (%s)", code, got, said)
	}
	for schema, want := range map[string]string{
		`{`: "no JSON schema", `{}`: "no member that may be a text", `[]`: "no JSON schema",
		`{"properties": {"a": {"$ref": "#/$defs/b"}}}`:         `a: $ref "#/$defs/b" leads to nothing`,
		`{"properties": {"a": {"$ref": "other.json#/b"}}}`:     "leads to another document",
		`{"properties": {"a": {"type": "string", "enum": 1}}}`: "no JSON schema",
	} {
		if code, got, said := schemadiff(t, schema); code != 2 || got != "" || !strings.Contains(said, want) {
			t.Errorf("%s: ended with %d, %q: %s", schema, code, got, said)
		}
	}
	if _, err := readNone("a.b"); err == nil {
		t.Error("a judgement without a reason is taken")
	}
}
