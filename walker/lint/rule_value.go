package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var maskedValue = Rule{
	ID: "masked-value", Severity: Error,
	Summary: "a mask, as Bifrost shows it in place of a secret",
	field: func(c *checker, f *walker.Field) {
		if f.Entry != nil && f.What == walker.Masked && f.Entry.Kind == walker.SecretKind {
			c.at(f, "write the secret's reference: an exported config does not have its secrets", "a mask stands where a secret should; the secret is not in this file")
		}
	},
}

var nullSecret = Rule{
	ID: "null-secret", Severity: Error,
	Summary: "a null that Bifrost turns into the text null",
	field: func(c *checker, f *walker.Field) {
		if f.Entry != nil && f.What == walker.Null && strings.Contains(f.Entry.Note, "null becomes the text null") {
			found := c.at(f, `write "" or leave the member out`, "null here becomes the four letters null, which Bifrost would use as the value")
			found.replace("")
		}
	},
}

var jsonEscape = Rule{
	ID: "json-escape", Severity: Error,
	Summary: "an escape that Bifrost cannot decode",
	field: func(c *checker, f *walker.Field) {
		if f.Misread {
			found := c.at(f, `write / and not \/, and characters themselves in place of two \u escapes`, `an escape that Bifrost cannot decode (\/ or a pair of surrogates); it would take the raw text, with quotes and backslashes, for the value`)
			found.replace(c.textOf(f))
		}
	},
}

var objectForm = Rule{
	ID: "object-form", Severity: Warning,
	Summary: "an object that versions of Bifrost read in different ways, or take for empty",
	field: func(c *checker, f *walker.Field) {
		switch {
		case f.Entry == nil || !f.Object:
		case f.What == walker.Broken:
			r := f.Err.(*walker.ReferenceError)
			c.at(f, r.Hint, "%s", r.Reason).Severity = Error
		case !f.Disputed:
		case f.What == walker.Ref:
			found := c.at(f, `write the string "`+f.Ref.String()+`"`, "versions of Bifrost read this object in different ways; some would use its text as the value")
			found.replace(f.Ref.String())
		case strings.HasPrefix(c.textOf(f), "env.") || strings.HasPrefix(c.textOf(f), "vault."):
			c.at(f, "store the text in a secret, and refer to that", "a literal that looks like a reference; versions of Bifrost read it in different ways, and none does from its database")
		default:
			found := c.at(f, "write what is meant as a plain string", "versions of Bifrost read this object in different ways; some would lose the value, some would use the object's text")
			if f.What == walker.Literal && c.textOf(f) != "{}" {
				found.replace(c.textOf(f))
			}
		}
	},
}

var virtualKeyPrefix = Rule{
	ID: "virtual-key-prefix", Severity: Error,
	Summary: "a virtual key that does not begin sk-bf-",
	field: func(c *checker, f *walker.Field) {
		if f.Entry != nil && f.Entry.Pattern == "governance.virtual_keys[].value" && f.What == walker.Literal && c.textOf(f) != "" && !strings.HasPrefix(c.textOf(f), "sk-bf-") {
			c.at(f, "virtual keys begin sk-bf-", "the virtual key does not begin sk-bf-; Bifrost would make a key of its own in its place")
		}
	},
}

var postgresPassword = Rule{
	ID: "postgres-password", Severity: Warning,
	Summary: "a Postgres password that Bifrost below 1.5 passes on unquoted",
	field: func(c *checker, f *walker.Field) {
		if f.Entry != nil && f.What == walker.Literal && strings.HasSuffix(f.Entry.Selector, "=postgres") &&
			strings.HasSuffix(f.Entry.Pattern, ".password") && strings.ContainsAny(c.textOf(f), ` '\`) {
			c.at(f, "use Bifrost 1.5 or later, or another password", "the password has a space, a quote or a backslash in it, which Bifrost below 1.5 passes on unquoted")
		}
	},
}
