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
		"postgres": {
			regexp.MustCompile(`^[^\p{Cc}]+$`),
			"1 to 512 bytes of text without control characters",
		},
		"file": {
			regexp.MustCompile(`^[^\x00]+$`),
			"a file below the directory, or a member of the JSON file",
		},
	}
})

// nameBytes are the lengths, in bytes, that a rule cannot say, since it counts
// characters.
var nameBytes = map[string]int{"postgres": 512}

// CheckName reports, as a *ReferenceError, why a backend cannot have a secret of
// that name. backend is a vault_store.type; a type without a rule allows any.
func CheckName(backend, name string) error {
	rule, ok := nameRules()[backend]
	most, limited := nameBytes[backend]
	if !ok || (!limited || len(name) <= most) && rule.allowed.MatchString(name) {
		return nil
	}
	what := "has a character that " + backend + " does not allow in a name"
	switch {
	case strings.HasPrefix(name, "arn:"):
		what = "is not the ARN of a secret in " + backend
	case len(name) > 512:
		what = fmt.Sprintf("is longer than %s allows (%d characters)", backend, len(name))
	}
	return &ReferenceError{Reason: "the path of the reference " + what, Hint: "allowed are " + rule.says}
}
