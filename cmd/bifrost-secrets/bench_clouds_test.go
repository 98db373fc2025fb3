//go:build bench

package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/azurevault"
	"bifrost-secrets/sources/azurevault/azuretest"
	"bifrost-secrets/sources/cloudtest"
	"bifrost-secrets/sources/gcpsecrets"
	"bifrost-secrets/sources/gcpsecrets/gcptest"
	"bifrost-secrets/walker/walkertest"
)

// clouds measures backends without batches: as many round trips as their
// concurrency makes necessary, and not many more.
func (b *bench) clouds() {
	const secrets, atOnce, trip = 200, 16, 20 * time.Millisecond
	gcp, azure := gcptest.StartFake(b), azuretest.StartFake(b)
	for _, one := range []struct {
		name   string
		ids    *sources.Names
		put    func(id, value string)
		gate   *cloudtest.Gate
		server *cloudtest.Server
		env    map[string]string
		args   []string
	}{
		{
			"GCP", gcpsecrets.Names, func(id, value string) { gcp.Put(id, []byte(value)) }, gcp.Gate, gcp.Server, map[string]string{"KEY": gcptest.Credentials()},
			[]string{"--vault-type", "gcp-secret-manager", "--vault-set", "project_id=" + gcptest.Project, "--vault-set", "credentials_json=env.KEY"},
		},
		{
			"Azure", azurevault.Names, azure.Put, azure.Gate, azure.Server, map[string]string{"KEY": azuretest.Password},
			[]string{
				"--vault-type", "azure-key-vault", "--vault-set", "vault_url=" + azuretest.URL, "--vault-set", "tenant_id=" + azuretest.Tenant,
				"--vault-set", "client_id=" + azuretest.ClientID, "--vault-set", "client_secret=env.KEY",
			},
		},
	} {
		for i := range secrets {
			name := walkertest.Name(i)
			id, bad := one.ids.ID(name)
			if bad != nil {
				b.Fatal(bad)
			}
			one.put(id, fmt.Sprintf(`{"api_key": %q}`, valueOf(name)))
		}
		one.gate.Set(cloudtest.Faults{Latency: trip})
		maps.Copy(one.env, one.server.Env())
		env := b.environ(one.env)
		render := func(config string) []string {
			return append([]string{"render", "--quiet", "--config", config, "--out", filepath.Join(b.TempDir(), "out.json")}, one.args...)
		}
		few, all := render(b.config(1, 1)), render(b.config(secrets, 1))
		took := fastest(10, func() { b.process(env, b.binary, few...) }, func() { b.process(env, b.binary, all...) })
		const trips = (secrets + atOnce - 1) / atOnce
		goal := 1.3 * trips
		got := 1 + ratio(took[1]-took[0], trip) // the one secret took a trip
		b.row(got <= goal, fmt.Sprintf("render of %d secrets, %s at 20 ms, %d at once", secrets, one.name, atOnce),
			fmt.Sprintf("<= %.1f round trips", goal), "%.1f (%s, %s)", got, ms(took[1]), ms(took[0]))
	}
}
