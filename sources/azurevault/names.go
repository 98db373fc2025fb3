package azurevault

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
)

// Names is how names become those of a vault, and back.
var Names = sources.Names{
	Allowed: func(c byte) bool { return sources.Alphanumeric(c) || c == '-' },
	Max:     127, Fold: true, System: "azure",
}

var idForm = lazily(`^https://([^/]+)/secrets/([0-9A-Za-z-]{1,127})(?:/([0-9a-f]{32}))?/?$`)

// id is what a reference calls a secret.
type id struct {
	text    string // as the reference spells it
	secret  string // its name in the vault
	version string // empty where the reference names none
}

func (s *source) parse(text string) (id, *sources.Error) {
	if m := idForm().FindStringSubmatch(text); m != nil {
		if !strings.EqualFold(strings.TrimSuffix(m[1], ":443"), strings.TrimSuffix(s.host, ":443")) {
			return id{}, &sources.Error{
				Kind: sources.BadName, Name: text, Message: fmt.Sprintf("%q is in another vault than %s", text, s.host),
				Hint: "all secrets come from vault_store.azure.vault_url",
			}
		}
		return id{text, m[2], m[3]}, nil
	}
	if strings.HasPrefix(text, "https://") {
		return id{}, &sources.Error{
			Kind: sources.BadName, Name: text, Message: "the name begins as an id of azure does, and is not that of a secret",
			Hint: "it looks like " + s.vault + "/secrets/NAME or " + s.vault + "/secrets/NAME/VERSION",
		}
	}
	name, err := Names.ID(text)
	if err != nil {
		return id{}, err
	}
	return id{text: text, secret: name}, nil
}

// owns reports whether an id of the vault is that of the secret, and of the version
// that is asked for, if there is one.
func (i id) owns(got *azsecrets.ID) bool {
	return got != nil && strings.EqualFold(got.Name(), i.secret) && (i.version == "" || got.Version() == i.version)
}

// lazily compiles a pattern when it is first used: those with {1,255} take
// their time, and a program starts more often than it uses this backend.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// Identities implements [sources.Inspector]: Azure does not tell small letters
// from capital ones.
func (s *source) Identities(name string) []string {
	if i, err := s.parse(name); err == nil {
		return []string{strings.ToLower(i.secret)}
	}
	return []string{strings.ToLower(name)}
}
