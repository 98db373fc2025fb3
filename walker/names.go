package walker

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// nameRule says what names a backend allows.
type nameRule struct {
	allowed *regexp.Regexp
	says    string // the rule in words
}

// nameRules are the rules by vault_store.type. The facts are each backend's own
// documentation.
var nameRules = sync.OnceValue(func() map[string]nameRule {
	return map[string]nameRule{
		"aws-secrets-manager": {
			regexp.MustCompile(`^(?:[A-Za-z0-9/_+=.@-]{1,512}|arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,519})$`),
			"1 to 512 of A-Z a-z 0-9 / _ + = . @ -, or the ARN of a secret",
		},
		// Of each part between slashes: one character, two, or more; neither one nor
		// two dots, and no space at an end.
		"hashicorp-vault": {
			allowed: regexp.MustCompile("^" + vaultPart + "(?:/" + vaultPart + ")*$"),
			says:    "400 bytes, parts between single slashes, neither . nor .., of printable characters without # ? * \\",
		},
		"file": {
			regexp.MustCompile(`^[^\x00]+$`),
			"a file below the directory, or a member of the JSON file",
		},
	}
})

// vaultPart is a part of a path in Vault; vaultChar and vaultNoDot are a
// character of one, and one that is no dot. vaultLongest is the most bytes of a
// path.
const (
	vaultLongest = 400

	vaultChar  = `[^\pC\pZ#?*\\/]`
	vaultNoDot = `[^\pC\pZ#?*\\/.]`
	vaultPart  = `(?:` + vaultNoDot + `|` + vaultNoDot + vaultChar + `|\.` + vaultNoDot + `|` + vaultChar + `(?: |` + vaultChar + `)+` + vaultChar + `)`
)

// CheckName reports, as a *ReferenceError, why a backend cannot have a secret of
// that name. backend is a vault_store.type; a type without a rule allows any.
func CheckName(backend, name string) error {
	rule, ok := nameRules()[backend]
	vault := backend == "hashicorp-vault"
	if !ok || rule.allowed.MatchString(name) && !(vault && len(name) > vaultLongest) {
		return nil
	}
	what := "has a character that " + backend + " does not allow in a name"
	switch {
	case strings.HasPrefix(name, "arn:"):
		what = "is not the ARN of a secret in " + backend
	case vault && len(name) <= vaultLongest:
		what = "is none that " + backend + " can have"
	case vault, len(name) > 512:
		what = fmt.Sprintf("is longer than %s allows (%d characters)", backend, len(name))
	}
	return &ReferenceError{Reason: "the path of the reference " + what, Hint: "allowed are " + rule.says}
}
