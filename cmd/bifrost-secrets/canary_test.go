package main

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/render"
	"bifrost-secrets/walker"
)

// canary returns a value for a secret, another one for each label. It has
// characters that encoders spell in ways of their own.
func canary(label string) string {
	sum := sha256.Sum256([]byte(label))
	return "CANARY" + base32.StdEncoding.EncodeToString(sum[:15]) + `"\é<&%+ /` + base32.StdEncoding.EncodeToString(sum[15:30])
}

// plainCanary is one for places that take letters and digits only.
func plainCanary(label string) string {
	sum := sha256.Sum256([]byte(label))
	return "CANARY" + base32.StdEncoding.EncodeToString(sum[:25])
}

// quoted spells a value in JSON.
func quoted(value string) string { return string(must(json.Marshal(value))) }

// leak is one situation in which secrets are at hand.
type leak struct {
	name    string
	config  string
	files   map[string]string // beside the config
	env     []string
	flags   []string
	secrets []string // what must not be seen
	fails   bool     // render must fail
	first   int      // run only so many of the commands, which say most of what there is to say
}

// canaryCommands are what is run in each situation: every command that handles
// secrets, for people and for programs, and with all detail.
var canaryCommands = [][]string{
	{"ping", "--json", "--verbose"},
	{"render", "--out", "out.json", "--json", "--verbose"},
	{"lint", "--online", "--trust-config", "--verbose"},
	{"render", "--out", "env.json", "--mode", "env", "--env-file", "out.env"},
	{"explain"},
	{"explain", "--fetch", "--json", "--verbose"},
	{"lint", "--diff"},
	{"lint", "--online", "--trust-config", "--format", "sarif"},
	{"secret", "get", "a", "--verbose"},
	{"secret", "get", "o", "--json"},
	{"secret", "list", "--json", "--verbose"},
}

// A new command has to be tried too.
func TestCanaryCommands(t *testing.T) {
	tried := map[string]bool{
		"version": true, "help": true, "completion": true, // which read nothing
		"attach": true, "detach": true, // which need a database: testdata/postgres looks for it
		"flush": true, "status": true, "health": true, // which have a token only: control.txtar looks for it
		"exec": true, "watch": true, // TestCanaryExec, TestCanaryWatch
	}
	for _, command := range slices.Concat(canaryCommands, writingCommands) {
		tried[command[0]] = true
	}
	for _, command := range (&program{}).root(nil).Commands() {
		if !tried[command.Name()] {
			t.Errorf("no canary is taken into %s", command.Name())
		}
	}
}

// arguments of a command in a situation; none where it has no place there.
func (l leak) arguments(command []string) []string {
	if command[0] != "lint" {
		return slices.Concat(command, []string{"--config", "config.json"}, l.flags)
	}
	if slices.Contains(l.flags, "--timeout") {
		return nil // it would wait for longer than a test should
	}
	return append(slices.Clone(command), "config.json")
}

// try runs all commands in a situation and looks for the secrets in what they
// print and in what they leave.
func (l leak) try(t *testing.T) {
	t.Helper()
	m := marked(l.secrets...)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{"out.json": true, "env.json": true, "out.env": true}
	put := func(name, content string) {
		given[name] = true
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("config.json", l.config)
	for name, content := range l.files {
		put(name, content)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append([]string{"TMPDIR=" + filepath.Join(dir, "tmp"), "GOTRACEBACK=all"}, l.env...)
	for i, command := range canaryCommands {
		args := l.arguments(command)
		if len(args) == 0 || l.first > 0 && i >= l.first {
			continue
		}
		code, stdout, stderr := process(t, dir, env, args...)
		said := strings.Join(args, " ") + "\n" + stdout + stderr
		if found := m.in([]byte(stdout + stderr)); found != "" {
			t.Errorf("a secret was printed, as %q, by %s", found, said)
		}
		if strings.Contains(stderr, "goroutine ") {
			t.Errorf("it crashed: %s", said)
		}
		if command[0] == "render" && (code != exitDone) != l.fails {
			t.Errorf("ended with %d: %s", code, said)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || given[filepath.ToSlash(name)] {
			return err
		}
		t.Errorf("a file was left: %s", name)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if l.fails {
		return
	}
	// The same search does find what has to be there.
	for name, want := range map[string]bool{"out.json": true, "env.json": false, "out.env": true} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if found := m.in(data); (found != "") != want {
			t.Errorf("in %s there is %q", name, found)
		}
	}
}

// keysFor makes a config with a key for each reference.
func keysFor(more string, references ...string) string {
	var keys []string
	for i, ref := range references {
		keys = append(keys, fmt.Sprintf(`{"name": "%d", "value": %s}`, i, quoted(ref)))
	}
	return `{"providers": {"openai": {"keys": [` + strings.Join(keys, ", ") + `]}}` + more + `}`
}

const fileStore = `, "config_store": {"vault_store": {"enabled": true, "type": "file", "file": {"path": "secrets"}}}`

// TestCanaryFiles looks for secrets in all that the program says of files.
func TestCanaryFiles(t *testing.T) {
	t.Parallel()
	a, b := canary("a"), canary("b")
	both := []string{a, b}
	variable := render.EnvName(walker.Reference{Scheme: walker.Vault, Name: "a"})
	object := `{"a": ` + quoted(a) + `, "b": ` + quoted(b) + `, "null": null}`
	for _, l := range []leak{
		{name: "all is well", config: keysFor(fileStore, "vault.a", "vault.o#b"), files: map[string]string{"secrets/a": a, "secrets/o": object}},
		{name: "no such key", config: keysFor(fileStore, "vault.a", "vault.o#c", "vault.o#null", "vault.o#/a/b"), files: map[string]string{"secrets/a": a, "secrets/o": object}, fails: true},
		{name: "not JSON", config: keysFor(fileStore, "vault.a#b", "vault.o#a"), files: map[string]string{"secrets/a": a, "secrets/o": object + b}, fails: true},
		{name: "JSON cut off", config: keysFor(fileStore, "vault.o#a"), files: map[string]string{"secrets/o": object[:len(object)/2]}, fails: true},
		{name: "a string of JSON", config: keysFor(fileStore, "vault.o#a"), files: map[string]string{"secrets/o": quoted(a)}, fails: true},
		{name: "keys that occur twice", config: keysFor(fileStore, "vault.o#a"), files: map[string]string{"secrets/o": `{"a": ` + quoted(a) + `, "a": ` + quoted(b) + `}`}, fails: true},
		{name: "binary", config: keysFor(fileStore, "vault.a", "vault.o#a"), files: map[string]string{"secrets/a": a + "\xff", "secrets/o": "\xff" + object}, fails: true},
		{name: "values that Bifrost breaks on", config: keysFor(fileStore, "vault.nul", "vault.env", "vault.vault", "vault.quote", "vault.lines"), fails: true, files: map[string]string{
			"secrets/nul": a + "\x00" + b, "secrets/env": "env." + a, "secrets/vault": "vault." + a, "secrets/quote": `"` + a + `"`, "secrets/lines": a + "\n" + b,
		}},
		{
			name: "values for fields that are particular", fails: true,
			config: `{"governance": {"virtual_keys": [{"value": "vault.a"}]}, "mcp": {"client_configs": [{"name": "m", "headers": {"A": "vault.lines"}}]}` + fileStore + `}`,
			files:  map[string]string{"secrets/a": a, "secrets/lines": a + "\n" + b},
		},
		{name: "no such secret", config: keysFor(fileStore, "vault.b", "vault.a/b"), files: map[string]string{"secrets/a": a}, fails: true},
		{name: "one file, cut off", config: keysFor("", "vault.a"), flags: []string{"--vault-type", "file", "--vault-set", "path=s.json"}, files: map[string]string{"s.json": object[:len(object)/2]}, fails: true},
		{name: "one file, with a key twice", config: keysFor("", "vault.a"), flags: []string{"--vault-type", "file", "--vault-set", "path=s.json"}, files: map[string]string{"s.json": `{"a": ` + quoted(a) + `, "a": ` + quoted(b) + `}`}, fails: true},
		{name: "one file, with other types", config: keysFor("", "vault.a", "vault.null", "vault.n"), flags: []string{"--vault-type", "file", "--vault-set", "path=s.json"}, files: map[string]string{"s.json": object}, fails: true},
		{name: "one file that is no JSON", config: keysFor("", "vault.a"), flags: []string{"--vault-type", "file", "--vault-set", "path=s.json"}, files: map[string]string{"s.json": a}, fails: true},
		{name: "the key has changed", config: `{"encryption_key": "vault.a"` + fileStore + `}`, fails: true, files: map[string]string{
			"secrets/a": a, "out.json": `{"encryption_key": ` + quoted(b) + `}`, "env.json": `{"encryption_key": "env.` + variable + `"}`, "out.env": variable + "=" + b + "\n",
		}},
		{name: "a variable", config: `{"plugins": [{"name": "x", "config": {"a": "env.MINE", "b": "vault.o#c"}}]` + fileStore + `}`, env: []string{"MINE=" + a}, files: map[string]string{"secrets/o": object}, fails: true},
	} {
		l.secrets = both
		if l.fails {
			l.first = 4
		}
		t.Run(l.name, func(t *testing.T) { t.Parallel(); l.try(t) })
	}
}

// TestCanaryDocument looks for secrets that stand in the config itself.
func TestCanaryDocument(t *testing.T) {
	t.Parallel()
	a, b := canary("a"), canary("b")
	text := `{"encryption_key": ` + quoted(a) + `, "providers": {"openai": {"keys": [{"value": ` + quoted(b) + `}]}}}`
	at := strings.Index(text, "CANARY") + 10
	for _, l := range []leak{
		{name: "cut off in a value", config: text[:at], fails: true},
		{name: "a value that ends too early", config: text[:at] + `"` + text[at:], fails: true},
		{name: "a control character in a value", config: text[:at] + "\n" + text[at:], fails: true},
		{name: "a NUL in a value", config: text[:at] + "\x00" + text[at:], fails: true},
		{name: "an escape that there is not", config: text[:at] + `\q` + text[at:], fails: true},
		{name: "half a character in a value", config: text[:at] + `\ud800` + text[at:], fails: true},
		{name: "not UTF-8", config: text[:at] + "\xff" + text[at:], fails: true},
		{name: "a value without quotes", config: `{"encryption_key": ` + a + `}`, fails: true},
		{name: "a comment", config: text + " // " + b, fails: true},
		{name: "a value alone", config: quoted(a), fails: true},
		{name: "broken references", config: keysFor(fileStore, "vault."+a+" ", "vault."+b+"#", "vault.\u0001"+a, "env. "+b), files: map[string]string{"secrets/a": a}, fails: true},
		{
			name: "objects", fails: true, files: map[string]string{"secrets/a": a},
			config: `{"encryption_key": {"type": "vault", "value": ` + quoted(a) + `}, "setup_token": {"a": ` + quoted(a) + `},
				"providers": {"openai": {"keys": [{"value": {"type": "env", "value": ` + quoted(b) + `}}, {"value": {"env_var": ` + quoted(b) + `}}, {"value": ["` + plainCanary("list") + `"]}]}}` + fileStore + `}`,
		},
		{name: "credentials that are incomplete", config: keysFor(`, "config_store": {"vault_store": {"enabled": true, "type": "aws-secrets-manager", "aws": {"region": "us-east-1", "secret_access_key": `+quoted(a)+`, "session_token": `+quoted(b)+`}}}`, "vault.a"), fails: true},
		{name: "credentials where they do not belong", config: keysFor(`, "config_store": {"vault_store": {"enabled": true, "type": "aws-secrets-manager", "aws": {"region": `+quoted(a)+`, "role_arn": `+quoted(b)+`}}}`, "vault.a"), fails: true},
		{name: "settings that are not known", config: keysFor(`, "config_store": {"vault_store": {"enabled": true, "type": "aws-secrets-manager", "aws": {"password": `+quoted(a)+`}, "token": `+quoted(b)+`}}`, "vault.a"), fails: true},
		{name: "a credential as a flag", config: keysFor("", "vault.a"), flags: []string{"--vault-type", "aws-secrets-manager", "--vault-set", "secret_access_key=" + a}, fails: true},
		{name: "a credential as a flag of no name", config: keysFor("", "vault.a"), flags: []string{"--vault-type", "aws-secrets-manager", "--vault-set", a}, fails: true},
	} {
		l.secrets, l.first = []string{a, b, plainCanary("list")}, 3
		t.Run(l.name, func(t *testing.T) { t.Parallel(); l.try(t) })
	}
	// A document that is right has nothing to be fetched, and its own secrets
	// are not shown either.
	whole := leak{name: "all is well", config: text, secrets: []string{a, b}}
	t.Run(whole.name, func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range canaryCommands {
			_, stdout, stderr := process(t, dir, nil, whole.arguments(command)...)
			if found := marked(a, b).in([]byte(stdout + stderr)); found != "" {
				t.Errorf("%s: a secret was printed, as %q", command, found)
			}
		}
	})
}

// TestCanaryAge looks for secrets and for identities.
func TestCanaryAge(t *testing.T) {
	t.Parallel()
	a := canary("a")
	mine, other := must(newAgeIdentity()), must(newAgeIdentity())
	sealed := must(mine.seal(a, false))
	armored := must(mine.seal(a, true))
	config := keysFor(fileStore, "vault.a", "vault.b")
	files := map[string]string{"secrets/a.age": sealed, "secrets/b": armored, "mine": mine.String(), "other": other.String()}
	flags := func(identity string) []string {
		return []string{"--vault-type", "file", "--vault-set", "path=secrets", "--vault-set", "identity=" + identity}
	}
	wrong := "Q"
	if mine.String()[40:41] == wrong {
		wrong = "P"
	}
	misspelt := mine.String()[:40] + wrong + mine.String()[41:]
	const head = "AGE-SECRET-KEY-1" // which hints have in them
	secrets := []string{a, strings.TrimPrefix(mine.String(), head), strings.TrimPrefix(other.String(), head), strings.TrimPrefix(misspelt, head)}
	for _, l := range []leak{
		{name: "all is well", flags: flags("mine")},
		{name: "in a variable", flags: flags("env.KEY"), env: []string{"KEY=" + mine.String()}},
		{name: "another key", flags: flags("other"), fails: true},
		{name: "another key in a variable", flags: flags("env.KEY"), env: []string{"KEY=" + other.String()}, fails: true},
		{name: "a misspelt key", flags: flags("env.KEY"), env: []string{"KEY=" + misspelt}, fails: true},
		{name: "a key with something before it", flags: flags("env.KEY"), env: []string{"KEY=key: " + mine.String()}, fails: true},
		{name: "a key in two lines", flags: flags("env.KEY"), env: []string{"KEY=" + mine.String()[:30] + "\n" + mine.String()[30:]}, fails: true},
		{name: "a key on the command line", flags: flags(mine.String()), fails: true},
		{name: "no key", flags: nil, fails: true},
	} {
		l.config, l.files, l.secrets, l.first = config, files, secrets, 4
		if l.fails {
			l.first = 2
		}
		t.Run(l.name, func(t *testing.T) { t.Parallel(); l.try(t) })
	}
	damaged := leak{config: config, flags: flags("mine"), secrets: secrets, fails: true, files: map[string]string{
		"secrets/a.age": sealed[:len(sealed)-5], "secrets/b": strings.Replace(armored, "-----END", "CANARY\n-----END", 1), "mine": mine.String(),
	}}
	t.Run("damaged", func(t *testing.T) { t.Parallel(); damaged.try(t) })
}
