package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What tells one vault_store from another is what was parsed: a file that is
// replaced just then is another one at the next look.
func TestStoreDigest(t *testing.T) {
	dir := t.TempDir()
	config, block := filepath.Join(dir, "config.json"), filepath.Join(dir, "vault.json")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one, two = `{"type":"file","file":{"path":"a"}}`, `{"type":"file","file":{"path":"b"}}`
	write(config, `{}`)
	read := func(text string) *job {
		t.Helper()
		write(block, text)
		j := &job{p: &program{}, config: config, vaultStore: block, mode: "inline", awsBatch: "auto", timeout: 1}
		if err := j.read(); err != nil {
			t.Fatal(err)
		}
		return j
	}
	first := read(one).store.Digest()
	j := read(one)
	write(block, two)
	if got := j.store.Digest(); got != first {
		t.Error("the digest is of a file that was not parsed")
	}
	if read(two).store.Digest() == first {
		t.Error("two blocks have one digest")
	}
	write(config, `{"config_store":{"vault_store":`+one+`}}`)
	j = read(two)
	j.vaultStore = ""
	if err := j.read(); err != nil {
		t.Fatal(err)
	}
	if j.store.Digest() == read(two).store.Digest() {
		t.Error("the document's block and the file's have one digest")
	}
}
