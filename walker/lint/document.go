package lint

import (
	"strconv"

	"bifrost-secrets/walker"
)

// top gives the document as an object.
func (c *checker) top() walker.Object {
	o, _ := c.outline.last(atTop)
	return o
}

// text gives the string of a member of the document, or of one of its
// config_store.
func (c *checker) text(names ...string) string {
	o := c.top()
	if len(names) > 1 {
		o, _ = c.outline.last(atConfigStore)
	}
	if m, ok := find(c.doc, o, names[len(names)-1]); ok {
		return c.doc.String(m.Value)
	}
	return ""
}

// storeOff reports whether the config store is switched off.
func (c *checker) storeOff() bool {
	o, ok := c.outline.last(atConfigStore)
	if !ok {
		return false
	}
	m, ok := find(c.doc, o, "enabled")
	return ok && string(c.doc.Text(m.Value)) == "false"
}

// anySet reports whether the environment is known and has one of the variables.
func (c *checker) anySet(names ...string) bool {
	if c.opts.Getenv == nil {
		return false
	}
	for _, name := range names {
		if value, ok := c.opts.Getenv(name); ok && value != "" {
			return true
		}
	}
	return false
}

// quoted gives a name or a reference as a message shows it.
func quoted(s string) string { return strconv.Quote(s) }
