package hashivault

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"bifrost-secrets/sources"
)

const (
	// maxName is the most bytes of a name that is written: a Consul behind Vault
	// takes no longer key.
	maxName = 400
	// maxRead is the most bytes of one that is read: other storages take more.
	maxRead = 2048
)

const (
	readHint = "a name has 1 to 2048 bytes, parts between single slashes, and no # or unprintable characters"
	nameHint = "a name that is written has 1 to 400 bytes, parts between single slashes, and none of # ? * \\ or unprintable characters"
)

// checkName refuses what is no name of a secret. The client cleans a path before
// it sends it, so a name with `..` would read beside the mount.
func checkName(name string) *sources.Error {
	return badName(name, checkPath(name), readHint)
}

// checkWritable refuses what other programs would misread, too.
func checkWritable(name string) *sources.Error {
	why := checkPath(name)
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
		Message: fmt.Sprintf("%q cannot be the name of a secret in vault: %s", shorten(name), why),
	}
}

// checkPath says what is wrong with a path, or "".
func checkPath(path string) string {
	switch {
	case path == "":
		return "it is empty"
	case len(path) > maxRead:
		return fmt.Sprintf("it has %d bytes", len(path))
	case !utf8.ValidString(path):
		return "it is not utf-8 text"
	}
	for _, r := range path {
		if r == '#' || !unicode.IsPrint(r) {
			return fmt.Sprintf("it has the character %q", r)
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "":
			return "it begins or ends with a slash, or has two in a row"
		case ".", "..":
			return "it has a part that is only dots"
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
