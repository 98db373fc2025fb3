package lint

import "bifrost-secrets/walker"

var fragmentMixed = Rule{
	ID: "fragment-mixed", Severity: Warning,
	Summary: "one secret is used both as a whole and by a key of it",
	document: func(c *checker) {
		for name, whole := range c.facts.whole {
			if part, ok := c.facts.fragment[name]; ok {
				c.report(whole.path, whole.span, "name a key here too, or keep the two apart",
					"vault."+walker.ShownName(name)+" is used whole here and by a key in "+part.path+"; a whole JSON object is rarely what a field wants")
			}
		}
	},
}
