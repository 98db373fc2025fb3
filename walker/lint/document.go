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

// sqliteStore gives the type of the config store, if that is SQLite.
func (c *checker) sqliteStore() (kind walker.Span, ok bool) {
	o, _ := c.outline.last(atConfigStore)
	m, ok := find(c.doc, o, "type")
	return m.Value, ok && c.doc.String(m.Value) == "sqlite"
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
