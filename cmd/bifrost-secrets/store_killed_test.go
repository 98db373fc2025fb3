//go:build linux && amd64

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bifrost-secrets/sources/awssecrets/awstest"
)

const killedConfig = `{
  "providers": {"openai": {"keys": [{"name": "a", "value": "first"}, {"name": "b", "value": "second"}]}},
  "auth_config": {"admin_username": "admin", "admin_password": "third"},
  "config_store": {"enabled": false, "vault_store": {"enabled": true, "access_mode": "read_and_write", BACKEND}}
}
`

// Store is killed ahead of every single change that it makes to a file, and every
// word that it says to a server. At each of these moments the config renders to
// what it always did, and running store again brings the same end.
func TestStoreKilledAtEveryChange(t *testing.T) {
	starts(t)
	t.Parallel()
	for form, backend := range map[string]string{
		"directory": `"type": "file", "file": {"path": "secrets"}`,
		"aws":       `"type": "aws-secrets-manager"`,
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			want := ""
			for n := 1; ; n++ {
				dir, env := t.TempDir(), os.Environ()
				config := filepath.Join(dir, "config.json")
				write(t, config, strings.Replace(killedConfig, "BACKEND", backend, 1))
				if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
					t.Fatal(err)
				}
				if form == "aws" {
					f := awstest.NewFake()
					if err := f.Start(); err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					for name, value := range f.Env() {
						env = append(env, name+"="+value)
					}
				}
				in := func(args ...string) string {
					if form == "aws" { // whose client reads the environment of the process
						return outputOf(t, dir, env, args)
					}
					code, text, _ := strings.Cut(said("", env, args[1:]...), "\n")
					if code != "0" {
						t.Fatalf("%v: %s\n%s", args, code, text)
					}
					return text
				}
				if n == 1 {
					want = rendersTo(t, dir, in)
				}
				store := []string{"bifrost-secrets", "store", "--quiet", "--config", config, "--gateway", "gw", "--yes"}
				_, call := killedAt(t, dir, env, n, store...)
				if got := rendersTo(t, dir, in); got != want {
					t.Fatalf("killed at change %d, %s, the config renders to\n%s", n, call, got)
				}
				in(store...)
				if got := rendersTo(t, dir, in); got != want {
					t.Fatalf("run again after it was killed at change %d, %s, the config renders to\n%s", n, call, got)
				}
				text, err := os.ReadFile(config)
				if err != nil || strings.Count(string(text), "vault.bifrost/") != 3 {
					t.Fatalf("run again after it was killed at change %d, %s, it is %v\n%s", n, call, err, text)
				}
				if plan := in("bifrost-secrets", "store", "--config", config, "--gateway", "gw"); strings.Contains(plan, "new") {
					t.Fatalf("killed at change %d, %s, and there is still work: %s", n, call, plan)
				}
				if call == "" {
					if n < 15 {
						t.Errorf("only %d changes were seen", n)
					}
					t.Logf("killed ahead of each of %d changes", n-1)
					return
				}
			}
		})
	}
}

// rendersTo returns what the config of a folder renders to.
func rendersTo(t *testing.T, dir string, in func(...string) string) string {
	t.Helper()
	out := filepath.Join(dir, "out.json")
	in("bifrost-secrets", "render", "--quiet", "--config", filepath.Join(dir, "config.json"), "--out", out)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// outputOf runs a program in a folder, and returns what it printed.
func outputOf(t *testing.T, dir string, env, args []string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
