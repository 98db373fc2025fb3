package service

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
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
	flags := &Flags{Config: config, VaultStore: block, Mode: "inline", Timeout: time.Minute}
	load := func(f *Flags) *Loaded {
		t.Helper()
		l, err := f.Read(t.Context(), &Host{})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	read := func(text string) *Loaded {
		t.Helper()
		write(block, text)
		return load(flags)
	}
	first := read(one).Store.Digest()
	j := read(one)
	write(block, two)
	if got := j.Store.Digest(); got != first {
		t.Error("the digest is of a file that was not parsed")
	}
	if read(two).Store.Digest() == first {
		t.Error("two blocks have one digest")
	}
	write(config, `{"config_store":{"vault_store":`+one+`}}`)
	own := *flags
	own.VaultStore = ""
	j = load(&own)
	if j.Store.Digest() == read(two).Store.Digest() {
		t.Error("the document's block and the file's have one digest")
	}
}

// A file system that does not answer is waited for as long as a backend.
func TestReadingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		flags := &Flags{Timeout: time.Minute}
		read := func() (int, error) { <-never; return 1, nil }
		bounded, end := flags.patience(ctx)
		defer end()
		if _, err := awaited(bounded, "c.json", fileHint, read); err == nil || err.Error() != "c.json: cannot be read: no answer within 1m0s (--timeout)" {
			t.Errorf("got %v", err)
		}
		time.AfterFunc(time.Second, cancel)
		if _, err := awaited(ctx, "c.json", fileHint, read); err == nil || err.Error() != "c.json: cannot be read: interrupted" {
			t.Errorf("got %v", err)
		}
		close(never)
	})
}
