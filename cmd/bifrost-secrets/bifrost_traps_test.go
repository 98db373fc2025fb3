package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/watch/bifrost/bifrosttest"
)

// sent is what a provider is shown of a spelling, by versions from one on
// (20000 is 2.0.0) up to the next: after the first start, and after the second,
// which takes the key from the database. Empty is no call at all.
type sent struct {
	from          int
	first, second string
}

// asItStands is the JSON text of the spelling.
const asItStands = "\x00"

// keySpellings are what may stand in a file for a key, and what becomes of it
// where the variable SET is sk-set. Run on 1.4.19, 1.5.0-prerelease7, 1.5.16 and
// 2.0.0-prerelease3.
var keySpellings = []struct {
	literal string
	sent    []sent
}{
	{`null`, []sent{{10400, asItStands, asItStands}}},
	{`12345`, []sent{{10400, asItStands, asItStands}}},
	{`true`, []sent{{10400, asItStands, asItStands}}},
	{`["sk-a"]`, []sent{{10400, asItStands, asItStands}}},
	{`"sk-a\/b"`, []sent{{10400, asItStands, `sk-a\/b`}}},
	{`"sk-\ud83d\ude00x"`, []sent{{10400, asItStands, `sk-\ud83d\ude00x`}}},
	{`"sk-\u003cx\u0026y"`, []sent{{10400, `sk-<x&y`, `sk-<x&y`}}},
	{`"\"quoted\""`, []sent{{10400, `"quoted"`, `quoted`}}},
	{`"\"at the start"`, []sent{{10400, `"at the start`, `at the start`}}},
	{`"env.NOPE"`, []sent{{10400, ``, ``}}},
	{`"env.SET"`, []sent{{10400, `sk-set`, `sk-set`}}},
	{`"env."`, []sent{{10400, ``, ``}}},
	{`"\u0065nv.SET"`, []sent{{10400, `sk-set`, `sk-set`}}},
	{`"ENV.SET"`, []sent{{10400, `ENV.SET`, `ENV.SET`}}},
	{`" env.SET"`, []sent{{10400, ` env.SET`, ` env.SET`}}},
	{`"env.SET "`, []sent{{10400, ``, ``}}},
	{`"${SET}"`, []sent{{10400, `${SET}`, `${SET}`}}},
	{`"Bearer env.SET"`, []sent{{10400, `Bearer env.SET`, `Bearer env.SET`}}},
	{`"env\u002eSET"`, []sent{{10400, `sk-set`, `sk-set`}}},
	{`"vault.a/b"`, []sent{{10400, `vault.a/b`, `vault.a/b`}, {20000, ``, ``}}},
	{`"vault.a\/b#c"`, []sent{{10400, asItStands, `vault.a\/b#c`}}},
	{`{"value":"sk-x","env_var":"","from_env":false}`, []sent{{10400, `sk-x`, `sk-x`}}},
	{`{"value":"sk-x"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-x`, `sk-x`}}},
	{`{"value":"env.SET"}`, []sent{{10400, asItStands, asItStands}, {20000, `env.SET`, `sk-set`}}},
	{`{"value":"env.SET","env_var":"env.SET"}`, []sent{{10400, `sk-set`, `sk-set`}}},
	{`{"value":"","env_var":"env.SET","from_env":true}`, []sent{{10400, ``, `sk-set`}, {10500, `sk-set`, `sk-set`}}},
	{`{"value":"","env_var":"SET","from_env":true}`, []sent{{10400, ``, `SET`}, {20000, `sk-set`, `sk-set`}}},
	{`{"env_var":"SET","from_env":true}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-set`, `sk-set`}}},
	{`{"env_var":"SET"}`, []sent{{10400, asItStands, asItStands}}},
	{`{"ref":"env.SET"}`, []sent{{10400, asItStands, asItStands}}},
	{`{"ref":"env.SET","type":"env"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-set`, `sk-set`}}},
	{`{"ref":"SET","type":"env"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-set`, `SET`}}},
	{`{"value":"","ref":"env.SET","type":"env"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-set`, `sk-set`}}},
	{`{"value":"env.SET","type":"env"}`, []sent{{10400, asItStands, asItStands}, {20000, ``, ``}}},
	{`{"value":"env.SET","type":"plain_text"}`, []sent{{10400, asItStands, asItStands}, {20000, `env.SET`, `sk-set`}}},
	{`{"value":"sk-x","type":"bogus","ref":"env.SET"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-x`, `sk-x`}}},
	{`{"value":"sk-x","ref":"env.SET"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-set`, `sk-set`}}},
	{`{"value":"sk-x","ref":"SET"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-x`, `sk-x`}}},
	{`{"value":"sk-x","ref":"vault.a/b","type":"vault"}`, []sent{{10400, asItStands, asItStands}, {20000, ``, ``}}},
	{`{"Value":"sk-x"}`, []sent{{10400, asItStands, asItStands}}},
	{`{"value":123}`, []sent{{10400, asItStands, asItStands}}},
	{`{"value":"sk-x","type":"ENV","ref":"env.SET"}`, []sent{{10400, asItStands, asItStands}, {20000, `sk-x`, `sk-x`}}},
	{`"sk-end\n"`, []sent{{10400, `sk-end`, `sk-end`}}},
	{`"{\"value\":\"sk-x\"}"`, []sent{{10400, `{"value":"sk-x"}`, `{"value":"sk-x"}`}}},
	{`"********"`, []sent{{10400, `********`, `********`}}},
	{`"<redacted>"`, []sent{{10400, `<redacted>`, `<redacted>`}}},
	{`""`, []sent{{10400, ``, ``}}},
	{`{"type":"service_account","private_key":"x"}`, []sent{{10400, asItStands, asItStands}}},
}

// sentBy returns what a version does, of the lines of a spelling.
func sentBy(all []sent, version int, literal string) (first, second string) {
	for _, s := range all {
		if s.from <= version {
			first, second = s.first, s.second
		}
	}
	return strings.ReplaceAll(first, asItStands, literal), strings.ReplaceAll(second, asItStands, literal)
}

// TestKeySpellings holds lint against what Bifrost was seen to do: a spelling of
// which one version makes something else than another does, or another start, is
// a finding for that version.
func TestKeySpellings(t *testing.T) {
	for _, one := range keySpellings {
		doc, err := walker.Parse("config.json", []byte(`{"providers": {"openai": {"keys": [{"name": "k", "value": `+one.literal+`}]}}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{"1.4.19", "1.5.16", "2.0"} {
			bifrosts, err := lint.ParseVersions(version)
			if err != nil {
				t.Fatal(err)
			}
			newest, _ := sentBy(one.sent, 20000, one.literal)
			first, second := sentBy(one.sent, versionNumber(version), one.literal)
			found := slices.ContainsFunc(lint.Check(doc, lint.Options{Bifrost: bifrosts}), func(f lint.Finding) bool {
				return f.Path == "providers.openai.keys[0].value"
			})
			if (first != second || first != newest) && !found && !strings.HasPrefix(one.literal, `"vault.`) {
				t.Errorf("%s: Bifrost %s sends %q, and then %q, and lint says nothing", one.literal, version, first, second)
			}
		}
	}
}

// versionNumber returns 20000 for v2.0.0-prerelease3.
func versionNumber(text string) int {
	var v [3]int
	_, _ = fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d.%d", &v[0], &v[1], &v[2])
	return v[0]*10000 + v[1]*100 + v[2]
}

func testBifrostSpellings(t *testing.T) {
	s := newRealHarness(t)
	var literals []string
	for _, one := range keySpellings {
		literals = append(literals, one.literal)
	}
	s.write(``, literals...)
	s.copyConfig()
	for start := range 2 {
		b := s.start([]string{"SET=sk-set"})
		version := versionNumber(b.version())
		for i, one := range keySpellings {
			var want string
			if first, second := sentBy(one.sent, version, one.literal); start == 0 {
				want = first
			} else {
				want = second
			}
			s.provider.forget()
			b.chat(i)
			got, called := strings.CutPrefix(s.provider.lastChat(), "Bearer ")
			if !called {
				got = ""
			}
			if got != want {
				t.Errorf("start %d: of %s the provider saw %q, want %q", start+1, one.literal, got, want)
			}
		}
		b.end()
	}
}

// end ends Bifrost, which is allowed to fail in it: 2.0 sometimes panics there.
func (b *bifrost) end() {
	b.realHarness.t.Helper()
	_ = b.cmd.Process.Signal(os.Interrupt)
	<-b.ended
}

// file makes Bifrost's own config: one key of the provider, and more members.
func (s *realHarness) file(name, value, more string) {
	s.t.Helper()
	s.put(filepath.Join(s.home, "config.json"), fmt.Sprintf(`{"$schema": "https://www.getbifrost.ai/schema", "framework": %s, %s
		"providers": {"openai": {"keys": [{"name": %q, "value": %q, "models": ["model-0"], "weight": 1}], "network_config": {"base_url": %q}}}}`,
		bifrosttest.Framework(s.provider.url), more, name, value, s.provider.url))
}

// testBifrostBadFiles has which files Bifrost starts on: all but those that are
// no JSON or have the wrong types, in every version.
func testBifrostBadFiles(t *testing.T) {
	for name, test := range map[string]struct {
		edit   func(string) string
		starts bool
	}{
		"an unknown member": {func(text string) string { return `{"nonsense": {"a": 1},` + text[1:] }, true},
		"no $schema":        {func(text string) string { return strings.Replace(text, "$schema", "$sch", 1) }, true},
		"empty":             {func(string) string { return "" }, false},
		"cut off":           {func(text string) string { return text[:len(text)/2] }, false},
		"more behind it":    {func(text string) string { return text + "x" }, false},
		"a wrong type":      {func(string) string { return `{"providers": {"openai": {"keys": "none"}}}` }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRealHarness(t)
			s.file("k", bifrostKey, "")
			s.put(filepath.Join(s.home, "config.json"), test.edit(string(s.read("config.json"))))
			b := s.launch(nil)
			if got := b.healthy(); got != test.starts {
				t.Fatalf("it starts: %v, want %v", got, test.starts)
			}
			if test.starts {
				b.wantKey(0, bifrostKey)
				b.end()
			}
		})
	}
}

// testBifrostEncryptionKey shows why an encryption_key must not change.
func testBifrostEncryptionKey(t *testing.T) {
	s := newRealHarness(t)
	const member = `"encryption_key": "a passphrase of some length %d",`
	s.file("k", bifrostKey, fmt.Sprintf(member, 1))
	b := s.start(nil)
	b.wantKey(0, bifrostKey)
	b.end()
	s.file("k", bifrostKey, fmt.Sprintf(member, 2))
	if b := s.launch(nil); b.healthy() {
		t.Error("it starts with another encryption_key")
	}
}

// testBifrostStoreOff shows what a config store that is off takes away.
func testBifrostStoreOff(t *testing.T) {
	for more, starts := range map[string]bool{
		``: true,
		`"auth_config": {"admin_username": "admin", "admin_password": "pass-0001", "is_enabled": true},`:                    false,
		`"governance": {"virtual_keys": [{"id": "vk-1", "name": "team", "value": "sk-bf-0123456789", "is_active": true}]},`: false,
	} {
		s := newRealHarness(t)
		s.file("k", bifrostKey, `"config_store": {"enabled": false},`+more)
		b := s.launch(nil)
		if got := b.healthy(); got != starts {
			t.Fatalf("without a store, and with %q: it starts: %v, want %v", more, got, starts)
		}
		if starts {
			b.wantKey(0, bifrostKey)
			if status, _ := b.ask(http.MethodGet, "/api/config", nil); status != http.StatusOK {
				t.Errorf("its API, which nothing guards, answers %d", status)
			}
			b.end()
		}
	}
}

// ask calls the management API.
func (b *bifrost) ask(method, path string, body any) (status int, answer []byte) {
	b.realHarness.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.realHarness.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.realHarness.t.Context(), method, b.url+path, strings.NewReader(string(text)))
	if err != nil {
		b.realHarness.t.Fatal(err)
	}
	resp, err := bifrostClient.Do(req)
	if err != nil {
		b.fatal("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out json.RawMessage
	_ = json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

// testBifrostTruth has whose key counts at a start: the file's, if the file says
// so and the version knows that; else that of the API until the file changes. A
// key that was renamed stays beside its successor.
func testBifrostTruth(t *testing.T) {
	for _, truth := range []string{"", "split", "config.json", "nonsense"} {
		t.Run(truth, func(t *testing.T) {
			s := newRealHarness(t)
			more := ""
			if truth != "" {
				more = fmt.Sprintf(`"source_of_truth": %q,`, truth)
			}
			s.file("k", "sk-file-0001", more)
			b := s.start(nil)
			version := versionNumber(b.version())
			wins := truth == "config.json" && version >= 10516
			b.wantKey(0, "sk-file-0001")
			if version < 10500 {
				t.Skip("its API has keys inside of providers: see the tests of watch/bifrost")
			}
			_, list := b.ask(http.MethodGet, "/api/providers/openai/keys", nil)
			var keys struct{ Keys []map[string]any }
			if err := json.Unmarshal(list, &keys); err != nil || len(keys.Keys) != 1 {
				t.Fatalf("the keys are %s: %v", list, err)
			}
			keys.Keys[0]["value"] = "sk-pushed-0002"
			if status, answer := b.ask(http.MethodPut, fmt.Sprintf("/api/providers/openai/keys/%s", keys.Keys[0]["id"]), keys.Keys[0]); status != http.StatusOK {
				t.Fatalf("a push is answered with %d: %s", status, answer)
			}
			b.wantKey(0, "sk-pushed-0002")
			b.end()

			b = s.start(nil)
			if wins {
				b.wantKey(0, "sk-file-0001")
			} else {
				b.wantKey(0, "sk-pushed-0002")
			}
			b.end()

			s.file("renamed", "sk-renamed-0003", more)
			b = s.start(nil)
			s.provider.forget()
			for range 20 {
				b.chat(0)
			}
			b.end()
			got := slices.Contains(s.provider.seen(), "Bearer sk-pushed-0002")
			if got == wins {
				t.Errorf("after the key was renamed, the old one is used: %v; the provider saw %q", got, s.provider.seen())
			}
		})
	}
}
