package lint

import (
	"strings"

	"bifrost-secrets/walker"
)

// line remembers the option that came last on a command line, whose value may be
// the next argument.
type line struct {
	array string // the path of its array
	flag  string // `--token`; empty if it names no credential
	pair  string // `--user`; empty if it takes no NAME:password
	short bool   // `-p`, which may be a password
}

// arrayOf returns the path of the array that an element is in.
func arrayOf(path string) string {
	if i := strings.LastIndexByte(path, '['); i >= 0 && strings.HasSuffix(path, "]") {
		return path[:i]
	}
	return ""
}

// next takes note of the argument in the field.
func (n *line) next(f *walker.Field) {
	*n = line{array: arrayOf(f.Path)}
	if !strings.HasSuffix(f.Entry.Pattern, ".args[]") || f.What != walker.Literal {
		return
	}
	text := f.Text()
	n.flag, n.short = tellingFlag(text), text == "-p"
	if name := strings.TrimLeft(text, "-"); len(name) < len(text) && pairFlags.Has(name) {
		n.pair = name
	}
}

// tellingFlag returns the name of an option whose value is a credential.
func tellingFlag(text string) string {
	if name := strings.TrimLeft(text, "-"); len(name) < len(text) && isWord(name) && telling(name) {
		return name
	}
	return ""
}

// lineHint says how a command gets a credential that is not on its line.
func lineHint(f *walker.Field) string {
	if strings.HasSuffix(f.Entry.Pattern, ".command") || strings.Contains(f.Entry.Pattern, "password_command") {
		return "let the command read it from a file, or from a variable"
	}
	return "let the server read it from a variable that Bifrost's environment has: write its NAME in envs"
}

// leak finds a secret in an argument, or in an entry of an environment.
func (n *line) leak(f *walker.Field, text string) leak {
	found := leak{what: inPlainText, hint: lineHint(f)}
	follows := n.array == arrayOf(f.Path)
	if name, password := n.pairOrShort(text, follows); password != "" {
		found.text, found.of = password, "the value of "+name
		return found
	}
	var name string
	if n.flag != "" && follows && !strings.HasPrefix(text, "-") {
		name, found.text = n.flag, text
	} else {
		name, found.text = credentialOf(text)
	}
	if found.text == "" || filledLater(found.text) || isPath(found.text) || strings.Contains(found.text, "://") || strings.Trim(found.text, "=") == "" {
		return leak{}
	}
	if strings.HasSuffix(strings.ToLower(name), "auth") && !plausible(found.text, name) {
		return leak{} // --auth basic
	}
	found.of = "the value of " + printable(name, "an option")
	found.fake = looksFake(found.text, isPassword(name))
	return found
}

// pairOrShort finds the password in NAME:password behind --user and the like, and
// behind -p, which often is no password, but a port or a package.
func (n *line) pairOrShort(text string, follows bool) (name, password string) {
	if follows && n.pair != "" {
		return n.pair, pairIn(text)
	}
	if name, value, ok := assigned(text); ok && pairFlags.Has(name) {
		return name, pairIn(value)
	}
	rest, attached := strings.CutPrefix(text, "-p")
	if (attached || follows && n.short) && len(rest) >= 8 && runOf(rest, "_-!$%&*+=?^~") == len(rest) && random(rest) && !looksFake(rest, false) {
		return "-p", rest
	}
	return "", ""
}

// openInLine finds the secrets that need no name to tell, anywhere in a text or
// in what assigns a value to a name: DATABASE_URL=postgres://….
func openInLine(f *walker.Field, text string) []leak {
	name, value, ok := assigned(text)
	if !ok {
		name, value = "", text
	}
	all := openLeaks(value, name)
	if len(all) == 0 {
		all = openLeaks(text, "")
	}
	kept := all[:0]
	for _, l := range all {
		if filledLater(l.text) || walker.Refers(l.text) {
			continue
		}
		l.hint, l.within = lineHint(f), 0
		kept = append(kept, l)
	}
	return kept
}

// credentialOf finds a credential in a text that is, or holds, options and
// variables with their values.
func credentialOf(text string) (name, value string) {
	if name, value, ok := assigned(text); ok && telling(name) {
		return name, value
	}
	flag := ""
	for _, word := range strings.Fields(text) {
		if name, value, ok := assigned(word); ok && telling(name) {
			return name, value
		}
		if flag != "" && !strings.HasPrefix(word, "-") {
			return flag, word
		}
		flag = tellingFlag(word)
	}
	return "", ""
}

// assigned takes apart what assigns a value to a name: NAME=value, --name=value, and
// a header, `Name: value`.
func assigned(text string) (name, value string, ok bool) {
	i := strings.IndexAny(text, "=: ")
	if i <= 0 || text[i] == ' ' {
		return "", "", false
	}
	name, value, ok = strings.TrimLeft(text[:i], "-"), text[i+1:], true
	if text[i] == ':' {
		// Without the space it may be an image and its tag.
		ok = !strings.HasPrefix(value, "//") && (strings.HasPrefix(value, " ") || len(value) >= 16)
		value = strings.TrimLeft(value, " ")
	}
	return name, value, ok && isWord(strings.ReplaceAll(name, ".", "_")) && value != ""
}

// filledLater reports whether a text holds a variable that the program itself,
// or a shell, fills in.
func filledLater(text string) bool {
	return strings.HasPrefix(text, "$") || strings.Contains(text, "${") || strings.Contains(text, "$(") || strings.Contains(text, "{{")
}
