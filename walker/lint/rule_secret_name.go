package lint

import "bifrost-secrets/walker"

var secretName = Rule{
	ID: "secret-name", Severity: Error,
	Summary: "a path that the backend cannot have",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Vault || c.store.backend == nil || c.store.holds(f.Start) {
			return
		}
		if f.Ref.Templated() {
			return // the rule reference-syntax says what is wrong
		}
		loose := c.look.place == zonePlace
		if loose && walker.HostLike(f.Ref.String()) {
			return // so it does here
		}
		if why, hint := c.store.backend.CheckName(f.Ref.Name); why != "" {
			found := c.at(f, hint, "the path of the reference "+why)
			if loose {
				found.Hint += unlessLiteral
			}
		}
	},
}
