package lint

import "bifrost-secrets/walker"

var sourceOfTruth = Rule{
	ID: "source-of-truth", Severity: Note,
	Summary: "what is changed through Bifrost's API outlives a rotated secret in the file",
	lack:    true,
	document: func(c *checker) {
		if _, ok := find(c.doc, c.top(), "source_of_truth"); ok || !c.facts.vault || c.storeOff() {
			return
		}
		c.report("", walker.Span{}, `"source_of_truth": "config.json" makes the file win, in versions from 1.6`,
			"there is no source_of_truth, so a key that was changed through Bifrost's API stays in use although the file has another")
	},
}
