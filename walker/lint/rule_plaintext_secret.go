package lint

import "bifrost-secrets/walker"

var plaintextSecret = Rule{
	ID: "plaintext-secret", Severity: Warning,
	Summary: "a secret that stands in the file itself",
	field: func(c *checker, f *walker.Field) {
		l := &c.look.leak
		if !l.found() {
			return
		}
		if l.hashed {
			c.at(f, "", "a bcrypt hash, from which the password cannot be read, but can be guessed").Severity = Note
			return
		}
		kind := ""
		if !l.fake {
			kind = shapeOf(l.text)
		}
		found := c.at(f, l.hint, l.message(kind))
		switch {
		case l.fake:
			found.Severity = Note
		case kind != "":
			found.Severity = Error
		}
	},
}
