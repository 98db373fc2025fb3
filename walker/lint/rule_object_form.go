package lint

import (
	"cmp"
	"strings"

	"bifrost-secrets/walker"
)

var objectForm = Rule{
	ID: "object-form", Severity: Warning,
	Summary: "an object that versions of Bifrost read in different ways, or take for empty",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || !f.Object || f.What == walker.Masked {
			return
		}
		o, ok := f.ObjectForm()
		switch {
		case !ok:
			c.at(f, "write a plain string", "a member of the object has the wrong type; Bifrost takes the object's JSON text for the value").Severity = Error
		case f.What == walker.Broken:
			c.brokenObject(f, o)
		case f.What == walker.Ref:
			c.referringObject(f, o)
		case c.look.raw:
			c.documentObject(f)
		default:
			c.literalObject(f, o)
		}
	},
}

// brokenObject reports an object that names no reference although one is meant.
func (c *checker) brokenObject(f *walker.Field, o walker.ObjectForm) {
	r := f.Err.(*walker.ReferenceError)
	message := r.Reason
	if !strings.HasSuffix(message, "for empty") {
		message += "; Bifrost would take it for empty"
	}
	found := c.at(f, r.Hint, message)
	found.Severity = Error
	if ref := meant(o); ref != "" {
		found.Hint = writeString(ref)
		found.replace(ref)
	}
}

// writeString is the hint to write a reference, which is shown unless it may be the
// secret itself.
func writeString(text string) string {
	ref, err := walker.ParseReference(text)
	if err != nil || ref.Shown() != text || shapeOf(ref.Name) != "" {
		return "write env.NAME or vault.path#key with a name, and not what it holds"
	}
	return "write the string " + quoted(text)
}

// meant returns the reference that an object can only mean, if there is just one.
func meant(o walker.ObjectForm) string {
	text := ""
	for _, one := range []string{o.Ref, o.Value, o.EnvVar} {
		if text != "" && one != "" && one != text {
			return ""
		}
		text = cmp.Or(text, one)
	}
	_, bare, _ := strings.Cut(text, ".")
	if text == o.Value && !walker.Refers(text) || shapeOf(text) != "" || walker.Refers(text) && shapeOf(bare) != "" {
		return "" // this may be the secret itself
	}
	kind := strings.ToLower(o.Type)
	if kind == "" && o.EnvVar != "" {
		kind = "env"
	}
	switch {
	case kind == "" || strings.HasPrefix(text, kind+"."):
	case walker.Refers(text):
		return "" // type and reference gainsay each other
	default:
		text = kind + "." + text
	}
	if !walker.SoundReference(text) {
		return ""
	}
	return text
}

// referringObject reports an object that is a reference, if not to every version.
func (c *checker) referringObject(f *walker.Field, o walker.ObjectForm) {
	bare := f.Bare && c.opts.Bifrost.from(1, 6, 0)
	if !bare && !c.disputed(f) {
		return
	}
	found := c.at(f, writeString(f.Ref.String()), "versions of Bifrost read this object in different ways; some would use its text as the value")
	switch {
	case bare:
		found.Severity = Error
		found.Message = "a reference of type env that does not begin env.; Bifrost has its text for the value as soon as it reads it from its database"
	case !c.opts.Bifrost.from(1, 6, 0):
		found.Severity = Error
		found.Message = "this version of Bifrost does not know this object as a reference, and uses its text as the value"
	case o.Type != "" && o.Ref != "":
		// The form that newer versions write themselves.
		found.Severity = Note
		found.Message = "Bifrost up to 1.5 does not know this object as a reference, and would use its text as the value"
	}
	if gainsaid(f) {
		found.Severity = Warning
		found.Message = "an object of type env whose reference is of another type; Bifrost takes all of it for the name of a variable"
		found.Hint = "write the reference that is meant, as a string"
		return
	}
	if f.Ref.Shown() == f.Ref.String() { // else the repair would show it too
		found.replace(f.Ref.String())
	}
}

// gainsaid reports whether an object of type env has a reference to the vault.
func gainsaid(f *walker.Field) bool {
	return f.Object && f.Ref.Scheme == walker.Env && strings.HasPrefix(f.Ref.Name, "vault.")
}

// documentObject reports an object that stands where its text should.
func (c *checker) documentObject(f *walker.Field) {
	found := c.at(f, "write the text as a plain string", "a JSON object where a string should stand; some versions of Bifrost lose it, others use its text")
	found.Severity = Error
	if c.look.document && strings.Contains(c.look.text, ":") {
		found.Hint = "write the document as one string, with its quotes escaped, or better a reference"
		found.replace(c.look.text)
	}
}

// literalObject reports an object whose value is taken as it stands, where that
// was not meant, or is not so for every version.
func (c *checker) literalObject(f *walker.Field, o walker.ObjectForm) {
	switch text := c.look.text; {
	case o.Type != "" && o.Type != "env" && o.Type != "vault" && o.Type != "plain_text":
		found := c.at(f, "known types are env, vault and plain_text", "the object has a type that Bifrost does not know; it takes the value as it stands")
		if o.Ref != "" {
			found.Severity = Error
			found.Message += ", and not the reference"
		}
		if ref := meant(o); ref != "" && (strings.EqualFold(o.Type, "env") || strings.EqualFold(o.Type, "vault")) {
			found.Hint = writeString(ref)
			found.replace(ref)
		}
	case o.Ref != "":
		c.at(f, "keep either the value or the reference, and write it as a string", "the object has a value and a reference, and Bifrost takes the value").Severity = Error
	case walker.Refers(text) && o.Type != "plain_text":
		c.at(f, writeString(text)+" if a reference is meant", "Bifrost takes the value of this object for a text, and not for a reference").Severity = Error
	case walker.Refers(text):
		c.at(f, "store the text in a secret, and refer to that", "a text that looks like a reference; Bifrost takes it for one as soon as it reads it from its database")
	case c.disputed(f):
		found := c.at(f, "write the text as a plain string", "versions of Bifrost read this object in different ways; some would use its text as the value")
		if !strings.HasPrefix(text, "env.") && !strings.HasPrefix(text, "vault.") { // as a string it would be a reference, if a broken one
			found.replace(text)
		}
	}
}

// disputed reports whether one of the versions in question reads an object
// otherwise than the newest does.
func (c *checker) disputed(f *walker.Field) bool {
	return f.DisputedOld && c.opts.Bifrost.below(1, 6, 0) || f.DisputedNew && c.opts.Bifrost.from(1, 6, 0)
}
