package walker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// nameRule says what names a backend allows.
type nameRule struct {
	allowed *regexp.Regexp
	most    int      // bytes; 0 where the expression says it
	says    string   // the rule in words
	escapes *escapes // nil where names are kept as they are
}

// escapes is how a backend that allows few characters takes any name: each byte
// but letters, digits and plain ones is kept as -xHH-.
type escapes struct {
	plain  string   // beside letters and digits
	max    int      // the most characters of what is kept
	except []string // names that begin so are as `allowed` says
}

// length gives the number of characters that a name is kept with.
func (e *escapes) length(name string) int {
	n := 0
	for i := range len(name) {
		c := name[i]
		if n++; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(e.plain, c) >= 0) {
			n += len("-xHH-") - 1
		}
	}
	return n
}

// vaultPart is a part of a path in Vault, between slashes: one character, two, or
// more; neither one nor two dots. vaultChar and vaultNoDot are a character of
// one, and one that is no dot.
const (
	vaultChar  = `(?: |[^\pC\pZ#/])`
	vaultNoDot = `(?: |[^\pC\pZ#/.])`
	vaultPart  = `(?:` + vaultNoDot + `|` + vaultNoDot + vaultChar + `|\.` + vaultNoDot + `|` + vaultChar + vaultChar + vaultChar + `+)`
)

// nameRules are the rules by vault_store.type. The facts are each backend's own
// documentation.
var nameRules = sync.OnceValue(func() map[string]nameRule {
	return map[string]nameRule{
		"aws-secrets-manager": {
			allowed: regexp.MustCompile(`^(?:[A-Za-z0-9/_+=.@!-]{1,512}|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@!-]{1,519})$`),
			says:    "1 to 512 of A-Z a-z 0-9 / _ + = . @ - !, or the ARN of a secret",
		},
		"azure-key-vault": {
			allowed: regexp.MustCompile(`^https://[^/]+/secrets/[0-9A-Za-z-]{1,127}(?:/[0-9a-f]{32})?/?$`),
			says:    "1 to 127 characters, of which each but A-Z a-z 0-9 - is kept as -xHH- and counts five, or the id of a secret: https://VAULT/secrets/NAME or https://VAULT/secrets/NAME/VERSION",
			escapes: &escapes{"-", 127, []string{"https://"}},
		},
		"gcp-secret-manager": {
			allowed: regexp.MustCompile(`^(?://secretmanager\.googleapis\.com/)?projects/(?:[a-z0-9.-]{1,60}:)?[a-z0-9][a-z0-9-]{0,61}/secrets/[A-Za-z0-9_-]{1,255}(?:/versions/[A-Za-z0-9_-]{1,63})?$`),
			says:    "1 to 255 characters, of which each but A-Z a-z 0-9 _ - is kept as -xHH- and counts five, or projects/PROJECT/secrets/ID or projects/PROJECT/secrets/ID/versions/VERSION",
			escapes: &escapes{"-_", 255, []string{"projects/", "//secretmanager.googleapis.com/"}},
		},
		"hashicorp-vault": {
			allowed: regexp.MustCompile("^" + vaultPart + "(?:/" + vaultPart + ")*$"),
			most:    2048,
			says:    "2048 bytes, parts between single slashes, neither . nor .., of printable characters without #",
		},
		"postgres": {
			allowed: regexp.MustCompile(`^[^\p{Cc}]+$`),
			most:    512,
			says:    "1 to 512 bytes of text without control characters",
		},
		"file": {
			allowed: regexp.MustCompile(`^[^\x00]+$`),
			says:    "a file below the directory, or a member of the JSON file",
		},
	}
})

// CheckName reports, as a *ReferenceError, why a backend cannot have a secret of
// that name. backend is a vault_store.type; a type without a rule allows any.
func CheckName(backend, name string) error {
	rule, ok := nameRules()[backend]
	long := rule.most > 0 && len(name) > rule.most
	if !ok || !long && rule.allowed.MatchString(name) {
		return nil
	}
	if e := rule.escapes; e != nil && !slices.ContainsFunc(e.except, func(head string) bool { return strings.HasPrefix(name, head) }) {
		return e.check(backend, name, rule.says)
	}
	what := "has a character that " + backend + " does not allow in a name"
	switch {
	case rule.escapes != nil:
		what = "begins with " + rule.escapes.except[0] + ", and is not that of a secret in " + backend
	case strings.HasPrefix(name, "arn:"):
		what = "is not the ARN of a secret in " + backend
	case long, rule.most == 0 && len(name) > 512:
		what = fmt.Sprintf("is longer than %s allows (%d characters)", backend, len(name))
	case backend == "hashicorp-vault":
		what = "is none that " + backend + " can have"
	}
	return &ReferenceError{Reason: "the path of the reference " + what, Hint: "allowed are " + rule.says}
}

func (e *escapes) check(backend, name, says string) error {
	what := ""
	switch n := e.length(name); {
	case n == 0 || n > e.max:
		what = fmt.Sprintf("would have %d characters in %s", n, backend)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }):
		what = "has a control character, or one that is not utf-8"
	default:
		return nil
	}
	return &ReferenceError{Reason: "the path of the reference " + what, Hint: "allowed are " + says}
}
