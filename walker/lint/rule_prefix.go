package lint

import (
	"cmp"
	"strings"

	"bifrost-secrets/walker"
)

var prefix = Rule{
	ID: "prefix", Severity: Warning, Off: true,
	Summary: "a secret outside of the prefix that the settings, or vault_store, name",
	field: func(c *checker, f *walker.Field) {
		want := cmp.Or(c.opts.Settings.prefix, c.store.prefix)
		if f.Entry == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Vault || c.store.holds(f.Start) {
			return
		}
		name := f.Ref.Name
		if strings.HasPrefix(name, "arn:") {
			_, name, _ = strings.Cut(name, ":secret:")
		}
		if !strings.HasPrefix(name, want) {
			c.at(f, "move the secret, or widen the prefix", "the secret lies outside of the prefix "+quoted(want))
		}
	},
}
