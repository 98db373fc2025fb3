package file

import (
	"strings"

	"filippo.io/age"
)

// Identities implements [sources.Inspector]. A secret may lie in a file of its
// name or, encrypted, in one with .age behind it, and a reference may name either.
func (*directory) Identities(name string) []string {
	if short, ok := strings.CutSuffix(name, ".age"); ok && short != "" {
		return []string{name, short}
	}
	return []string{name}
}

// Identities implements [sources.Inspector].
func (*document) Identities(name string) []string { return []string{name} }

// Recipients returns whom new files are encrypted for; there are none where they
// are not.
func (b *base) Recipients() ([]age.Recipient, error) {
	if !b.seals() {
		return nil, nil
	}
	to, _, err := b.keys.Readers()
	return to, err
}
