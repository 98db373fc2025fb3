package hashivault

import (
	"fmt"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

const (
	// maxName is the most bytes of a name that is written: a Consul behind Vault
	// takes no longer key.
	maxName = 400
)

const (
	readHint = "a name has 1 to 2048 bytes, parts between single slashes, and no # or unprintable characters"
	nameHint = "a name that is written has 1 to 400 bytes, parts between single slashes, and none of # ? * \\ or unprintable characters"
)

func (*source) parse(text string) (perkey.Name, *sources.Error) {
	return perkey.Name{Text: text, ID: text}, checkName(text)
}

// checkName refuses what is no name of a secret. The client cleans a path before
// it sends it, so a name with `..` would read beside the mount.
func checkName(name string) *sources.Error {
	return badName(name, sources.CheckPath(name), readHint)
}

// checkWritable refuses what other programs would misread, too.
func checkWritable(name string) *sources.Error {
	why := sources.CheckPath(name)
	if i := strings.IndexAny(name, `?*\`); why == "" && i >= 0 {
		why = fmt.Sprintf("it has the character %q", name[i])
	}
	if why == "" && len(name) > maxName {
		why = fmt.Sprintf("it has %d bytes", len(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if why == "" && strings.TrimSpace(part) != part {
			why = "it has a part that begins or ends with a space"
		}
	}
	return badName(name, why, nameHint)
}

func badName(name, why, hint string) *sources.Error {
	if why == "" {
		return nil
	}
	return &sources.Error{
		Kind: sources.BadName, Name: name, Hint: hint,
		Message: fmt.Sprintf("%q cannot be the name of a secret in vault: %s", sources.Shorten(name), why),
	}
}

// Identities implements [sources.Inspector].
func (*source) Identities(name string) []string { return []string{name} }
