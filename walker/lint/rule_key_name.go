package lint

import "bifrost-secrets/walker"

var keyName = Rule{
	ID: "key-name", Severity: Warning,
	Summary: "a provider key without a name, or with a name that another has",
	document: func(c *checker) {
		const keep = "give it a name, and keep it when the key rotates"
		paths := map[string]string{} // of the first key of each name
		c.doc.Each("providers.*.keys[]", func(o walker.Object) {
			m, ok := c.doc.Find(o, "name")
			name := c.doc.String(m.Value)
			first, twice := paths[name]
			switch {
			case !ok:
				c.report(o.Path, opening(o), keep, "the key has no name; Bifrost knows a key by its name")
			case name == "":
				c.report(o.Path, m.Value, keep, "the key's name is empty; Bifrost knows a key by its name")
			case twice:
				c.report(o.Path, m.Value, "names are unique over all providers", "the name "+quoted(name)+" is that of "+first+" too")
			default:
				paths[name] = o.Path
			}
		})
	},
}
