package lint

import "bifrost-secrets/walker"

var maskedValue = Rule{
	ID: "masked-value", Severity: Error,
	Summary: "a mask, as Bifrost shows it in place of a secret",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.What != walker.Masked {
			return
		}
		// Bifrost takes one to eight asterisks for a mask too, but where any
		// string may stand they mostly mean anything at all.
		stars := len(f.Text()) <= 8
		if stars && (f.Entry.Form != walker.SecretVarForm && f.Entry.Kind != walker.SecretKind || c.look.place == headerPlace && !telling(lastName(f.Path))) {
			return
		}
		what := "value"
		if f.Entry.Kind == walker.SecretKind {
			what = "secret"
		}
		here := "this file"
		if c.opts.rows {
			here = "the database"
		}
		c.at(f, "write the secret's reference: an exported config does not have its secrets", "a mask stands where a "+what+" should; the "+what+" is not in "+here)
	},
}
