package lint

import "bifrost-secrets/walker"

var fragmentMixed = Rule{
	ID: "fragment-mixed", Severity: Warning,
	Summary: "one secret is used both as a whole and by a key of it",
	document: func(c *checker) {
		for name, u := range c.facts.uses {
			if u.whole != nil && u.fragment != nil {
				c.report(u.whole.path, u.whole.span, "name a key here too, or keep the two apart",
					"vault."+walker.ShownName(name)+" is used whole here and by a key in "+u.fragment.path+"; a whole JSON object is rarely what a field wants")
			}
		}
	},
}
