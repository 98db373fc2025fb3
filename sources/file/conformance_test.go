package file

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/internal/sourcetest"
)

const local = "there is no server: a file is there or it is not"

// lacks is what a directory does not have.
func lacks(more map[sourcetest.Ability]string) map[sourcetest.Ability]string {
	all := map[sourcetest.Ability]string{
		sourcetest.Lying: local, sourcetest.Naming: local, sourcetest.Throttling: local, sourcetest.Hanging: local, sourcetest.Breaking: local, sourcetest.Proxied: local, sourcetest.Counting: local,
		sourcetest.Expiring:     "an age identity does not expire",
		sourcetest.Rotation:     "nothing rotates a file by itself",
		sourcetest.VersionCount: "a file has one version",
		sourcetest.Recovery:     "what is deleted is gone",
		sourcetest.WriteDenial:  "file modes do not stop root: see TestWriteDenied",
	}
	for ability, reason := range more {
		all[ability] = reason
	}
	return all
}

// startAt returns the backend of a path.
func startAt(t *testing.T, settings map[string]string, o sources.Options, seed func(name, text string)) *sourcetest.Backend {
	t.Helper()
	again := func() sources.Source {
		set := sources.Settings{}
		for key, text := range settings {
			set[key] = sources.NewSecret([]byte(text))
		}
		s, err := Backend.Open(t.Context(), set, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return &sourcetest.Backend{Source: again(), Again: again, Seed: seed, Metadata: func() string {
		path := settings["path"]
		all := ""
		for _, path := range append(files(t, filepath.Join(path, marksFolder), ""), filepath.Join(path, lockSuffix)) {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			all += path + "\n" + string(b)
		}
		return all
	}}
}

func TestDirectoryConformance(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, o sources.Options, settings map[string]string, encrypt func(string) string, suffix string) *sourcetest.Backend {
		dir := t.TempDir()
		settings["path"] = dir
		b := startAt(t, settings, o, func(name, text string) {
			replace(t, filepath.Join(dir, filepath.FromSlash(name))+suffix, encrypt(text))
		})
		b.SeedBinary = func(name string, bytes []byte) { b.Seed(name, string(bytes)) }
		return b
	}
	setup := sourcetest.Setup{
		Lacks:    lacks(map[sourcetest.Ability]string{}),
		Names:    []string{"x", strings.Repeat("n", 200), "a/b/c/d", "with space#é.v1?*", "a.b|c", `back\slash"quote`, "-r", "~", "$HOME", "%2e"},
		BadNames: []string{"", ".", "..", "../x", "/x", "a//b", "a/", "a/../b", "..hidden", "a/..hidden", ".bifrost-secrets/x", "nul\x00"},
		Foreign:  []string{".dockerconfigjson", "a/.hidden", ".a/b"},
	}
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		s := setup
		s.Column = "files"
		s.Lacks = lacks(map[sourcetest.Ability]string{sourcetest.Denial: "file modes do not stop root: see TestDenied"})
		s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
			return start(t, o, map[string]string{}, func(s string) string { return s }, "")
		}
		sourcetest.Run(t, s)
	})
	t.Run("encrypted", func(t *testing.T) {
		t.Parallel()
		s := setup
		key, to := newIdentity(t)
		_, toOthers := newIdentity(t)
		s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
			b := start(t, o, map[string]string{"identity": key}, to, ".age")
			dir := b.Source.(interface{ Inputs() []string }).Inputs()[0]
			b.Deny = func(name string) { replace(t, filepath.Join(dir, name)+".age", toOthers("x")) }
			return b
		}
		sourcetest.Run(t, s)
	})
}

func TestDocumentConformance(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, o sources.Options, settings map[string]string, encrypt func(string) string) *sourcetest.Backend {
		settings["path"] = filepath.Join(t.TempDir(), "secrets.json")
		save := func(all map[string]json.RawMessage) {
			b, err := json.MarshalIndent(all, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			replace(t, settings["path"], encrypt(string(b)))
		}
		save(map[string]json.RawMessage{})
		seed := func(texts map[string]string) {
			raw, err := os.ReadFile(settings["path"])
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]json.RawMessage
			if err := json.Unmarshal(decrypted(t, raw, settings["identity"]), &all); err != nil {
				t.Fatal(err)
			}
			for name, text := range texts {
				if all[name], err = json.Marshal(text); err != nil {
					t.Fatal(err)
				}
			}
			save(all)
		}
		b := startAt(t, settings, o, func(name, text string) { seed(map[string]string{name: text}) })
		b.SeedAll = seed
		return b
	}
	setup := sourcetest.Setup{
		Lacks: map[sourcetest.Ability]string{
			sourcetest.Lying: local, sourcetest.Naming: local, sourcetest.Throttling: local, sourcetest.Hanging: local, sourcetest.Breaking: local, sourcetest.Proxied: local, sourcetest.Counting: local,
			sourcetest.Expiring: "an age identity does not expire",
			sourcetest.Binary:   "JSON is text",
			sourcetest.Denial:   "a file may be read whole or not at all: see TestDenied",
			sourcetest.Writing:  "a JSON file is read and never written: a directory is",
		},
		Names:    []string{"x", strings.Repeat("n", 2000), "a/b", "a.b", "a*b?", "@this", "#", "0", "-1", ":1", `back\slash"quote`, "é\U0001f511", "with space", "..", "a|b", "!x", "{x}"},
		BadNames: []string{""},
	}
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		s := setup
		s.Column = "JSON file"
		s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
			return start(t, o, map[string]string{}, func(s string) string { return s })
		}
		sourcetest.Run(t, s)
	})
	t.Run("encrypted", func(t *testing.T) {
		t.Parallel()
		s := setup
		key, to := newIdentity(t)
		s.Start = func(t *testing.T, o sources.Options) *sourcetest.Backend {
			return start(t, o, map[string]string{"identity": key}, func(s string) string { return armored(t, to(s)) })
		}
		sourcetest.Run(t, s)
	})
}

// decrypted returns what an armored file holds, and any other as it is.
func decrypted(t *testing.T, raw []byte, key string) []byte {
	t.Helper()
	if key == "" {
		return raw
	}
	identity, err := age.ParseX25519Identity(key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := age.Decrypt(armor.NewReader(bytes.NewReader(raw)), identity)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replace puts a file in place as people should: by a rename.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	aside := filepath.Join(filepath.Dir(path), ".aside")
	if err := os.WriteFile(aside, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	// The clock of a file system may be coarser than two writes of a test.
	at := time.Now()
	if info, err := os.Stat(path); err == nil && !at.After(info.ModTime().Add(time.Millisecond)) {
		at = info.ModTime().Add(time.Millisecond)
	}
	if err := os.Chtimes(aside, at, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
}
