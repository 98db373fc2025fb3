//go:build bench

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bifrost-secrets/sources/hashivault/vaulttest"
)

// vaultLatency measures whole renders from a Vault that takes its time, which has
// no batches: sixteen requests are under way at once.
func (b *bench) vaultLatency() {
	const secrets, atOnce, trip = 200, 16, 20 * time.Millisecond
	f := vaulttest.StartFake(b)
	config := func(n int) string {
		var keys []string
		for i := range n {
			name := fmt.Sprintf("app/key-%d", i)
			f.Put(name, "sk-"+name)
			keys = append(keys, fmt.Sprintf(`{"name": "%d", "value": "vault.%s"}`, i, name))
		}
		path := filepath.Join(b.TempDir(), "config.json")
		text := `{"providers": {"openai": {"keys": [` + strings.Join(keys, ",") + `]}}, "config_store": {"vault_store": {"enabled": true, "type": "hashicorp-vault"}}}`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	render := func(config string) []string {
		return []string{"render", "--quiet", "--config", config, "--out", filepath.Join(b.TempDir(), "out.json")}
	}
	one, all := render(config(1)), render(config(secrets))
	env := b.environ(map[string]string{"VAULT_ADDR": f.URL, "VAULT_TOKEN": vaulttest.Root})
	f.Set(vaulttest.Faults{Latency: trip})
	took := fastest(10,
		func() { b.process(env, b.binary, one...) },
		func() { b.process(env, b.binary, all...) })
	trips := ratio(took[1]-took[0], trip) + 1 // those of the one are among them
	const least = (secrets + atOnce - 1) / atOnce
	b.row(trips <= 1.3*least, fmt.Sprintf("render of %d secrets, Vault at 20 ms: round trips, where %d are the least", secrets, least),
		fmt.Sprintf("<= %.1f", 1.3*least), "%.1f (%s, %s)", trips, ms(took[1]), ms(took[0]))
}
