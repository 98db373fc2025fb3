package lint

import "bifrost-secrets/walker"

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
			c.at(f, "check it with the version that you run", "only versions of Bifrost after 1.4.19 resolve env. here")
		}
	},
}
