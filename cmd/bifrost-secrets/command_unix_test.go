//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// The command of --apply command gets neither our tokens nor what the vault_store
// takes credentials from; also not what a block before took them from.
func TestCommandEnvironment(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"exec", "watch"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s := newLodge(t)
			config := filepath.Join(s.app, "config.source.json")
			block := func(name string) string {
				return strings.Replace(siteConfig, `"path":"../secrets"`, `"path":"../secrets","identity":"env.`+name+`"`, 1)
			}
			s.write(config, block("FIRSTCRED"))
			s.env = append(s.env, "FIRSTCRED=CANARY-first", "SECONDCRED=another", "BIFROST_SECRETS_TOKEN=CANARY-token-of-this-test", "KEPT=yes")
			args := []string{verb, "--config", config, "--listen", "none", "--wait", "10ms", "--apply", "command", "--command", "env"}
			if verb == "exec" {
				args = append(args, "--app-dir", s.app, "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
			} else {
				args = append(args, "--out", filepath.Join(s.app, "config.json"))
			}
			r := s.start(args...)
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
		})
	}
}
