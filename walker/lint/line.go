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
}

// arrayOf gives the path of the array that an element is in.
func arrayOf(path string) string {
	if i := strings.LastIndexByte(path, '['); i >= 0 && strings.HasSuffix(path, "]") {
		return path[:i]
	}
	return ""
}

// next takes note of the argument in the field.
func (n *line) next(f *walker.Field) {
	n.array, n.flag = arrayOf(f.Path), ""
	if !strings.HasSuffix(f.Entry.Pattern, ".args[]") || f.What != walker.Literal {
		return
	}
	n.flag = tellingFlag(f.Text())
}

// tellingFlag gives the name of an option whose value is a credential.
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
	var name string
	if n.flag != "" && n.array == arrayOf(f.Path) && !strings.HasPrefix(text, "-") {
		name, found.text = n.flag, text
	} else {
		name, found.text = credentialOf(text)
	}
	if !found.found() || filledLater(found.text) || isPath(found.text) || strings.Contains(found.text, "://") || strings.Trim(found.text, "=") == "" {
		return leak{}
	}
	if strings.HasSuffix(strings.ToLower(name), "auth") && !plausible(found.text, name) {
		return leak{} // --auth basic
	}
	found.of = "the value of an option"
	if shown := printable(name); shown != "" {
		found.of = "the value of " + shown
	}
	found.fake = looksFake(found.text, isPassword(name))
	return found
}

// openInLine finds a secret that needs no name to tell, in any word of a text or
// in what a word gives a name: DATABASE_URL=postgres://….
func openInLine(f *walker.Field, text string) leak {
	found := openLeak(text)
	for _, word := range strings.Fields(text) {
		if found.found() {
			break
		}
		if _, value, ok := assigned(word); ok {
			word = value
		}
		found = openLeak(word)
	}
	if filledLater(found.text) || refers(found.text) {
		return leak{}
	}
	found.hint = lineHint(f)
	return found
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

// assigned takes apart what gives a name a value: NAME=value, --name=value, and
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
