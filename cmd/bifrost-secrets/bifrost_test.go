package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// TestBifrost renders, starts the Bifrost that BIFROST_BIN names on what came
// out, and looks at the key that reaches a provider. See realHarness for the rest.
func TestBifrost(t *testing.T) {
	if os.Getenv("BIFROST_BIN") == "" {
		t.Skip("BIFROST_BIN is not set: these tests start a real Bifrost; name its binary there to run them")
	}
	t.Run("inline", testBifrostInline)
	t.Run("env", testBifrostEnv)
	t.Run("hard values inline", testBifrostHardInline)
	t.Run("hard values by a docker env file", testBifrostHardDocker)
	t.Run("hard values by a shell env file", testBifrostHardShell)
	t.Run("rotation inline", testBifrostRotationInline)
	t.Run("rotation env", testBifrostRotationEnv)
	t.Run("encrypted database and virtual key", testBifrostEncrypted)
	t.Run("not rendered", testBifrostNotRendered)
	t.Run("references in its database", testBifrostDatabase)
	t.Run("references in its encrypted database", testBifrostDatabaseEncrypted)
	t.Run("the hash beside a value", testBifrostHash)
	t.Run("plaintext in its database", testBifrostStoreRows)
	t.Run("nothing happens, and it restarts", testBifrostIdle)
	t.Run("spellings", testBifrostSpellings)
	t.Run("bad files", testBifrostBadFiles)
	t.Run("another encryption_key", testBifrostEncryptionKey)
	t.Run("no config store", testBifrostStoreOff)
	t.Run("source of truth", testBifrostTruth)
	t.Run("password command", testBifrostPasswordCommand)
}

const (
	bifrostKey    = "sk-canary-0123456789"
	bifrostNewKey = "sk-rotated-9876543210"
)

// plainHarness has one key, which stands alone in its secret.
func plainHarness(t *testing.T) *realHarness {
	s := newRealHarness(t)
	s.secret("openai/key", bifrostKey+"\n")
	s.write(``, `"vault.openai/key"`)
	return s
}

func testBifrostInline(t *testing.T) {
	s := plainHarness(t)
	s.render()
	b := s.start(nil)
	b.wantKey(0, bifrostKey)
	b.stop()
	if held := s.holders(bifrostKey); !slices.Contains(held, "config.json") {
		t.Errorf("the files that hold the value are %q, without the config.json", held)
	}
}

func testBifrostEnv(t *testing.T) {
	s := plainHarness(t)
	s.renderEnv("docker")
	b := s.start(s.dockerEnv())
	b.wantKey(0, bifrostKey)
	s.wantHeldByNone(bifrostKey) // the database has its journal beside it now
	b.stop()
	s.wantHeldByNone(bifrostKey)
	// The same search does find what has to be there.
	for _, name := range []string{"config.json", "config.db"} {
		if held := s.holders("env.BIFROST_SECRET_"); !slices.Contains(held, name) {
			t.Errorf("the files that hold the name of the variable are %q, without %s", held, name)
		}
	}
}

// hardValues are keys that have to arrive as they are, by any way.
var hardValues = []struct{ literal, secret, value string }{
	{`"vault.hard/text"`, "hard/text", `a\b"c/d<e>&é😀'f`},
	{`"vault.hard/shell"`, "hard/shell", "$HOME `id` $(id) \\n %41 # !"},
	{`"vault.hard/spaces"`, "hard/spaces", "sk two  words"},
	{`"vault.hard/null"`, "hard/null", "null"},
	{`"vault.hard/number"`, "hard/number", "12345"},
	{`"vault.hard/json"`, "hard/json", `{"value":"x","env_var":"y"}`},
	{`{"value":"","ref":"vault.hard/object#a.b#c","type":"vault"}`, "", `the "object" form`},
	{`"vault.hard\/object#a.b#c"`, "", `the "object" form`},
	// No references, but spellings that Bifrost misreads.
	{`"sk-a\/b"`, "", "sk-a/b"},
	{`"sk-\ud83d\ude00x"`, "", "sk-😀x"},
	{`{"value":"sk-literal"}`, "", "sk-literal"},
}

func hardHarness(t *testing.T) *realHarness {
	s := newRealHarness(t)
	s.secret("hard/object", `{"a":{"b#c":"wrong"},"a.b#c":"the \"object\" form"}`)
	var literals []string
	for _, v := range hardValues {
		literals = append(literals, v.literal)
		if v.secret != "" {
			s.secret(v.secret, v.value)
		}
	}
	s.write(``, literals...)
	return s
}

func wantHardValues(b *bifrost) {
	for i, v := range hardValues {
		b.wantKey(i, v.value)
	}
}

func testBifrostHardInline(t *testing.T) {
	s := hardHarness(t)
	s.render()
	// The second start takes the keys from the database.
	for range 2 {
		b := s.start(nil)
		wantHardValues(b)
		b.stop()
	}
}

func testBifrostHardDocker(t *testing.T) {
	s := hardHarness(t)
	s.renderEnv("docker")
	b := s.start(s.dockerEnv())
	wantHardValues(b)
	b.stop()
	s.wantHeldByNone(hardValues[0].value)
}

func testBifrostHardShell(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("there is no /bin/sh")
	}
	s := hardHarness(t)
	s.renderEnv("shell")
	b := s.start(nil, "/bin/sh", "-c", `. "$0" && exec "$@"`, s.envFile)
	wantHardValues(b)
	b.stop()
	s.wantHeldByNone(hardValues[0].value)
}

func testBifrostRotationInline(t *testing.T) {
	s := plainHarness(t)
	s.render()
	b := s.start(nil)
	b.wantKey(0, bifrostKey)
	b.stop()

	s.secret("openai/key", bifrostNewKey)
	s.render()
	s.provider.forget()
	b = s.start(nil)
	b.wantKey(0, bifrostNewKey)
	b.stop()
	s.wantOnly(bifrostNewKey)
}

func testBifrostRotationEnv(t *testing.T) {
	s := plainHarness(t)
	s.renderEnv("docker")
	b := s.start(s.dockerEnv())
	b.wantKey(0, bifrostKey)
	b.stop()
	before := s.read("config.json")

	s.secret("openai/key", bifrostNewKey)
	s.renderEnv("docker")
	if after := s.read("config.json"); !bytes.Equal(before, after) {
		t.Errorf("the rotation changed the config.json from\n%s\nto\n%s", before, after)
	}
	s.provider.forget()
	b = s.start(s.dockerEnv())
	b.wantKey(0, bifrostNewKey)
	b.stop()
	s.wantOnly(bifrostNewKey)
	s.wantHeldByNone(bifrostKey)
	s.wantHeldByNone(bifrostNewKey)
}

// testBifrostEncrypted shows that the encryption_key is the same for Bifrost in
// both modes: what was written under it by one is read by the other. It has the
// virtual key as well, since Bifrost below 1.6.3 keeps that one's value in its
// database in env mode too, and encryption alone hides it.
func testBifrostEncrypted(t *testing.T) {
	const virtualKey, passphrase = "sk-bf-canary-0123456789", "a passphrase of some length: 0123456789"
	s := newRealHarness(t)
	s.secret("all", `{"openai": "`+bifrostKey+`", "virtual": "`+virtualKey+`", "passphrase": "`+passphrase+`"}`)
	s.write(`"encryption_key": "vault.all#passphrase",
  "governance": {"virtual_keys": [{
    "id": "vk-1", "name": "team", "value": "vault.all#virtual", "is_active": true,
    "provider_configs": [{"provider": "openai", "weight": 1, "allowed_models": ["model-0"], "key_ids": ["*"]}]
  }]},`, `"vault.all#openai"`)

	use := func(env []string) {
		t.Helper()
		b := s.start(env)
		b.header = http.Header{"X-Bf-Vk": {virtualKey}}
		b.wantKey(0, bifrostKey)
		b.header = http.Header{"X-Bf-Vk": {"sk-bf-unknown"}}
		if status, body := b.chat(0); status == http.StatusOK {
			t.Errorf("an unknown virtual key was let in: %s", body)
		}
		b.stop()
	}
	s.render()
	use(nil)
	for _, value := range []string{bifrostKey, virtualKey, passphrase} {
		if held := s.holders(value); !slices.Equal(held, []string{"config.json"}) {
			t.Errorf("inline, the files that hold %s are %q", value, held)
		}
	}
	s.renderEnv("docker")
	use(s.dockerEnv())
	for _, value := range []string{bifrostKey, virtualKey, passphrase} {
		s.wantHeldByNone(value)
	}
}

// testBifrostNotRendered is why this program exists.
func testBifrostNotRendered(t *testing.T) {
	s := plainHarness(t)
	s.copyConfig()
	b := s.start(nil)
	status, body := b.chat(0)
	got := s.provider.seen()
	version := b.version()
	b.stop()
	t.Logf("Bifrost %s: status %d, and the provider saw %q", version, status, got)
	var major, minor int
	_, err := fmt.Sscanf(version, "v%d.%d", &major, &minor)
	if err == nil && major == 1 && minor < 6 {
		s.wantOnly("vault.openai/key")
		return
	}
	// From 1.6 on the reference becomes an empty key.
	if slices.Contains(got, "Bearer "+bifrostKey) {
		t.Errorf("this Bifrost resolves the reference by itself: %s", body)
	}
}

// chat asks for the model that only the key of that number serves.
func (b *bifrost) chat(key int) (status int, body []byte) {
	b.realHarness.t.Helper()
	ask := fmt.Sprintf(`{"model":"openai/model-%d","messages":[{"role":"user","content":"ping"}]}`, key)
	req, err := http.NewRequestWithContext(b.realHarness.t.Context(), http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader(ask))
	if err != nil {
		b.realHarness.t.Fatal(err)
	}
	if b.header != nil {
		req.Header = b.header.Clone()
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := bifrostClient.Do(req)
	if err != nil {
		b.fatal("no answer to a chat: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		b.fatal("no whole answer to a chat: %v", err)
	}
	return resp.StatusCode, body
}

// wantKey asks for the model of a key and looks at what reached the provider.
func (b *bifrost) wantKey(key int, want string) {
	b.realHarness.t.Helper()
	status, body := b.chat(key)
	if status != http.StatusOK {
		b.fatal("a chat with key %d, %s: status %d: %s", key, want, status, body)
	}
	if got := b.realHarness.provider.lastChat(); got != "Bearer "+want {
		b.realHarness.t.Errorf("key %d: the provider saw %q, want %q", key, got, "Bearer "+want)
	}
}

// version is what Bifrost says of itself, such as v1.4.19.
func (b *bifrost) version() string {
	b.realHarness.t.Helper()
	resp, err := bifrostClient.Get(b.url + "/api/version")
	if err != nil {
		b.fatal("no version: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v string
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		b.realHarness.t.Logf("the version cannot be read: %v", err)
	}
	return v
}

// wantHeldByNone looks for a value in all that Bifrost was given and wrote.
func (s *realHarness) wantHeldByNone(value string) {
	s.t.Helper()
	if held := s.holders(value); len(held) > 0 {
		s.t.Errorf("the value %s stands in %q", value, held)
	}
}

// wantOnly checks that the provider was shown this key and no other one.
func (s *realHarness) wantOnly(key string) {
	s.t.Helper()
	for _, got := range s.provider.seen() {
		if got != "Bearer "+key {
			s.t.Errorf("the provider saw %q, want %q alone", got, "Bearer "+key)
		}
	}
}

// write makes the config with references: one key of the provider for each
// JSON literal, and more members at the top.
func (s *realHarness) write(more string, literals ...string) {
	s.t.Helper()
	var keys []string
	for i, literal := range literals {
		keys = append(keys, fmt.Sprintf(`{"name": "key-%d", "value": %s, "models": ["model-%d"], "weight": 1}`, i, literal, i))
	}
	doc := fmt.Sprintf(`{
  "$schema": "https://www.getbifrost.ai/schema",
  %s
  "framework": %s,
  "providers": {"openai": {
    "keys": [
      %s
    ],
    "network_config": {"base_url": %q}
  }},
  "config_store": {
    "enabled": true, %s,
    "vault_store": {"enabled": true, "type": "file", "file": {"path": "secrets"}}
  }
}`, more, bifrosttest.Framework(s.provider.url), strings.Join(keys, ",\n      "), s.provider.url, cmp.Or(s.store, fmt.Sprintf(`"type": "sqlite", "config": {"path": %q}`, filepath.Join(s.home, "config.db"))))
	s.put(s.config, doc)
}
