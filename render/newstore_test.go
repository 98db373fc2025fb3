package render_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/sources"
	"bifrost-secrets/walker"
)

// A block goes into every config that has none, as one member more of its
// config_store; every other byte stays.
func TestWithBlock(t *testing.T) {
	texts := []string{
		`{}`, " \n{\n}\n", `{"config_store": {}}`, `{"config_store":{"enabled":true}}`, "{\"Config_Store\": {\n\t\"enabled\": true ,\r\n\t\"type\": \"sqlite\"\r\n} }",
		`{"config_store": {"enabled": false}, "config_store": {"enabled": true, "a": {"b": ["}"]}}}`, `{"a": "{", "config_store": { "type": "sqlite" } }`,
	}
	files, err := filepath.Glob("../walker/lint/testdata/*/*.json")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	block := render.NewBlock(sources.File, true)
	tried := 0
	for _, text := range texts {
		doc, err := walker.Parse("config.json", []byte(text))
		if err != nil || len(doc.Members("config_store", "vault_store")) > 0 {
			continue
		}
		tried++
		with, member, err := render.WithBlock(doc, block)
		if err != nil {
			if !strings.Contains(err.Error(), "not an object") {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		again, err := walker.Parse("config.json", with)
		if err != nil {
			t.Fatalf("%s becomes %s: %v", text, with, err)
		}
		store, err := render.StoreFromDocument(again)
		if err != nil || store == nil || store.Type != "file" || store.AccessMode != render.ReadAndWrite {
			t.Errorf("%s becomes %s: %+v %v", text, with, store, err)
		}
		before, after, _ := bytes.Cut(with, member)
		before = bytes.TrimRight(before, " \t\r\n")
		if kept := string(bytes.TrimSuffix(before, []byte(","))); !strings.HasPrefix(text, kept) || !strings.HasSuffix(text, string(after)) || len(strings.TrimSpace(text[len(kept):len(text)-len(after)])) > 0 {
			t.Errorf("%s becomes %s", text, with)
		}
	}
	if tried < 100 {
		t.Errorf("%d documents have no block", tried)
	}
}
