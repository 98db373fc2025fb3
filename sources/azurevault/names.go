package azurevault

import (
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// Names is how names become those of a vault, and back.
var Names = sources.Azure.Names.Escapes

func (s *source) parse(text string) (perkey.Name, *sources.Error) {
	bad := &sources.Error{Kind: sources.BadName, Name: text}
	if m := sources.Azure.Names.Parse(text); m != nil {
		if !strings.EqualFold(strings.TrimSuffix(m[1], ":443"), s.host) {
			bad.Message = fmt.Sprintf("%q is in another vault than %s", text, s.host)
			bad.Hint = "all secrets come from vault_store.azure.vault_url"
			return perkey.Name{}, bad
		}
		return perkey.Name{Text: text, ID: m[2], Version: m[3]}, nil
	}
	if sources.Azure.Names.IsFull(text) {
		bad.Message = "the name begins as an id of azure does, and is not that of a secret"
		bad.Hint = "it looks like " + s.vault + "/secrets/NAME or " + s.vault + "/secrets/NAME/VERSION"
		return perkey.Name{}, bad
	}
	id, err := Names.ID(text)
	return perkey.Name{Text: text, ID: id}, err
}

// owns reports whether an id of the vault is that of the secret, and of the version
// that is asked for, if there is one.
func owns(n perkey.Name, got *azsecrets.ID) bool {
	return got != nil && strings.EqualFold(got.Name(), n.ID) && (n.Version == "" || got.Version() == n.Version)
}

// subject is what a message is about.
func (s *source) subject(n perkey.Name) string {
	switch {
	case n.ID == "":
		return "the list of secrets in " + s.host
	case strings.HasPrefix(n.Text, "https://"):
		return fmt.Sprintf("secret %q", n.Text) // it names the vault itself
	}
	return fmt.Sprintf("secret %q in %s", n.Text, s.host)
}

// shortName is the vault as the Azure CLI calls it.
func (s *source) shortName() string {
	name, _, _ := strings.Cut(s.host, ".")
	return name
}

// address is the id of a secret, or the address of the vault.
func (s *source) address(n perkey.Name) string {
	switch {
	case n.ID == "":
		return s.vault
	case n.Version == "":
		return s.vault + "/secrets/" + n.ID
	}
	return s.vault + "/secrets/" + n.ID + "/" + n.Version
}

// Identities implements [sources.Inspector]: Azure does not tell small letters
// from capital ones.
func (s *source) Identities(name string) []string {
	if n, err := s.parse(name); err == nil {
		name = n.ID
	}
	return []string{strings.ToLower(name)}
}
