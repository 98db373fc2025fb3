package lint_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
)

// mark stands in the values of secret fields; no message may show it.
const mark = "Q7zK9wXy"

// marked returns the document with mark in the middle of every string of a field
// that is a secret, or may be one. References are no secrets, and neither is
// what is one but for its case, or for space around it.
func marked(doc *walker.Document) []byte {
	var out []byte
	at := 0
	doc.Walk(func(f *walker.Field) bool {
		if f.Entry == nil || f.What != walker.Literal || f.Object || f.Entry.Kind != walker.SecretKind && f.Entry.Form != walker.ZoneForm {
			return true
		}
		text := f.Text()
		bare := strings.ToLower(strings.Trim(text, " \t\r\n\"'"))
		if strings.HasPrefix(bare, "env.") || strings.HasPrefix(bare, "vault.") {
			return true
		}
		runes := []rune(text)
		half := len(runes) / 2
		out = append(append(out, doc.Bytes()[at:f.Start]...), walker.Quote(string(runes[:half])+mark+string(runes[half:]))...)
		at = f.End
		return true
	})
	return append(out, doc.Bytes()[at:]...)
}

// meaning tells what Bifrost and the renderer make of a field, in the order of
// the fields.
func meanings(doc *walker.Document) (all []string) {
	doc.Walk(func(f *walker.Field) bool {
		text := f.Ref.String()
		if f.What != walker.Ref {
			text = f.Text()
		}
		if f.Entry != nil {
			all = append(all, f.Path+" "+f.What.String()+" "+text)
		}
		return true
	})
	return all
}

// everywhere returns a document with the value in fields of every sort, and as a
// part of other values.
func everywhere(value string) []byte {
	v := walker.Quote(strings.ToValidUTF8(value, "?"))
	inner := v[1 : len(v)-1]
	return []byte(strings.NewReplacer("VALUE", v, "PART", inner).Replace(`{
  "providers": {
    "a": {"keys": [{"name": "a", "value": VALUE}, {"name": "b", "value": {"value": VALUE}}, {"name": "c", "value": {"value": VALUE, "env_var": VALUE}},
      {"name": "d", "value": {"ref": VALUE}}, {"name": "e", "value": {"value": "", "ref": VALUE, "type": "env"}}, {"name": "f", "value": {"value": VALUE, "type": "Vault"}},
      {"name": "g", "value": {"value": "Aaaabbbb-0123", "ref": VALUE, "type": "vault"}}, {"name": "h", "value": "\/PART"}, {"name": "i", "value": " PART"},
      {"name": "j", "value": null, "vertex_key_config": {"auth_credentials": {"type": VALUE}}, "azure_key_config": {"endpoint": VALUE}}],
      "network_config": {"base_url": "https://u:PART@example.com/?key=PART", "extra_headers": {"Authorization": VALUE, "X-Team": VALUE, "Cookie": "Bearer PART"}}}
  },
  "governance": {"virtual_keys": [{"value": VALUE}]},
  "mcp": {"client_configs": [{"headers": {"x": VALUE}, "stdio_config": {"command": VALUE, "args": ["--token", VALUE, "--key=PART", "PART=PART"], "envs": [VALUE, "TOKEN=PART"]}}]},
  "plugins": [{"name": "own", "config": {"api_key": VALUE, "x": [VALUE]}}, {"name": "otel", "version": 1, "config": {"headers": {"token": VALUE}}}],
  "config_store": {"type": "postgres", "config": {"password": VALUE}, "vault_store": {"type": "aws-secrets-manager", "prefix": "b", "aws": {"secret_access_key": VALUE, "region": VALUE}}}
}`))
}

func FuzzLint(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no documents")
	}
	for _, name := range files {
		doc, err := walker.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc.Bytes(), "", strings.HasSuffix(name, ".env.json"))
		doc.Walk(func(field *walker.Field) bool {
			if field.What == walker.Literal || field.What == walker.Broken {
				f.Add([]byte("{}"), field.Text(), false)
			}
			return true
		})
	}
	for _, ref := range []string{"env.A", "vault.a#b", "env.A=B", "vault.a b"} {
		f.Add([]byte("{}"), ref, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, value string, env bool) {
		if value != "" {
			data = everywhere(value)
		}
		doc, err := walker.Parse("config.json", data)
		if err != nil {
			return
		}
		opts := lint.Options{Env: env, Backends: lint.AllBackends}
		findings := lint.Check(doc, opts)
		for i, finding := range findings {
			if finding.Span.Start < 0 || finding.Span.End < finding.Span.Start || finding.Span.End > len(doc.Bytes()) {
				t.Fatalf("%s: a span outside of the document: %v", finding.Rule, finding.Span)
			}
			if i > 0 && findings[i-1].Span.Start > finding.Span.Start {
				t.Errorf("%s at %d stands behind %s at %d", finding.Rule, finding.Span.Start, findings[i-1].Rule, findings[i-1].Span.Start)
			}
			if finding.Message == "" || strings.HasSuffix(finding.Message, ".") {
				t.Errorf("%s: the message %q", finding.Rule, finding.Message)
			}
		}
		if again := lint.Check(doc, opts); !reflect.DeepEqual(again, findings) {
			t.Errorf("a second run finds\n%v\nthe first\n%v", again, findings)
		}
		checkMarks(t, doc, opts)
		checkRepair(t, doc, opts, findings)
	})
}

func checkMarks(t *testing.T, doc *walker.Document, opts lint.Options) {
	t.Helper()
	text := marked(doc)
	secret, err := walker.Parse("config.json", text)
	if err != nil {
		t.Fatalf("the marked document: %v\n%s", err, text)
	}
	if strings.Contains(string(doc.Bytes()), mark) {
		return
	}
	for _, finding := range lint.Check(secret, opts) {
		if strings.Contains(finding.Message+finding.Hint+finding.Path, mark) {
			t.Fatalf("%s shows a value: %s (%s)\n%s", finding.Rule, finding.Message, finding.Hint, text)
		}
	}
}

// A repaired document has nothing left to repair, of what was repaired nothing
// is left to find, and all else means what it meant before.
func checkRepair(t *testing.T, doc *walker.Document, opts lint.Options, before []lint.Finding) {
	t.Helper()
	fixed := lint.Repair(doc, opts)
	for _, left := range fixed.Findings {
		if left.Fix != nil {
			t.Errorf("%s at %s is to be repaired again\n%s", left.Rule, left.Path, fixed.Document.Bytes())
		}
	}
	old, now := meanings(doc), meanings(fixed.Document)
	if len(old) != len(now) {
		t.Fatalf("%d fields became %d\n%s", len(old), len(now), fixed.Document.Bytes())
	}
	changes := map[string]bool{} // the paths whose meaning is mended, not kept
	count := map[string]int{}
	for _, b := range before {
		count[b.Rule+" "+b.Path]++
		if b.Fix != nil && b.Rule != "json-escape" && b.Rule != "plugin-version" {
			changes[b.Path] = true
		}
	}
	for i := range old {
		path, _, _ := strings.Cut(old[i], " ")
		if old[i] != now[i] && !changes[path] {
			t.Errorf("the repair makes %q of %q", now[i], old[i])
		}
	}
	for _, b := range before {
		for _, left := range fixed.Findings {
			if b.Fix != nil && count[b.Rule+" "+b.Path] == 1 && left.Rule == b.Rule && left.Path == b.Path {
				t.Errorf("%s at %s is repaired, and still found: %s\n%s", b.Rule, b.Path, left.Message, fixed.Document.Bytes())
			}
		}
	}
}
