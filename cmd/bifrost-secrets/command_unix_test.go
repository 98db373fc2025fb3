//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command of --apply command gets neither our tokens nor what the vault_store
// takes credentials from; also not what a block before took them from.
func TestCommandEnvironment(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	config := filepath.Join(s.app, "config.source.json")
	block := func(name string) string {
		return strings.Replace(harnessConfig, `"path":"../secrets"`, `"path":"../secrets","identity":"env.`+name+`"`, 1)
	}
	s.write(config, block("FIRSTCRED"))
	s.env = append(s.env, "FIRSTCRED=CANARY-first", "SECONDCRED=another", "BIFROST_SECRETS_TOKEN=CANARY-token-of-this-test", "KEPT=yes")
	r := s.start("watch", "--config", config, "--out", filepath.Join(s.app, "config.json"), "--listen", "none", "--apply", "command", "--command", "env")
	r.logs(`"applied"`)
	s.put("openai", "CANARY-2")
	r.logs("KEPT=yes")
	r.logs(`"applied"`)
	if all := strings.Join(r.all, "\n"); strings.Contains(all, "FIRSTCRED=") || strings.Contains(all, "BIFROST_SECRETS_TOKEN=") {
		t.Errorf("the command's environment: %s", all)
	}
	before := len(r.all)
	s.write(config, block("SECONDCRED"))
	s.put("openai", "CANARY-3")
	r.logs("KEPT=yes")
	r.logs(`"applied"`)
	r.signal(15)
	r.ends(0)
	if all := strings.Join(r.all[before:], "\n"); strings.Contains(all, "CRED=") || strings.Contains(all, "BIFROST_SECRETS_TOKEN=") {
		t.Errorf("the command's environment: %s", all)
	}
}

// A directory that others can write to, as every emptyDir of Kubernetes is, is
// warned of once, with what to do.
func TestWatchOpenDirectory(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	if err := os.Chmod(s.app, 0o777); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.app, "config.source.json")
	r := s.start("watch", "--config", config, "--out", filepath.Join(s.app, "config.json"), "--listen", "none", "--apply", "none")
	line := r.logs("others could replace this file")
	if !strings.Contains(line, `"hint":"`) || !strings.Contains(line, "emptyDir") || !strings.Contains(line, "chmod") {
		t.Errorf("log: %s", line)
	}
	r.logs(`"applied"`)
	s.write(config, strings.Replace(harnessConfig, `"name":"a"`, `"name":"b"`, 1))
	r.logs(`"trigger":"file"`)
	r.signal(15)
	r.ends(0)
	if n := strings.Count(strings.Join(r.all, "\n"), "others could replace"); n != 1 {
		t.Errorf("it was warned of %d times", n)
	}
}

// A flush and the status tell of what is new and Bifrost does not have yet, and
// the log that an edited config which does not resolve is not used.
func TestFlushTellsOfWhatWaits(t *testing.T) {
	t.Parallel()
	s := newHarness(t)
	config := filepath.Join(s.app, "config.source.json")
	socket := "unix:" + filepath.Join(s.dir, "control")
	r := s.start("watch", "--config", config, "--out", filepath.Join(s.app, "config.json"), "--listen", socket, "--bifrost-url", "http://127.0.0.1:1")
	r.logs(`"partly applied"`)
	s.put("vk", "sk-bf-CANARY-2")
	r.logs("restart_required_fields")
	ask := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("bifrost-secrets", append(args, "--address", socket)...)
		cmd.Env = s.env
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, one := range []struct{ got, want string }{
		{ask("flush"), "1 field could not be applied yet, 1 field waiting for a restart of Bifrost"},
		{ask("flush", "--json"), `"restart_required": 1`},
		{ask("status"), "not applied   1 field could not be applied yet, 1 field waiting for a restart of Bifrost, since "},
	} {
		if !strings.Contains(one.got, one.want) {
			t.Errorf("there is no %q in %s", one.want, one.got)
		}
	}
	s.write(config, strings.Replace(harnessConfig, "vault.openai", "vault.nowhere", 1))
	if line := r.logs("vault.nowhere"); !strings.Contains(line, "the previous one stays in force") {
		t.Errorf("log: %s", line)
	}
	r.signal(15)
	r.ends(0)
}
