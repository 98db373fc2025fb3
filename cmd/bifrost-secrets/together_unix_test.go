//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const pairConfig = `{"config_store":{"enabled":true,"vault_store":{"enabled":true,"type":"file","file":{"path":"../secrets"}}},` +
	`"providers":{"bedrock":{"keys":[{"name":"k","bedrock_key_config":{"access_key":"vault.u","secret_key":"vault.p","region":"us-east-1"}}]}}}`

// Half of a rotated pair never reaches Bifrost, by a file or by its environment: not
// where the other half is gone, nor before it has come. A first start with half of it
// does not happen at all.
func TestHalfRotatedPair(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"inline", "env"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newHarness(t)
			s.write(filepath.Join(s.app, "config.source.json"), pairConfig)
			s.put("u", "CANARY-u1")
			start := func() *running {
				return s.exec([]string{"--mode", mode}, "sh", "-c", `trap 'exit 5' TERM
echo started; cat "$APP_DIR/config.json"; echo; env | grep BIFROST_SECRET_ | sort; echo "-"; while :; do sleep 1 & wait $!; done`)
			}
			r := start()
			r.ends(125)
			s.put("p", "CANARY-p1")
			r = start()
			said := func() string {
				t.Helper()
				r.says("started")
				var b strings.Builder
				for line := range r.out {
					if line == "-" {
						break
					}
					b.WriteString(line + "\n")
				}
				return b.String()
			}
			if got := said(); !strings.Contains(got, "CANARY-u1") || !strings.Contains(got, "CANARY-p1") {
				t.Errorf("at first: %s", got)
			}
			if err := os.Remove(filepath.Join(s.secrets, "p")); err != nil {
				t.Fatal(err)
			}
			r.logs("refresh failed")
			s.put("u", "CANARY-u2")
			r.signal(syscall.SIGHUP)
			r.logs("vault.u changed, and waits for it")
			s.put("p", "CANARY-p1") // which is there again, and not rotated
			r.logs("it has changed and vault.p has not")
			if strings.Contains(s.published(), "CANARY-u2") {
				t.Error("half of the pair was published")
			}
			s.put("p", "CANARY-p2")
			if got := said(); !strings.Contains(got, "CANARY-u2") || !strings.Contains(got, "CANARY-p2") {
				t.Errorf("at last: %s", got)
			}
			r.signal(syscall.SIGTERM)
			r.ends(5)
		})
	}
}
