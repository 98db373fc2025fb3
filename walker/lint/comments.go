package lint

import "bifrost-secrets/walker"

// Comment is a comment of the text that a document was made of. Spaces stand in its
// place in the document.
type Comment struct {
	Text  string
	Start int // the offset of its first byte, in the document
}

// leaksInComments reports the secrets in comments, as those in a text that may be
// anything.
func (c *checker) leaksInComments() {
	for _, one := range c.opts.Comments {
		for _, l := range openLeaks(one.Text, "") {
			if l.fake {
				continue
			}
			kind := shapeOf(l.text)
			start := one.Start + l.within
			found := c.report("", walker.Span{Start: start, End: start + len(l.text)}, "take it out of the file", l.message(kind)+", in a comment")
			if kind != "" {
				found.Severity = Error
			}
		}
	}
}
