package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var jsonEscape = Rule{
	ID: "json-escape", Severity: Error,
	Summary: "an escape that Bifrost cannot decode",
	field: func(c *checker, f *walker.Field) {
		if !f.Misread {
			return
		}
		sees := "the raw text, with quotes and backslashes"
		if raw := string(c.doc.Text(spanOf(f))); f.What == walker.Ref && !strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r > '~' }) {
			sees = raw + ", with quotes and backslashes"
		}
		// A field that resolves env. in newer versions only was a plain string before.
		who, severity := "Bifrost", Error
		if f.Entry.Env == walker.Newer {
			switch before, since := c.resolving(f.Entry); {
			case !since:
				return
			case before:
				who, severity = "a newer Bifrost", Warning
			}
		}
		found := c.at(f, `write / and not \/, and the character itself in place of a pair of \u escapes`,
			`an escape that `+who+` cannot decode (\/ or a pair of surrogates); it would take `+sees+`, for the value`)
		found.Severity = severity
		found.replace(f.Text())
	},
}
