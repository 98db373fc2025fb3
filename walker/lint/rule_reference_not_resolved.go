package lint

import (
	"fmt"

	"bifrost-secrets/walker"
)

var referenceNotResolved = Rule{
	ID: "reference-not-resolved", Severity: Note,
	Summary: "a reference where Bifrost itself resolves none, or only later versions do",
	field: func(c *checker, f *walker.Field) {
		// What Bifrost makes of vault. depends on its edition and not on the field.
		if f.Entry == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Env || c.store.holds(f.Start) {
			return
		}
		switch f.Entry.Env {
		case walker.Unsupported:
			c.at(f, "start Bifrost on a file that bifrost-secrets has rendered", "Bifrost does not resolve env. here; bifrost-secrets does")
		case walker.Newer:
			switch before, since := c.resolving(f.Entry); {
			case !since:
				c.at(f, "start Bifrost on a file that bifrost-secrets has rendered", "this version of Bifrost does not resolve env. here; bifrost-secrets does")
			case before:
				c.at(f, "name the version that you run with --bifrost-version", fmt.Sprintf("only versions of Bifrost from %d.%d on resolve env. here", f.Entry.EnvFrom[0], f.Entry.EnvFrom[1]))
			}
		}
	},
}

// resolving reports, of a field in which newer versions alone resolve env.,
// whether the document may be for a version before them, and for one of them.
func (c *checker) resolving(e *walker.Entry) (before, since bool) {
	return c.opts.Bifrost.below(e.EnvFrom[0], e.EnvFrom[1], 0), c.opts.Bifrost.from(e.EnvFrom[0], e.EnvFrom[1], 0)
}
