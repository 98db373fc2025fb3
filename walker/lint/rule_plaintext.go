package lint

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

var plaintextSecret = Rule{
	ID: "plaintext-secret", Severity: Warning,
	Summary: "a secret that stands in the file itself",
	field: func(c *checker, f *walker.Field) {
		if f.Entry == nil || f.What != walker.Literal && f.What != walker.Other || c.store.holds(f.Start) {
			return
		}
		text := c.textOf(f)
		if text == "" || f.What == walker.Literal && foreignForm(f, text) != nil {
			return // nothing, or meant as a reference: reference-syntax says so
		}
		switch p := f.Entry.Pattern; {
		case strings.HasSuffix(p, "headers.*"):
			c.header(f, text)
		case strings.HasSuffix(p, ".envs[]") || strings.HasSuffix(p, ".args[]") || strings.HasSuffix(p, ".command"):
			c.commandLine(f, text)
		case f.Entry.Kind == walker.SecretKind && (!isURL(p) || isWebhook(p)):
			c.plaintext(f, text)
		default:
			c.plainSetting(f, text)
		}
	},
}

// isURL reports whether a field holds a URL that only may carry a credential.
func isURL(pattern string) bool { return strings.HasSuffix(pattern, "url") }

// isWebhook reports whether the URL of the field is the credential.
func isWebhook(pattern string) bool { return strings.HasSuffix(pattern, "webhook_url") }

const storeIt = `store it, and write "vault.path#key" or "env.NAME" here`

// plaintext reports a literal in a field whose every value is a secret.
func (c *checker) plaintext(f *walker.Field, text string) {
	if bcrypt.MatchString(text) && strings.HasSuffix(f.Entry.Pattern, "admin_password") {
		c.at(f, "", "a bcrypt hash, from which the password cannot be read, but can be guessed").Severity = Note
		return
	}
	c.graded(c.at(f, storeIt, "a secret in plain text (%s)", describe(text)), text)
}

var bcrypt = lazy(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// graded raises the severity for what is surely a key, and lowers it for what
// is surely none.
func (c *checker) graded(f *Finding, text string) {
	switch {
	case looksFake(text):
		f.Severity = Note
		f.Message = strings.Replace(f.Message, "a secret in plain text", "a placeholder where a secret belongs", 1)
	case shapeOf(text) != "":
		f.Severity = Error
	}
}

// describe says what a value is without showing any of it.
func describe(text string) string {
	size := fmt.Sprintf("%d characters", utf8.RuneCountInString(text))
	if name := shapeOf(text); name != "" {
		return name + ", " + size
	}
	return size
}

func (c *checker) header(f *walker.Field, text string) {
	name := f.Path[strings.LastIndexAny(f.Path, ".[")+1:]
	if sensitive.MatchString(strings.Trim(name, `"]`)) || shapeOf(text) != "" {
		c.plaintext(f, text)
		return
	}
	c.plainSetting(f, text)
}

// assignment is NAME=value, or a flag with its value. What stands before the
// sign is printed, so it must have the form of a name: base64 ends in = as well.
var assignment = lazy(`^([A-Z][A-Z0-9_]{0,63}|--?[a-z][a-z0-9_.-]{0,63})[= ](.*[^=].*)$`)

func (c *checker) commandLine(f *walker.Field, text string) {
	if m := assignment.FindStringSubmatch(text); m != nil && sensitive.MatchString(m[1]) {
		c.graded(c.at(f, "let the server read it from a variable that Bifrost's environment has: write its NAME in envs", "a secret in plain text (the value of %s, %s)", m[1], describe(m[2])), m[2])
		return
	}
	c.plainSetting(f, text)
}

// plainSetting reports a credential in a field that is not meant for one.
func (c *checker) plainSetting(f *walker.Field, text string) {
	if part := inURL(text); part != "" {
		c.at(f, "store the whole URL, or take the credential out of it", "the URL carries a credential in plain text (%s)", part)
		return
	}
	if name := shapeOf(text); name != "" && !looksFake(text) {
		c.at(f, storeIt, "a secret in plain text (%s)", describe(text)).Severity = Error
	}
}
