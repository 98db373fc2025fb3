package lint

var duplicateKey = Rule{
	ID: "duplicate-key", Severity: Warning,
	Summary: "the same member twice in one object",
	document: func(c *checker) {
		var offsets []int
		for _, d := range c.outline.doubles {
			offsets = append(offsets, d.again.Name.Start)
		}
		paths := c.doc.Paths(offsets...)
		for _, d := range c.outline.doubles {
			counts := "Bifrost uses the last"
			if c.doc.Text(d.again.Value)[0] == '{' {
				counts = "Bifrost may mix the two" // as encoding/json does, in some places
			}
			c.report(paths[d.again.Name.Start], d.again.Name, "remove one of the two", quoted(c.doc.String(d.again.Name))+" stands twice in one object; "+counts)
		}
	},
}
