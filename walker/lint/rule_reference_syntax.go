package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

var referenceSyntax = Rule{
	ID: "reference-syntax", Severity: Error,
	Summary: "a reference that is misspelt, or written in the syntax of another tool",
	field: func(c *checker, f *walker.Field) {
		switch {
		case f.Entry == nil:
		case f.What == walker.Broken && !f.Object:
			c.broken(f)
		case f.What == walker.Ref:
			c.odd(f)
		case c.look.miss.Found():
			miss := c.look.miss
			if c.store.holds(f.Start) {
				miss = miss.InVaultStore()
			}
			found := c.at(f, miss.Hint, miss.Message(f.Entry))
			if miss.Repair != "" {
				found.replace(miss.Repair)
			} else if c.look.place == zonePlace {
				found.Severity, found.Hint = Warning, found.Hint+unlessLiteral
			}
		}
	},
}

// What to do about a string of a free-form config that was never meant as a
// reference.
const (
	unlessMeant   = "if it is no reference, ignore this place in the settings of lint, and render with --literal and its path"
	unlessLiteral = "; " + unlessMeant
)

// broken reports what begins like a reference and is none.
func (c *checker) broken(f *walker.Field) {
	r := f.Err.(*walker.ReferenceError)
	then := "; Bifrost would use an empty value"
	if f.Entry.Form != walker.SecretVarForm && f.Entry.Env == walker.Unsupported {
		then = "; Bifrost would take it as it stands"
	}
	found := c.at(f, r.Hint, r.Reason+then)
	if c.look.place == zonePlace {
		found.Hint += unlessLiteral
		return
	}
	if ref := withoutSpace(f.Text()); ref != "" {
		found.replace(ref)
	}
}

// withoutSpace returns a broken reference without the space around its parts, and
// "" where that does not mend it.
func withoutSpace(text string) string {
	path, key, fragment := strings.Cut(text, "#")
	scheme, path, _ := strings.Cut(path, ".")
	text = scheme + "." + walker.TrimUnseen(path)
	if fragment {
		text += "#" + walker.TrimUnseen(key)
	}
	if !walker.SoundReference(text) {
		return ""
	}
	return text
}

// odd reports a reference that is one, but hardly the one that was meant.
func (c *checker) odd(f *walker.Field) {
	switch {
	case gainsaid(f): // the rule object-form says what is wrong
	case f.Ref.Templated():
		c.at(f, "fill it in before Bifrost reads the file, or write the whole reference", "a variable or a template inside of a reference; Bifrost would take it for a part of the name")
	case f.Ref.Scheme == walker.Env && !walker.IsVariable(f.Ref.Name):
		c.at(f, "write env.NAME"+", with letters, digits and _ alone", "the reference names a variable that hardly any environment can have; Bifrost would use an empty value").Severity = Warning
	case c.look.place == zonePlace && walker.HostLike(f.Ref.String()):
		c.at(f, unlessMeant, "this may be the name of a host, but is read as a reference").Severity = Warning
	}
}
