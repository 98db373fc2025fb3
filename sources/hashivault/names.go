package hashivault

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"bifrost-secrets/sources"
)

// maxName is the most bytes of a name: a Consul behind Vault takes no longer key.
const maxName = 400

const nameHint = "a name has 1 to 400 bytes, parts between single slashes, and none of # ? * \\ or unprintable characters"

// checkName refuses what is no name of a secret. The client cleans a path before
// it sends it, so a name with `..` would read beside the mount.
func checkName(name string) *sources.Error {
	why := checkPath(name)
	if why == "" {
		return nil
	}
	return &sources.Error{
		Kind: sources.BadName, Name: name, Hint: nameHint,
		Message: fmt.Sprintf("%q cannot be the name of a secret in vault: %s", shorten(name), why),
	}
}

// checkPath says what is wrong with a path, or "".
func checkPath(path string) string {
	switch {
	case path == "":
		return "it is empty"
	case len(path) > maxName:
		return fmt.Sprintf("it has %d bytes", len(path))
	case !utf8.ValidString(path):
		return "it is not utf-8 text"
	}
	for _, r := range path {
		if strings.ContainsRune(`#?*\`, r) || !unicode.IsPrint(r) {
			return fmt.Sprintf("it has the character %q", r)
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			return "it begins or ends with a slash, or has two in a row"
		case part == "." || part == "..":
			return "it has a part that is only dots"
		case strings.TrimSpace(part) != part:
			return "it has a part that begins or ends with a space"
		}
	}
	return ""
}

func shorten(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "..."
	}
	return s
}

// Identities implements [sources.Inspector].
func (*source) Identities(name string) []string { return []string{name} }
