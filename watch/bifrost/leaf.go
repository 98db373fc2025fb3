package bifrost

import (
	"slices"
	"strings"

	"bifrost-secrets/walker"
)

// leaf is what Bifrost shows of one value.
type leaf struct {
	shown string
	typed bool // an object with a type: how newer versions write it
}

// readLeaf reads a value: a string, or the object that Bifrost makes of a
// SecretVar. One that is not there, or null, is shown as empty.
func readLeaf(place string, v value) (leaf, *Error) {
	text, isText := v.text()
	switch {
	case isText || !v.isSet():
		return leaf{shown: text}, nil
	case v.kind() == '{':
		return readSecretVar(place, v)
	}
	return leaf{}, unknownShape(place, "is neither a text nor a secret")
}

// readSecretVar reads {"value","env_var","from_env"} of 1.4 and 1.5, and
// {"value","ref","type"} or {"value","secret_ref","type"} of later versions.
func readSecretVar(place string, v value) (l leaf, f *Error) {
	ok := false
	if l.shown, ok = v.member("value").text(); !ok {
		return l, unknownShape(place, "has no value")
	}
	members, reference := 0, false
	for s, in := range v.each {
		members++
		text, isText := in.text()
		switch s.Name {
		case "value":
		case "env_var", "ref", "secret_ref":
			if !isText && in.isSet() {
				return l, unknownShape(place, "has a "+s.Name+" that is no text")
			}
			reference = reference || text != ""
		case "type":
			if !isText {
				return l, unknownShape(place, "has a type that is no text")
			}
			l.typed = true
			reference = reference || text != "" && text != "plain_text"
		case "from_env":
			from, isBool := in.boolean()
			if !isBool {
				return l, unknownShape(place, "has a from_env that is no boolean")
			}
			reference = reference || from
		default:
			return l, unknownShape(place, "has a member that is not known")
		}
	}
	// The admin's password has a mask and nothing else.
	if v.member("env_var").doc == nil && !l.typed && !(members == 1 && masked(l.shown) && !strings.Contains(l.shown, "*")) {
		return l, unknownShape(place, "says neither type nor env_var")
	}
	if reference {
		return l, noWay("bifrost holds a reference of its own there, which a push would replace by the value", "replace the reference in bifrost's dashboard, or use --mode env")
	}
	return l, nil
}

// literal writes a value in the way that Bifrost showed the one before.
func (l leaf) literal(value string) string {
	if l.typed {
		return `{"value":` + walker.Quote(value) + `,"type":"plain_text"}`
	}
	return walker.Quote(value)
}

// likeness tells how what Bifrost shows relates to a value.
type likeness uint8

const (
	differs likeness = iota // it is another value
	blind                   // it shows too little to tell
	alike                   // it shows the first and the last four characters, and they are these
	exact                   // it shows the value
)

// compare holds what is shown against a value.
func (l leaf) compare(value string) likeness {
	switch {
	case slices.Contains(masks(value), l.shown):
		return alike
	case l.shown == value && !masked(value):
		return exact
	case l.shown != "" && strings.Trim(l.shown, "*") == "":
		// Up to eight characters are shown as that many asterisks.
		if n := len(l.shown); n == len(value) || n == len([]rune(value)) {
			return blind
		}
	case masked(l.shown) && !strings.Contains(l.shown, "*"): // <redacted>
		if value != "" {
			return blind
		}
	}
	return differs
}

// hidden is the middle of a mask.
const hidden = "************************"

// masked reports whether a text stands for another one.
func masked(text string) bool { return walker.IsMasked(text) || strings.Contains(text, hidden) }

// veiled is masked for values that the API shows in clear: there a * or ** is
// what was meant.
func veiled(text string) bool {
	return masked(text) && (len(text) > 3 || strings.Trim(text, "*") != "")
}

// lossy reports whether a mask shows a part of a character, or may not be known
// again as a mask: Bifrost would take it for a value.
func lossy(text string) bool {
	return strings.Contains(text, hidden) && strings.ContainsFunc(text, func(r rune) bool { return r > 0x7f })
}

// masks returns how Bifrost may show a value of more than eight characters. It
// cuts bytes, and JSON makes replacement characters of what is cut apart; the
// second form is for one that cuts characters.
func masks(value string) []string {
	if len(value) <= 8 {
		return nil
	}
	bytes := value[:4] + hidden + value[len(value)-4:]
	all := []string{string([]rune(bytes))}
	if r := []rune(value); len(r) > 8 && len(r) != len(value) {
		all = append(all, string(r[:4])+hidden+string(r[len(r)-4:]))
	}
	return all
}

// telling reports whether first and last characters tell a value from another. Of
// JSON, PEM and URLs those are the same in any other of their kind.
func telling(value string) bool {
	return !slices.ContainsFunc([]string{"{", "[", "-----", "http"}, func(begin string) bool { return strings.HasPrefix(value, begin) })
}
