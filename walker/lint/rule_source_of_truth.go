package lint

import "bifrost-secrets/walker"

// fileIsTruth is the value of source_of_truth by which the file always wins.
const fileIsTruth = "config.json"

var sourceOfTruth = Rule{
	ID: "source-of-truth", Severity: Note,
	Summary: "what is changed through Bifrost's API outlives a rotated secret in the file",
	lack:    true,
	document: func(c *checker) {
		m, ok := c.member("source_of_truth")
		truth, knows := c.truth(), c.opts.Bifrost.from(1, 5, 16)
		switch {
		case ok && truth != "" && truth != fileIsTruth && truth != "split":
			c.report("source_of_truth", m.Value, `write "config.json", or "split"`,
				"a source_of_truth that Bifrost does not know; it takes it for split, where a change through its API outlives the file").Severity = Warning
		case truth == fileIsTruth && !knows && c.facts.vault:
			c.report("source_of_truth", m.Value, "use Bifrost 1.5.16 or later", "this version of Bifrost does not know source_of_truth, so a change through its API outlives the file").Severity = Warning
		case !ok && knows && c.facts.vault && !c.storeOff():
			c.report("", walker.Span{}, `"source_of_truth": "config.json" makes the file win, in versions from 1.5.16`,
				"there is no source_of_truth, so a key that was changed through Bifrost's API stays in use although the file has another")
		}
	},
}

// truth returns the document's source_of_truth; empty where it has none.
func (c *checker) truth() string {
	m, _ := c.member("source_of_truth")
	return c.doc.String(m.Value)
}
