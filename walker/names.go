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
		// How sources.Names writes other characters is said where it is read.
		"azure-key-vault": {
			regexp.MustCompile(`^(?:https://[^/]+/secrets/[0-9A-Za-z-]{1,127}(?:/[0-9a-f]{32})?/?|[^\x00-\x1f\x7f]{1,127})$`),
			"1 to 127 characters, of which each but A-Z a-z 0-9 - is written -xHH- in the vault and counts five, or the id of a secret",
		},
		"gcp-secret-manager": {
			regexp.MustCompile(`^(?:projects/[a-z0-9.:-]+/secrets/[A-Za-z0-9_-]{1,255}(?:/versions/[A-Za-z0-9_-]{1,63})?|[^\x00-\x1f\x7f]{1,255})$`),
			"1 to 255 characters, of which each but A-Z a-z 0-9 _ - is written -xHH- in the id and counts five, or the resource name of a secret",
		},
		"file": {
			regexp.MustCompile(`^[^\x00]+$`),
			"a file below the directory, or a member of the JSON file",
		},
	}
})

// longest is the most characters of a name that is no ARN, id or resource.
func longest(backend string) int {
	switch backend {
	case "azure-key-vault":
		return 127
	case "gcp-secret-manager":
		return 255
	}
	return 512
}

// CheckName reports, as a *ReferenceError, why a backend cannot have a secret of
// that name. backend is a vault_store.type; a type without a rule allows any.
func CheckName(backend, name string) error {
	rule, ok := nameRules()[backend]
	if !ok || rule.allowed.MatchString(name) {
		return nil
	}
	what := "has a character that " + backend + " does not allow in a name"
	switch {
	case strings.HasPrefix(name, "arn:"):
		what = "is not the ARN of a secret in " + backend
	case len(name) > longest(backend):
		what = fmt.Sprintf("is longer than %s allows (%d characters)", backend, len(name))
	}
	return &ReferenceError{Reason: "the path of the reference " + what, Hint: "allowed are " + rule.says}
}
