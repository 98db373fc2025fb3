package lint

import "bifrost-secrets/walker"

var keyName = Rule{
	ID: "key-name", Severity: Warning,
	Summary: "a provider key without a name, or with a name that another has",
	document: func(c *checker) {
		const keep = "give it a name, and keep it when the key rotates"
		wrong := c.wronglyNamed()
		var offsets []int
		for _, w := range wrong {
			offsets = append(offsets, w.start, w.first)
		}
		paths := pathsOf(c.doc, offsets...)
		for _, w := range wrong {
			switch path := paths[w.start]; {
			case w.name.End == 0:
				c.report(path, walker.Span{Start: w.start, End: w.start + 1}, keep, "the key has no name; Bifrost knows a key by its name")
			case w.text == "":
				c.report(path, w.name, keep, "the key's name is empty; Bifrost knows a key by its name")
			default:
				c.report(path, w.name, "names are unique over all providers", "the name "+quoted(w.text)+" is that of "+paths[w.first]+" too")
			}
		}
	},
}

type wrongName struct {
	providerKey
	text  string
	first int // where the key of the same name stands
}

// wronglyNamed gives the keys that have no name, or that of another.
func (c *checker) wronglyNamed() []wrongName {
	var wrong []wrongName
	seen := make(map[string]int, len(c.outline.keys))
	for _, k := range c.outline.keys {
		text := ""
		if k.name.End > 0 {
			text = c.doc.String(k.name)
		}
		first, dup := seen[text]
		switch {
		case dup, text == "":
			wrong = append(wrong, wrongName{k, text, first})
		default:
			seen[text] = k.start
		}
	}
	return wrong
}
