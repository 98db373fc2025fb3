package walker

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Scheme tells where a reference points.
type Scheme uint8

// The schemes of references.
const (
	NoScheme Scheme = iota
	Env             // env.NAME: a variable of the environment
	Vault           // vault.path or vault.path#key: a secret of the vault_store
)

// Reference is a reference, taken apart. A reference is no secret.
type Reference struct {
	Scheme   Scheme
	Name     string // the variable, or the secret's path
	Key      string // the fragment: what follows the first #
	Fragment bool   // there is a fragment
}

// IsZero reports whether r is no reference at all.
func (r Reference) IsZero() bool { return r.Scheme == NoScheme }

// String spells the reference as it stands in a document.
func (r Reference) String() string {
	switch {
	case r.Scheme == Env:
		return "env." + r.Name
	case r.Scheme == Vault && r.Fragment:
		return "vault." + r.Name + "#" + r.Key
	case r.Scheme == Vault:
		return "vault." + r.Name
	}
	return ""
}

// Shown returns the reference for messages. A part that looks as keys do, and not
// as names do, was typed in the place of the name: only its length is shown.
func (r Reference) Shown() string {
	if r.Scheme == Env {
		r.Name = ShownVariable(r.Name)
	} else {
		r.Name, r.Key = ShownName(r.Name), ShownName(r.Key)
	}
	return r.String()
}

// ShownName returns the name of a secret, or of a key in one, for messages: see
// [Reference.Shown].
func ShownName(name string) string {
	if !likeKey(name) {
		return name
	}
	return "(" + strconv.Itoa(utf8.RuneCountInString(name)) + " characters that look like a key)"
}

// HideName returns text with the name of a secret in it as [ShownName] has it.
func HideName(text, name string) string {
	if shown := ShownName(name); shown != name {
		return strings.ReplaceAll(text, name, shown)
	}
	return text
}

// ShownVariable returns the name of a variable for messages, and only the length of
// what cannot be one, or is as mixed as a key is: one that was typed in the place of
// the name.
func ShownVariable(name string) string {
	mixed := len(name) >= 20 && mixtureOf(name).mixed()
	if isWord(name) && strings.IndexByte(name, '-') < 0 && !mixed {
		return name
	}
	return "(" + strconv.Itoa(utf8.RuneCountInString(name)) + " characters that are no name)"
}

// likeKey reports whether a text has a word in it as keys have and names have not:
// a long one in which digits stand at several places among letters of both cases.
// The names that backends and tools make have none: what is drawn at random in an
// ARN is short, and UUIDs are of one case.
func likeKey(text string) bool {
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && (letter(text[i]) && text[i] != '_' && text[i] != '$' || '0' <= text[i] && text[i] <= '9') {
			continue
		}
		if word := text[start:i]; len(word) >= 20 {
			if m := mixtureOf(word); m.mixed() && m.numbers > 1 {
				return true
			}
		}
		start = i + 1
	}
	return false
}

// mixture is what a text has in it.
type mixture struct {
	lower, upper bool
	numbers      int // runs of digits
}

func (m mixture) mixed() bool { return m.lower && m.upper && m.numbers > 0 }

func mixtureOf(text string) (m mixture) {
	before := byte(0)
	for i := range len(text) {
		c := text[i]
		m.lower = m.lower || 'a' <= c && c <= 'z'
		m.upper = m.upper || 'A' <= c && c <= 'Z'
		if '0' <= c && c <= '9' && !('0' <= before && before <= '9') {
			m.numbers++
		}
		before = c
	}
	return m
}

// ParseReference takes a decoded text apart. It returns the zero Reference for a
// text that does not begin `env.` or `vault.`, and a *ReferenceError for one
// that does but cannot be a reference. What a backend allows as a name is not
// looked at here: see [CheckName].
func ParseReference(text string) (Reference, error) {
	scheme, rest := NoScheme, ""
	switch {
	case strings.HasPrefix(text, "vault."):
		scheme, rest = Vault, text[len("vault."):]
	case strings.HasPrefix(text, "env."):
		scheme, rest = Env, text[len("env."):]
	default:
		return Reference{}, nil
	}
	if err := checkText(scheme, rest); err != nil {
		return Reference{}, err
	}
	if scheme == Env {
		return Reference{Scheme: Env, Name: rest}, nil
	}
	path, key, fragment := strings.Cut(rest, "#")
	const hint = "write vault.path for a whole secret, vault.path#key for one key of it"
	switch {
	case path == "":
		return Reference{}, reasonf(hint, "the reference has an empty path")
	case fragment && key == "":
		return Reference{}, reasonf(hint, "the reference has an empty key after #")
	case strings.TrimSpace(path) != path || strings.TrimSpace(key) != key:
		return Reference{}, reasonf("remove the space", "the reference has space around its path or key")
	}
	return Reference{Scheme: Vault, Name: path, Key: key, Fragment: fragment}, nil
}

func checkText(scheme Scheme, rest string) *ReferenceError {
	plain := true // ASCII that leaves a mark, as nearly always
	for i := range len(rest) {
		plain = plain && ' ' < rest[i] && rest[i] < 0x7f
	}
	if !plain {
		if err := checkUnseen(rest); err != nil {
			return err
		}
	}
	if scheme != Env {
		return nil
	}
	if rest == "" {
		return reasonf("write env.NAME", "the reference names no variable")
	}
	if strings.ContainsAny(rest, "= ") {
		return reasonf("write env.NAME", "the reference names a variable that no environment can have")
	}
	return nil
}

// checkUnseen refuses control characters, and what nobody sees at an end.
func checkUnseen(rest string) *ReferenceError {
	for _, r := range rest {
		if unicode.IsControl(r) {
			return reasonf("check how the value was pasted", "the reference has a control character in it")
		}
	}
	path, key, _ := strings.Cut(rest, "#")
	for _, part := range [...]string{path, key} {
		first, _ := utf8.DecodeRuneInString(part)
		last, _ := utf8.DecodeLastRuneInString(part)
		if name := cmp.Or(UnseenName(first), UnseenName(last)); name != "" {
			return reasonf("type it anew", "the reference has %s at an end of its path or key, which nobody sees", name)
		}
	}
	if strings.TrimSpace(rest) != rest {
		return reasonf("remove the space", "the reference has space at its ends")
	}
	return nil
}

// looksLikeReference reports whether a JSON string, quotes included,
// begins like a reference once it is decoded.
func looksLikeReference(raw []byte) bool {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner[:min(len(inner), 6*len("vault."))], '\\') >= 0 {
		inner = []byte(unescape(inner))
	}
	return bytes.HasPrefix(inner, []byte("vault.")) || bytes.HasPrefix(inner, []byte("env."))
}

// unescape decodes the inside of a JSON string that is known to be valid, lone
// surrogates excluded.
func unescape(s []byte) string {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s)
	}
	return gjson.Parse(`"` + string(s) + `"`).Str
}

// hex4 reads four hexadecimal digits.
func hex4(s []byte) rune {
	var r rune
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
