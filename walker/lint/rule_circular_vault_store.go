package lint

import "bifrost-secrets/walker"

var circularVaultStore = Rule{
	ID: "circular-vault-store", Severity: Error,
	Summary: "vault_store itself refers to the vault",
	field: func(c *checker, f *walker.Field) {
		if f.What == walker.Ref && f.Ref.Scheme == walker.Vault && c.store.holds(f.Start) {
			c.at(f, "write env.NAME", "a vault. reference inside vault_store: the vault cannot open itself")
		}
	},
}
