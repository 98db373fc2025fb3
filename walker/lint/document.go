package lint

import (
	"strconv"

	"bifrost-secrets/walker"
)

// member returns the last member at a path of names, which is the one that counts.
func (c *checker) member(names ...string) (walker.Member, bool) {
	found := c.doc.Members(names...)
	if len(found) == 0 {
		return walker.Member{}, false
	}
	return found[len(found)-1], true
}

// storeOff reports whether the config store is switched off.
func (c *checker) storeOff() bool {
	m, ok := c.member("config_store", "enabled")
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

// quoted returns a name or a reference as a message shows it.
func quoted(s string) string { return strconv.Quote(s) }
