//go:build linux && amd64

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const killedConfig = `{
  "providers": {"openai": {"keys": [{"name": "a", "value": "first"}, {"name": "b", "value": "second"}]}},
  "auth_config": {"admin_username": "admin", "admin_password": "third"},
  "config_store": {"enabled": false, "vault_store": {"enabled": true, "type": "file", "access_mode": "read_and_write", "file": {"path": "PATH"}}}
}
`

// Store is killed ahead of every single change that it makes to a file. At each
// of these moments the config renders to what it always did, and running store
// again brings the same end.
func TestStoreKilledAtEveryChange(t *testing.T) {
	for _, form := range []string{"directory", "document"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			want := ""
			for n := 1; ; n++ {
				dir := t.TempDir()
				path := "secrets"
				if form == "document" {
					path = "secrets.json"
				}
				config := filepath.Join(dir, "config.json")
				write(t, config, strings.Replace(killedConfig, "PATH", path, 1))
				if form == "document" {
					write(t, filepath.Join(dir, path), "{}\n")
				} else if err := os.Mkdir(filepath.Join(dir, path), 0o700); err != nil {
					t.Fatal(err)
				}
				if n == 1 {
					want = rendered(t, dir)
				}
				store := []string{"bifrost-secrets", "store", "--quiet", "--config", "config.json", "--owner", "gw", "--yes"}
				out := in(t, dir, append([]string{"killed-at", strconv.Itoa(n)}, store...)...)
				if got := rendered(t, dir); got != want {
					t.Fatalf("%s: killed at change %d, the config renders to\n%s", out, n, got)
				}
				in(t, dir, store...)
				if got := rendered(t, dir); got != want {
					t.Fatalf("%s: run again after it was killed at change %d, the config renders to\n%s", out, n, got)
				}
				text, err := os.ReadFile(config)
				if err != nil || strings.Count(string(text), "vault.bifrost/") != 3 {
					t.Fatalf("%s: run again after it was killed at change %d, it is %v\n%s", out, n, err, text)
				}
				if plan := in(t, dir, "bifrost-secrets", "store", "--config", "config.json", "--owner", "gw"); strings.Contains(plan, "new") {
					t.Fatalf("%s: killed at change %d, and there is still work: %s", out, n, plan)
				}
				if !strings.Contains(out, "killed at") {
					if n < 20 {
						t.Errorf("only %d changes were seen", n)
					}
					t.Logf("killed ahead of each of %d changes", n-1)
					return
				}
			}
		})
	}
}

// rendered gives what the config of a folder renders to.
func rendered(t *testing.T, dir string) string {
	t.Helper()
	in(t, dir, "bifrost-secrets", "render", "--quiet", "--config", "config.json", "--out", "out.json")
	text, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// in runs a program in a folder, and gives what it printed.
func in(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
