package lint

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// leak is a secret that stands in the document in plain text.
type leak struct {
	text   string // the secret itself, never to be shown
	within int    // the byte of a longer text where it begins; 0 if it counts as the whole
	what   string // what the message says it is
	of     string // which part of the value it is; empty for all of it
	hint   string
	fake   bool // plainly a placeholder
	hashed bool // cannot be read from what stands there, but guessed
}

const (
	inPlainText = "a secret in plain text"
	placeholder = "a placeholder where a secret belongs"
	storeIt     = `store it, and write "vault.path#key" or "env.NAME" here`
	inTheURL    = "the URL carries " + inPlainText
	storeURL    = "store the whole URL and refer to it, or take the secret out of it"
)

// message says what was found: never any of it, but its kind and its length.
func (l *leak) message(kind string) string {
	what := l.what
	if l.fake {
		what = placeholder
		if l.what != inPlainText {
			what = strings.Replace(l.what, inPlainText, placeholder, 1)
		}
	}
	size := strconv.Itoa(utf8.RuneCountInString(l.text)) + " characters"
	said := slices.DeleteFunc([]string{l.of, kind, size}, func(part string) bool { return part == "" })
	return what + " (" + strings.Join(said, ", ") + ")"
}

// leakIn looks for a secret in the literal that the checker looks at, and for
// more of them.
func (c *checker) leakIn(f *walker.Field) []leak {
	l := &c.look
	whole := leak{text: l.text, what: inPlainText, hint: storeIt}
	switch l.place {
	case secretPlace, pathPlace:
		switch {
		case l.raw && !l.document && shapeOf(l.text) == "":
			// The rule object-form says what is wrong with the object as a whole.
			if key := shapeWithin(l.text); key != "" {
				return []leak{{text: key, what: inPlainText, hint: storeIt}}
			}
			return nil
		case f.Object && walker.Refers(l.text):
			return nil // so it does here
		case l.place == pathPlace && isPath(l.text), keyless(l.text):
			return nil
		}
		whole.hashed = strings.HasSuffix(f.Entry.Pattern, "admin_password") && isBcrypt(l.text)
		whole.fake = looksFake(l.text, l.password)
		if !l.document {
			whole.narrow()
		}
		return []leak{whole}
	case headerPlace:
		if telling(lastName(f.Path)) {
			whole.fake = looksFake(l.text, false)
			whole.narrow()
			return []leak{whole}
		}
	case linePlace:
		if found := c.line.leak(f, l.text); found.text != "" {
			return []leak{found}
		}
		return openInLine(f, l.text)
	case zonePlace:
		// Where a name alone says that it is a secret, and that of a pair is often
		// called key, a placeholder is not worth a word.
		name, says := c.called(f)
		value := l.text[authScheme(l.text):]
		named := says == tells && plausible(value, name)
		if len(name) <= len("key") || says == loosely {
			named = says != silent && value != "" && credible(value, name, says, true)
		}
		if named && !strings.EqualFold(name, "key") && !looksFake(l.text, isPassword(name)) && !filledLater(l.text) {
			return []leak{whole}
		}
		return openLeaks(l.text, name)
	}
	return openLeaks(l.text, lastName(f.Path))
}

// narrow leaves of a leak the key that is known by its form, where there is
// something around it: quotes, a name, a comment.
func (l *leak) narrow() {
	if l.fake || shapeOf(l.text) != "" {
		return
	}
	for _, p := range partsOf(l.text) {
		if key := l.text[p.start:p.end]; shapeOf(key) != "" {
			l.text, l.within = key, p.start
			return
		}
	}
}

// called returns what a string in a zone is called, which may be the name of what
// it stands in, and what that says.
func (c *checker) called(f *walker.Field) (name string, says hint) {
	for _, s := range c.outline.suspect { // from the last field on
		if s.Start == f.Start && s.hint != silent {
			return c.doc.String(s.name), s.hint
		} else if s.Start >= f.Start {
			break
		}
	}
	name = lastName(f.Path)
	return name, hintOf(name)
}

// openLeaks finds the secrets in a text that may be anything, under a name that
// may be anything.
func openLeaks(text, name string) []leak {
	address := isAddress(text)
	parts := partsOf(text)
	if whole := len(parts) > 0 || address && teamsWebhook(text) || strings.HasPrefix(text, "Basic "); whole && shapeOf(text) != "" && !looksFake(text, false) {
		return []leak{{text: text, what: inPlainText, hint: storeIt}}
	}
	bare := strings.TrimSpace(strings.TrimPrefix(text, "Bearer "))
	var found []leak
	for _, p := range parts {
		l := leak{text: text[p.start:p.end], within: p.start, what: inPlainText, of: p.of, hint: storeIt}
		if p.url || address {
			l.text, l.what, l.hint = unescaped(l.text), inTheURL, storeURL
		}
		if address || len(bare) == len(l.text) {
			l.within = 0
		}
		found = append(found, l)
	}
	if found == nil && address && mayCarry(text) {
		for _, p := range urlParts(text) { // what is plainly a placeholder is worth a note
			value := unescaped(text[p.start:p.end])
			if filledLater(value) {
				continue
			}
			found = append(found, leak{text: value, what: inTheURL, of: p.of, fake: looksFake(value, p.of == aPassword), hint: storeURL})
		}
	}
	if found == nil && opaque(text) && hintOf(name) == loosely && !address && !walker.Refers(text) && !filledLater(text) && !looksFake(text, false) {
		return []leak{{text: text, what: inPlainText, hint: storeIt}}
	}
	return found
}

func isAddress(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	return ok && isScheme(scheme) && !strings.ContainsAny(rest, " \t\n\"'")
}

// plausible reports whether a text may be a credential where only a name says
// that it is one.
func plausible(text, name string) bool {
	switch {
	case strings.Contains(text, "://"), isPath(text), numeric(text), text == "true", text == "false":
		return false
	case isPassword(name):
		return true
	}
	// A word such as basic or client_credentials says which way is taken.
	for _, c := range text {
		if !('a' <= c && c <= 'z' || c == '_' || c == '-') {
			return strings.IndexByte(text, ' ') < 0 || shapeOf(text) != ""
		}
	}
	return len(text) > 24
}

func isPassword(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "pass") || strings.Contains(name, "pwd") || name == "pw"
}

func isPath(text string) bool {
	for _, start := range []string{"/", "./", "../", "~/"} {
		if strings.HasPrefix(text, start) {
			return !strings.ContainsAny(text, "\n{=")
		}
	}
	return !strings.ContainsAny(text, "\n{\"") && (strings.HasSuffix(text, ".json") || strings.HasSuffix(text, ".txt") || strings.HasSuffix(text, ".key"))
}

// keyless reports whether a text is one of Google's documents that holds no key,
// but says where to get one.
func keyless(text string) bool {
	if text[0] != '{' && !strings.HasPrefix(strings.TrimSpace(text), "{") || strings.Contains(text, `"private_key"`) {
		return false
	}
	return strings.Contains(text, `"external_account"`) || strings.Contains(text, `"impersonated_service_account"`) && !strings.Contains(text, "refresh_token")
}

func isBcrypt(text string) bool {
	for _, start := range []string{"$2a$", "$2b$", "$2y$"} {
		if strings.HasPrefix(text, start) {
			return len(text) == 60
		}
	}
	return false
}
