package lint

import (
	"bytes"
	"slices"
	"strconv"

	"bifrost-secrets/walker"
)

var pluginVersion = Rule{
	ID: "plugin-version", Severity: Warning,
	Summary: `a plugin with secrets that lacks "version": 2`,
	document: func(c *checker) {
		// From 2.1 on a hash of the entry tells; before, a file that is the source of
		// truth needs no version either.
		if len(c.facts.plugins) == 0 || c.storeOff() || !c.opts.Bifrost.below(2, 1, 0) || c.truth() == fileIsTruth && c.opts.Bifrost.from(1, 5, 16) {
			return
		}
		c.doc.Each("plugins[]", func(o walker.Object) {
			if !c.facts.inPlugin(o) {
				return
			}
			m, ok := c.doc.Find(o, "version")
			if !ok {
				name, _ := c.doc.Find(o, "name")
				c.report(o.Path, opening(o), `add "version": 2`,
					"the plugin "+quoted(c.doc.String(name.Value))+` has no "version": 2; Bifrost up to 2.0 ignores its config after the first start, and so every rotated secret`).Fix = c.insertVersion(o)
				return
			}
			if n, err := strconv.Atoi(string(c.doc.Text(m.Value))); err == nil && n < 2 {
				c.report(o.Path, m.Value, "write 2 or more", "version "+strconv.Itoa(n)+" is not above 1; Bifrost up to 2.0 ignores the plugin's config after the first start, and so every rotated secret").
					Fix = &Edit{m.Value, "2"}
			}
		})
	},
}

// inPlugin reports whether a field that changes with a secret stands in the
// plugin.
func (a *facts) inPlugin(o walker.Object) bool {
	i, _ := slices.BinarySearch(a.plugins, o.Start)
	return i < len(a.plugins) && len(o.Members) > 0 && a.plugins[i] < o.Members[len(o.Members)-1].Value.End
}

// insertVersion puts the member before the others, spaced as the first of them.
func (c *checker) insertVersion(o walker.Object) *Edit {
	at := o.Members[0].Name.Start
	space := c.doc.Text(walker.Span{Start: o.Start + 1, End: at})
	if !bytes.ContainsAny(space, "\r\n") {
		space = []byte(" ")
	}
	return &Edit{walker.Span{Start: at, End: at}, `"version": 2,` + string(space)}
}
