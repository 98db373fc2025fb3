package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// trait is a property of a value that is harmless in some fields and not in
// others. It is found once for each value, however many fields want it.
type trait uint32

const (
	empty trait = 1 << iota
	hasNUL
	hasLineBreak
	refers
	inQuotes
	masked
	virtualKey
	outerSpace
	jsonObject
	hardForLibpq
	ciphertext
	perhapsCiphertext
	unseenAtAnEnd
	unseenInside
	nearMiss
)

// remarkable is what is to be said of a value in words of its own: what a tool
// has encrypted, characters that nobody sees, and what is no value but a form of
// it. It holds nothing of the value.
type remarkable struct{ cipher, unseen, miss string }

// traitsOf returns the traits of a value, and what to call some of them.
func traitsOf(value []byte) (t trait, about remarkable) {
	set := func(on bool, bit trait) {
		if on {
			t |= bit
		}
	}
	set(len(value) == 0, empty)
	set(bytes.IndexByte(value, 0) >= 0, hasNUL)
	set(bytes.ContainsAny(value, "\r\n"), hasLineBreak)
	set(bytes.HasPrefix(value, []byte("env.")) || bytes.HasPrefix(value, []byte("vault.")), refers)
	set(len(value) > 0 && (value[0] == '"' || value[len(value)-1] == '"'), inQuotes)
	set(walker.IsMasked(string(value)), masked)
	set(bytes.HasPrefix(value, []byte("sk-bf-")), virtualKey)
	set(len(bytes.Trim(value, " \t\r\n\v\f")) != len(value), outerSpace)
	set(len(value) > 1 && value[0] == '{' && value[len(value)-1] == '}' && json.Valid(value), jsonObject)
	set(bytes.ContainsAny(value, " '\\"), hardForLibpq)
	if what, likely := walker.Ciphertext(string(value)); what != "" {
		about.cipher = what
		set(!likely, ciphertext)
		set(likely, perhapsCiphertext)
	}
	if t&(hasNUL|refers|masked|ciphertext|perhapsCiphertext) == 0 {
		about.miss = missIn(value)
		set(about.miss != "", nearMiss)
	}
	if about.unseen = unseenEnds(value); about.unseen != "" {
		t |= unseenAtAnEnd
	} else if about.unseen = unseenWithin(value); about.unseen != "" {
		t |= unseenInside
	}
	return t, about
}

// aSecret stands for every field that a value may be for.
var aSecret = &walker.Entry{Kind: walker.SecretKind}

// missIn returns what a value is that something else was to make the value of: a
// reference or a template of another tool, or a file in a format that has it inside.
func missIn(value []byte) string {
	text := string(value)
	if miss := walker.FindNearMiss(aSecret, text); miss.Found() && !strings.HasPrefix(text, "vault:v") { // of the transit engine
		return miss.What
	}
	name, assigned, _ := strings.Cut(strings.TrimPrefix(text, "export "), "=")
	if assigned != "" && assigned[0] != '=' && strings.Contains(name, "_") && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" {
		return "a variable with its name, NAME=value"
	}
	return ""
}

// unseenEnds returns in words how a value begins and ends, where it is with a
// character that nobody sees or with a quote that is no part of any secret.
func unseenEnds(value []byte) string {
	var said []string
	first, _ := utf8.DecodeRune(value)
	last, size := utf8.DecodeLastRune(value)
	if name := endName(first); name != "" {
		said = append(said, "begins with "+name)
	}
	if name := endName(last); name != "" && len(value) > size {
		said = append(said, "ends with "+name)
	}
	if len(value) > 2 && len(said) == 0 && first == last && (first == '\'' || first == '`') {
		said = append(said, "stands in quotes")
	}
	return strings.Join(said, " and ")
}

func endName(r rune) string {
	if walker.TypographicQuote(r) {
		return fmt.Sprintf("a typographic quote (U+%04X)", r)
	}
	return walker.UnseenName(r)
}

// unseenWithin names the first character of a value that leaves no mark at all.
// Spaces of all widths may be meant there, and line breaks have rules of their own.
func unseenWithin(value []byte) string {
	for _, r := range string(value) {
		if name := walker.UnseenName(r); name != "" && r != 0 && !unicode.IsSpace(r) {
			return name
		}
	}
	return ""
}

// rule is a check of a value against the field that it goes to. The facts are
// those of runtime.md 1.7: what Bifrost does with such a value.
type rule struct {
	trait  trait
	fails  bool // the value is refused; otherwise there is a note
	field  func(*walker.Entry) bool
	reason string
	hint   string
}

func anyField(*walker.Entry) bool      { return true }
func secretField(e *walker.Entry) bool { return e.Kind == walker.SecretKind }
func header(e *walker.Entry) bool      { return strings.HasSuffix(e.Pattern, "headers.*") }
func keyValue(e *walker.Entry) bool    { return strings.HasSuffix(e.Pattern, "keys[].value") }
func isVirtualKey(e *walker.Entry) bool {
	return e.Pattern == "governance.virtual_keys[].value"
}
func postgresPassword(e *walker.Entry) bool {
	return strings.HasSuffix(e.Selector, "=postgres") && strings.HasSuffix(e.Pattern, ".password")
}

// oneLine are the fields that hold no document.
func oneLine(e *walker.Entry) bool {
	return !strings.Contains(e.Note, "JSON document") && !strings.Contains(e.Note, "PEM")
}

// singleValue are the secret fields that hold one value and no document.
func singleValue(e *walker.Entry) bool {
	return secretField(e) && oneLine(e)
}

// reasonFor returns why a value breaks the rule, in the words about that value.
func (r *rule) reasonFor(about remarkable) string {
	return strings.NewReplacer("%cipher", about.cipher, "%unseen", about.unseen, "%miss", about.miss).Replace(r.reason)
}

var rules = []rule{
	{hasNUL, true, anyField, "the value has a NUL byte in it", "store it as text"},
	{refers, true, anyField, "the value itself begins with env. or vault., so Bifrost would take it for a reference", "store the value that is meant, not a reference to it"},
	{inQuotes, true, anyField, "the value begins or ends with a double quote, which Bifrost strips when it reads its database", "store it without"},
	{masked, true, anyField, "the value looks like a mask, which Bifrost takes for no change", "store the value itself, not what Bifrost shows of it"},
	{empty, true, secretField, "the value is empty", "store a value"},
	{hasLineBreak, true, header, "the value has a line break in it, which a header cannot carry", "store it without"},
	{hasLineBreak, false, keyValue, "the value has a line break in it", "store it without"},
	{ciphertext, true, anyField, "the value is %cipher, and Bifrost would use it as it stands", "store what it decrypts to"},
	{perhapsCiphertext, false, secretField, "the value looks like %cipher", "if it is, store what it decrypts to"},
	{unseenAtAnEnd, false, oneLine, "the value %unseen", "store it without, unless it is meant"},
	{unseenInside, false, oneLine, "the value has %unseen in it", "store it without, unless it is meant"},
	{nearMiss, false, singleValue, "the value looks like %miss", "store the value itself"},
	{outerSpace, false, singleValue, "the value begins or ends with space", "store it without"},
	{jsonObject, false, singleValue, "the value is a JSON object and the field wants one value", "name a key of it: vault.path#key"},
	{hardForLibpq, false, postgresPassword, "the password has a space, a quote or a backslash in it, which Bifrost up to 1.5.0 passes on unquoted", "use Bifrost 1.5.16 or later, or another password"},
}

// Remarks returns what is wrong with a value whatever field it is for, as reasons and
// hints: what a render would refuse, and what it would note.
func Remarks(text []byte) (all []Problem) {
	text, err := whole(text)
	if err != nil {
		return []Problem{{Reason: err.Message, Hint: err.Hint, Warning: true}}
	}
	t, about := traitsOf(text)
	for i := range rules {
		if r := &rules[i]; t&r.trait != 0 && r.trait != jsonObject && r.field(aSecret) {
			all = append(all, Problem{Reason: r.reasonFor(about), Hint: r.hint, Warning: r.fails})
		}
	}
	return all
}

// judge holds a value against the field of an edit. It reports refusals to fail
// and remarks to note.
func judge(t trait, e *walker.Entry, fail, note func(*rule)) {
	if t&virtualKey == 0 && isVirtualKey(e) {
		fail(&notVirtualKey)
	}
	if t&^virtualKey == 0 {
		return
	}
	for i := range rules {
		r := &rules[i]
		if t&r.trait == 0 || !r.field(e) {
			continue
		}
		if r.fails {
			fail(r)
		} else {
			note(r)
		}
	}
}

var notVirtualKey = rule{
	reason: "the value does not begin sk-bf-, so Bifrost would make a key of its own in its place",
	hint:   "virtual keys begin sk-bf-",
}
