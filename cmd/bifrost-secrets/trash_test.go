package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/file"

	"filippo.io/age"
)

// What goes into the trash comes back as it was, for the recipients alone; what
// cannot go there whole leaves nothing there.
func TestTrash(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	if err := os.Mkdir(secrets, 0o700); err != nil {
		t.Fatal(err)
	}
	open := func(identity string) sources.Store {
		settings := sources.Settings{"path": sources.NewSecret([]byte(secrets))}
		if identity != "" {
			settings["identity"] = sources.NewSecret([]byte(identity))
		}
		s, err := file.Backend.Open(t.Context(), settings, sources.Options{Getenv: os.LookupEnv, Warn: func(string) {}, Write: true})
		if err != nil {
			t.Fatal(err)
		}
		return s.(sources.Store)
	}
	names := map[string]string{
		"a": canary("a") + "\n",
		"it's/a long" + strings.Repeat("/ünd", 40): canary("b"),
		"binary": "\x00\xff" + canary("c"),
	}
	store := open(id.String())
	var all []trashed
	for name, value := range names {
		if _, err := store.Put(t.Context(), sources.Write{Name: name, Value: sources.NewSecret([]byte(value)), Mark: sources.Mark{Owner: "gw", Path: "p[0]"}, Token: sources.NewToken()}); err != nil {
			t.Fatal(err)
		}
		all = append(all, trashed{name, "p[0]"})
	}
	bin := filepath.Join(dir, "bin")
	left := func() []string {
		found, err := filepath.Glob(filepath.Join(bin, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	// The store's own recipients.
	kept := trash{dir: bin}
	folder, err := kept.keep(context.Background(), store, "--config config.json", "gw", all)
	if err != nil || len(left()) != 4 {
		t.Fatalf("%v %v", left(), err)
	}
	page, err := os.ReadFile(filepath.Join(folder, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	m := marked(canary("a"), canary("b"), canary("c"))
	if found := m.in(page); found != "" || strings.Count(string(page), "secret put") != 3 || !strings.Contains(string(page), `secret put 'it'\''s/a long`) {
		t.Errorf("%q is in the page:\n%s", found, page)
	}
	seen := map[string]bool{}
	for _, path := range left() {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
		content, err := os.ReadFile(path)
		if err != nil || m.in(content) != "" {
			t.Errorf("%s holds a value: %v", path, err)
		}
		if !strings.HasSuffix(path, ".age") {
			continue
		}
		out, err := age.Decrypt(bytes.NewReader(content), id)
		if err != nil {
			t.Fatal(err)
		}
		value, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(value)] = true
	}
	for name, value := range names {
		if !seen[value] {
			t.Errorf("%s cannot be brought back", name)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	// What cannot be kept.
	if err := os.RemoveAll(bin); err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "file"), "")
	for want, c := range map[string]struct {
		trash trash
		store sources.Store
		names []trashed
	}{
		"cannot be read for the trash": {kept, open(other.String()), all},
		`"none" cannot be read`:        {kept, store, append([]trashed{{"none", ""}}, all...)},
		"has no recipients":            {kept, open(""), all},
		"--trash-recipients cannot be": {trash{dir: bin, recipients: "age1nonsense"}, store, all},
		"holds an identity":            {trash{dir: bin, recipients: id.String()}, store, all},
		"lies in":                      {trash{dir: filepath.Join(secrets, "bin")}, store, all},
		"--trash: ":                    {trash{dir: filepath.Join(dir, "file", "bin")}, store, all},
	} {
		folder, err := c.trash.keep(context.Background(), c.store, "--config config.json", "gw", c.names)
		if err == nil || folder != "" || !strings.Contains(err.Error(), want) || len(left()) != 0 {
			t.Errorf("%s: %q %v, left are %v", want, folder, err, left())
		}
		if found := m.in([]byte(err.Error())); found != "" || strings.Contains(err.Error(), id.String()) {
			t.Errorf("%s: an error says %q", want, found)
		}
	}
	// Every write fails once.
	for n := range len(all) + 1 {
		at := 0
		full := trash{dir: bin, write: func(path string, content []byte) error {
			if at++; at == n+1 {
				return errors.New("no space left on device")
			}
			return putFile(path, content)
		}}
		folder, err := full.keep(context.Background(), store, "--config config.json", "gw", all)
		if err == nil || folder != "" || !strings.Contains(err.Error(), "no space left on device; nothing was changed") {
			t.Errorf("write %d failed: %q %v", n, folder, err)
		}
		if entries, err := os.ReadDir(bin); err != nil || len(entries) != 0 {
			t.Errorf("write %d failed: left are %v, %v", n, entries, err)
		}
	}
	if _, err := os.Stat(filepath.Join(secrets, "bin")); err == nil {
		t.Error("a folder was made among the secrets")
	}
}
