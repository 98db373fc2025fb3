//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
)

// A document that is refused leaves Bifrost's environment alone too: a restart for a
// value of the one in force brings the variables that this one names, and none of its
// credentials.
func TestExecRefusedDocument(t *testing.T) {
	t.Parallel()
	const document = `{"providers":{"openai":{"keys":[{"name":"a","value":"vault.openai"},{"name":"b","value":"env.OTHER"}]}},` +
		`"config_store":{"vault_store":{"enabled":true,"type":"file","file":{"path":"../secrets","identity":"env.OPENS"}}}}`
	refused := strings.NewReplacer(`env.OTHER`, `vault.missing`, `,"identity":"env.OPENS"`, ``).Replace(document)
	const stub = `trap 'exit 0' TERM; echo "started $(grep -o 'CANARY-[0-9]' "$APP_DIR/config.json") other=$OTHER opens=$OPENS"; while :; do sleep 1 & wait $!; done`
	for name, flags := range map[string][]string{"all": nil, "clean": {"--clean-env"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			identity, err := age.GenerateX25519Identity()
			if err != nil {
				t.Fatal(err)
			}
			s := newHarness(t)
			s.env = append(s.env, "OTHER=other-1", "OPENS="+identity.String())
			source := filepath.Join(s.app, "config.source.json")
			s.write(source, document)
			r := s.exec(flags, "sh", "-c", stub)
			r.says("started CANARY-1 other=other-1 opens=")
			s.write(source, refused)
			r.logs("vault.missing")
			s.put("openai", "CANARY-2")
			if line := r.await(r.out, "started CANARY-2"); !strings.HasSuffix(line, " other=other-1 opens=") {
				t.Errorf("Bifrost got %s", strings.ReplaceAll(line, "AGE-SECRET", "its credential: AGE-SECRET"))
			}
			r.signal(syscall.SIGTERM)
			r.ends(0)
		})
	}
}
