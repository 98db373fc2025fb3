package sources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Naming says what names a backend allows.
type Naming struct {
	// Parse returns the parts of a name, the whole of it first, and nil for what is
	// no name. Where the backend escapes names it takes the full ones alone.
	Parse func(name string) []string
	Max   int    // bytes; 0 where Parse says it
	Says  string // the rule in words
	// Full is what the full names of a backend that escapes others begin with, and
	// Escapes is how it does that; nil where names are kept as they are.
	Full    []string
	Escapes *Names

	wrong string // what a name is that Parse refuses; empty for the usual words
}

// pattern returns a Parse by a regular expression, which is compiled when it is
// first needed. A part has at most as many bytes as limits say, 0 for any number:
// {1,512} in the expression would be 512 steps of it.
func pattern(text string, limits ...int) func(string) []string {
	form := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
	return func(name string) []string {
		parts := form().FindStringSubmatch(name)
		for i, limit := range limits {
			if parts != nil && limit > 0 && len(parts[i+1]) > limit {
				return nil
			}
		}
		return parts
	}
}

// whole returns a Parse of names that have no parts.
func whole(allowed func(name string) bool) func(string) []string {
	return func(name string) []string {
		if !allowed(name) {
			return nil
		}
		return []string{name}
	}
}

// IsFull reports whether a name begins as the full ones do.
func (n Naming) IsFull(name string) bool {
	return slices.ContainsFunc(n.Full, func(head string) bool { return strings.HasPrefix(name, head) })
}

// CheckName returns why a backend of that vault_store.type cannot have a secret of
// that name, as the end of a sentence, and what names it allows; both are empty
// where it can, and for a type that is not known.
func CheckName(kind, name string) (why, hint string) {
	if f, ok := Known(kind); ok {
		return f.CheckName(name)
	}
	return "", ""
}

// CheckName is the function of the same name for this backend.
func (f Facts) CheckName(name string) (why, hint string) {
	n := &f.Names
	long := n.Max > 0 && len(name) > n.Max
	switch {
	case name == "":
		why = "is empty"
	case n.Escapes != nil && !n.IsFull(name):
		if size := len(n.Escapes.encode(name)); size > n.Escapes.Max {
			why = fmt.Sprintf("would have %d characters in %s", size, f.Type)
		} else if unwritable(name) {
			why = "has a control character, or one that is not utf-8"
		}
	case !long && n.Parse(name) != nil:
	case n.Escapes != nil:
		why = "begins with " + n.Full[0] + ", and is not that of a secret in " + f.Type
	case strings.HasPrefix(name, "arn:"):
		why = "is not the ARN of a secret in " + f.Type
	case long, n.Max == 0 && len(name) > 512:
		why = fmt.Sprintf("is longer than %s allows (%d characters)", f.Type, len(name))
	case n.wrong != "":
		why = n.wrong
	default:
		why = "has a character that " + f.Type + " does not allow in a name"
	}
	if why == "" {
		return "", ""
	}
	return why, "allowed are " + n.Says
}

// maxPath is the most bytes of a path of Vault.
const maxPath = 2048

// CheckPath returns what is wrong with a path of Vault, or "". Its client cleans a
// path before it sends it, so one with `..` would read beside the mount.
func CheckPath(path string) string {
	switch {
	case path == "":
		return "it is empty"
	case len(path) > maxPath:
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
