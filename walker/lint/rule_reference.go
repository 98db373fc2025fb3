package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var referenceSyntax = Rule{
	ID: "reference-syntax", Severity: Error,
	Summary: "a reference that is misspelt, or written in the way of another tool",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.Object {
			return
		}
		if f.What == walker.Broken {
			r := f.Err.(*walker.ReferenceError)
			c.at(f, r.Hint, "%s", r.Reason)
			return
		}
		if f.What != walker.Literal {
			return
		}
		if form := foreignForm(f, c.textOf(f)); form != nil {
			found := c.at(f, form.hint, "%s; Bifrost would take it for the value itself", form.what)
			if form.repair != nil {
				found.replace(form.repair(c.textOf(f)))
			}
		}
	},
}

// foreignForm gives the form in which a literal is meant as a reference, or nil.
func foreignForm(f *walker.Field, text string) *foreign {
	if f.Object || !mayBeForeign(text) {
		return nil
	}
	for i := range foreigners {
		form := &foreigners[i]
		if (f.Entry.Form != walker.ZoneForm || form.inZones) && form.text.MatchString(text) {
			return form
		}
	}
	return nil
}

// foreign is a way to write a reference that people try and that Bifrost
// does not know.
type foreign struct {
	text    pattern
	what    string
	hint    string
	inZones bool                // also wrong in a free-form place, where other tools may have a say
	repair  func(string) string // nil where the meaning is not certain
}

var foreigners = []foreign{
	{lazy(`^\s*(?i:env|vault)\.\S+\s*$`), "a reference with space around it or in the wrong case", "write env.NAME or vault.path#key, in lower case and without space", true, lowerScheme},
	{lazy(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`), "a variable in the way of a shell, ${NAME}", "write env.NAME", false, func(s string) string { return "env." + s[2:len(s)-1] }},
	{lazy(`^\$[A-Z_][A-Z0-9_]*$`), "a variable in the way of a shell, $NAME", "write env.NAME", false, func(s string) string { return "env." + s[1:] }},
	{lazy(`^\{\{.*\}\}$`), "a template, {{…}}", "write env.NAME or vault.path#key", false, nil},
	{lazy(`^vault[:/]`), "a reference in the way of another tool, vault: or vault/", "write vault.path#key", true, nil},
	{lazy(`^ref\+[a-z0-9]+://`), "a reference in the way of vals, ref+…://", "write vault.path#key", true, nil},
	{lazy(`^(?:op|awssm|awssecretsmanager|gcpsm|secretmanager|keyvault|azurekeyvault|akv)://`), "a reference in the way of another tool", "write vault.path#key", true, nil},
	{lazy(`^arn:aws[a-z-]*:secretsmanager:`), "the ARN of a secret without vault. before it", "write vault.arn:aws:secretsmanager:…", true, func(s string) string { return "vault." + s }},
	{lazy(`^[A-Za-z]+ (?:env|vault)\.\S+$`), "a reference after another word; only a whole value can be one", "put the word into the secret too, and refer to the whole", true, nil},
}

// mayBeForeign is a quick test that every foreign form passes.
func mayBeForeign(text string) bool {
	if text == "" {
		return false
	}
	switch text[0] {
	case '$', '{', ' ', '\t', '\n', '\r', 'v', 'V', 'e', 'E', 'r', 'o', 'a', 'g', 's', 'k':
		return true
	}
	return strings.Contains(text, " env.") || strings.Contains(text, " vault.")
}

func lowerScheme(text string) string {
	text = strings.TrimSpace(text)
	scheme, rest, _ := strings.Cut(text, ".")
	return strings.ToLower(scheme) + "." + rest
}

var referenceNotResolved = Rule{
	ID: "reference-not-resolved", Severity: Note,
	Summary: "a reference where Bifrost itself resolves none, or only later versions do",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.What != walker.Ref || c.store.holds(f.Start) || f.Ref.Scheme != walker.Env {
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

var unknownPlace = Rule{
	ID: "unknown-place", Severity: Warning,
	Summary: "what looks like a reference stands outside of every field that takes one",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil && !c.store.holds(f.Start) {
			c.at(f, "check the spelling of the members above it, or move it", "looks like a reference, but no field that takes one is known here; nothing resolves it")
		}
	},
}

var circularVaultStore = Rule{
	ID: "circular-vault-store", Severity: Error,
	Summary: "vault_store itself refers to the vault",
	field: func(c *checker, f *walker.Field) {
		if f.What == walker.Ref && f.Ref.Scheme == walker.Vault && c.store.holds(f.Start) {
			c.at(f, "write env.NAME", "a vault. reference inside vault_store: the vault cannot open itself")
		}
	},
}

var secretName = Rule{
	ID: "secret-name", Severity: Error,
	Summary: "a path that the backend cannot have",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Vault || c.store.kind == "" {
			return
		}
		if err := walker.CheckName(c.store.kind, f.Ref.Name); err != nil {
			c.at(f, err.(*walker.ReferenceError).Hint, "%s", err)
		}
	},
}

var fragmentMixed = Rule{
	ID: "fragment-mixed", Severity: Warning,
	Summary: "one secret is used both as a whole and by a key of it",
	document: func(c *checker) {
		for name, u := range c.uses {
			if u.whole != nil && u.fragment != nil {
				c.report(u.whole.path, u.whole.span, "name a key here too, or keep the two apart",
					"vault.%s is used whole here and by a key in %s; a whole JSON object is rarely what a field wants", name, u.fragment.path)
			}
		}
	},
}

var prefix = Rule{
	ID: "prefix", Severity: Warning, Off: true,
	Summary: "a secret outside of the prefix that the settings name",
	field: func(c *checker, f *walker.Field) {
		want := c.opts.Settings.prefix
		if f.Entry == nil || f.What != walker.Ref || f.Ref.Scheme != walker.Vault || strings.HasPrefix(f.Ref.Name, want) {
			return
		}
		c.at(f, "move the secret, or widen the prefix", "the secret lies outside of %s", want)
	},
}
