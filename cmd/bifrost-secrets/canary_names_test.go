package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// typed is a key as people type it in the place of a name.
const typed = "sk-proj-CANARY9fEIj2Kl8MnOp3QrSt7UvWx"

// said runs a command as a function and returns all that it prints.
func said(stdin string, env []string, args ...string) string {
	var out, errs bytes.Buffer
	code := run(args, strings.NewReader(stdin), &out, &errs, env)
	return fmt.Sprintf("%d\n%s%s", code, out.String(), errs.String())
}

// TestCanaryTypedKeys has a key where a name belongs, or behind what was meant as a
// scheme, in every way that people write references: it reaches neither what any
// command prints nor what it leaves.
func TestCanaryTypedKeys(t *testing.T) {
	m := marked(typed)
	for name, values := range map[string][]string{
		"sound": {
			`"vault.` + typed + `"`, `"vault.` + typed + `#a"`, `"vault.a#` + typed + `"`, `"env.` + typed + `"`, `{"ref": "vault.` + typed + `", "type": "vault"}`,
			`{"ref": "` + typed + `", "type": "env"}`, `{"ref": "env.` + typed + `"}`, `{"value": "x", "env_var": "` + typed + `", "from_env": true}`,
			`{"value": "vault.a", "ref": "vault.` + typed + `"}`,
		},
		"not sound": {
			`"VAULT.` + typed + `"`, `" vault.` + typed + `"`, `"vault:` + typed + `"`, `"vault:app/` + typed + `#k"`, `"\u200bvault.` + typed + `"`, `"${` + typed + `}"`,
			`"vault.` + typed + ` "`, `"vault.` + typed + `\u200b"`, `"env:` + typed + `"`, `"env.` + typed + `.env.x"`,
			`{"value": "env.` + typed + `"}`, `{"value": "vault.` + typed + `"}`, `{"env_var": "env.` + typed + `"}`, `{"ref": "` + typed + `", "type": "vault"}`,
			`{"secretRef": "` + typed + `"}`, `{"` + typed + `": "x"}`, `{"type": "` + typed + `", "value": "x"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			var keys []string
			for i, value := range values {
				keys = append(keys, fmt.Sprintf(`{"name": "%d", "value": %s}`, i, value))
			}
			members := `"providers": {"openai": {"keys": [` + strings.Join(keys, ",\n      ") + `]}},
      "vector_store": {"x": {"y": "vault.` + typed + `/z"}},
      "config_store": {"vault_store": {"enabled": true, "type": "file", "access_mode": "read_and_write", "file": {"path": "secrets"}}}`
			write(t, "config.json", "{"+members+"}")
			write(t, "config.jsonc", "// "+typed+"\n{"+members+",}")
			write(t, "map.yaml", "data:\n  config.json: |\n    {"+members+"}\n")
			write(t, "values.yaml", "bifrost:\n  {"+members+"}\n")
			write(t, "alias.yaml", "bifrost:\n  encryptionKey: *"+typed+"\n")
			if err := os.Mkdir("secrets", 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, "secrets/a", "x")
			for _, line := range []string{
				"ping --json --verbose", "explain", "explain --json --anywhere", "explain --fetch --json", "explain --mode env", "render --out out.json --json --verbose",
				"render --out out.json --anywhere --log-format json", "render --out -", "render --out out.json --mode env --env-file out.env",
				"store --gateway gw --verbose", "store --gateway gw --json", "prune --gateway gw --verbose --no-trash", "prune --gateway gw --json --yes --no-trash",
			} {
				got := said("", nil, append(strings.Fields(line), "--config", "config.json")...)
				if found := m.in([]byte(got)); found != "" {
					t.Errorf("the key was printed, as %q, by %s: %s", found, line, got)
				}
			}
			for _, file := range []string{"config.json", "config.jsonc", "map.yaml", "values.yaml", "alias.yaml"} {
				for _, line := range []string{"lint", "lint --format json", "lint --format sarif", "lint --diff", "lint --online --trust-config", "lint --write-baseline base.json", "lint --baseline base.json"} {
					got := said("", nil, append(strings.Fields(line), file)...)
					if found := m.in([]byte(got)); found != "" {
						t.Errorf("the key was printed, as %q, by %s %s: %s", found, line, file, got)
					}
				}
			}
			text, err := os.ReadFile("base.json")
			if found := m.in(text); err != nil || found != "" {
				t.Errorf("%v: in the baseline there is %q", err, found)
			}
		})
	}
}

// TestCanaryTrash looks for values in all that is said of the trash, and in all that
// lies there: it is sealed, and the page beside it names no value.
func TestCanaryTrash(t *testing.T) {
	first, second, third := canary("first"), canary("second"), canary("third")
	me := must(newAgeIdentity())
	m := marked(first, second, third, strings.TrimPrefix(me.String(), "AGE-SECRET-KEY-1")) // which hints have in them
	dir := t.TempDir()
	t.Chdir(dir)
	const store = `, "config_store": {"enabled": false, "vault_store": {"enabled": true, "type": "file", "access_mode": "read_and_write", "file": {"path": "secrets"}}}`
	if err := os.Mkdir("secrets", 0o700); err != nil {
		t.Fatal(err)
	}
	check := func(want string, stdin string, args ...string) {
		t.Helper()
		got := said(stdin, nil, args...)
		if found := m.in([]byte(got)); found != "" {
			t.Errorf("a value was printed, as %q, by %q: %s", found, args, got)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is not said by %q: %s", want, args, got)
		}
	}
	storeIt := func(want string, more ...string) {
		t.Helper()
		check(want, "", append([]string{"store", "--config", "config.json", "--gateway", "gw", "--yes", "--verbose"}, more...)...)
	}
	backend := []string{"--gateway", "gw", "--vault-type", "file", "--vault-set", "path=secrets", "--vault-set", "access_mode=read_and_write"}
	good := []string{"--trash", "bin", "--trash-recipients", me.Recipient().String()}
	write(t, "config.json", keysFor(store, first))
	storeIt("wrote config.json")
	write(t, "config.json", keysFor(store, second))
	storeIt("does not keep the one that is there")
	storeIt("--trash-recipients", "--trash", "bin")
	storeIt("--trash-recipients", "--trash", "bin", "--trash-recipients", me.String()) // the identity itself
	storeIt("--trash-recipients", "--trash", "bin", "--trash-recipients", second)
	storeIt("name a folder elsewhere", append(good[2:], "--trash", "secrets/bin")...)
	write(t, "taken", third)
	storeIt("name a folder that can be written", append(good[2:], "--trash", "taken")...)
	storeIt("sealed the values into", good...)
	name := "bifrost/providers/openai/keys/0/value"
	for _, d := range must(os.ReadDir("secrets")) {
		if !strings.HasPrefix(d.Name(), ".") {
			_ = filepath.WalkDir("secrets", func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() && !strings.Contains(path, "/.") {
					name = strings.TrimPrefix(filepath.ToSlash(path), "secrets/")
				}
				return err
			})
		}
	}
	check("sealed the values into", third, append([]string{"secret", "put", name, "--verbose"}, append(backend, good...)...)...)
	check("", "", append([]string{"secret", "delete", name, "--yes", "--json"}, backend...)...)
	check("sealed the values into", "", append([]string{"secret", "delete", name, "--yes", "--verbose"}, append(backend, good...)...)...)
	sealed := 0
	err := filepath.WalkDir("bin", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if found := m.in(text); found != "" {
			t.Errorf("in %s there is %q", path, found)
		}
		if strings.HasSuffix(path, ".age") {
			sealed++
		}
		return err
	})
	if err != nil || sealed != 3 {
		t.Errorf("%d values are in the trash, want 3: %v", sealed, err)
	}
}
