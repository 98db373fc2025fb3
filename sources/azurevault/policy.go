package azurevault

import (
	"fmt"
	"slices"
	"strings"
)

// Policy returns the least roles that let names be read, as commands of the Azure
// CLI for people to run: one role on exactly these secrets, for a vault with
// role-based access control. Azure has no batches.
func (s *source) Policy(names []string) []byte {
	return []byte(s.head() + s.readRoles(names))
}

func (s *source) head() string {
	return fmt.Sprintf("# who runs bifrost-secrets: the object id of an app or of a managed identity\nPRINCIPAL=00000000-0000-0000-0000-000000000000\nVAULT=$(az keyvault show --name %s --query id --output tsv)\n", s.shortName())
}

func (s *source) readRoles(names []string) string {
	var lines []string
	for _, name := range names {
		if n, err := s.parse(name); err == nil {
			lines = append(lines, fmt.Sprintf("az role assignment create --assignee \"$PRINCIPAL\" --role %q --scope \"$VAULT/secrets/%s\"\n", role(reading), n.ID))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "")
}

// WritePolicy returns the least roles that let names be read and secrets be
// stored, looked at and deleted. Azure grants that for a vault or for single
// secrets, and not for names that begin with prefix, so a vault of its own is
// what keeps the rest apart.
func (s *source) WritePolicy(names []string, prefix string) []byte {
	return []byte(s.head() + s.readRoles(names) + fmt.Sprintf(`
# store and delete secrets under %s: azure grants that on the whole vault
az role assignment create --assignee "$PRINCIPAL" --role "Key Vault Secrets Officer" --scope "$VAULT"
`, prefix))
}
