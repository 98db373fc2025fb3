package render

import (
	"bytes"
	"strings"

	"bifrost-secrets/walker"
)

// trait is a property of a value that is harmless in some fields and not in
// others. It is found once for each value, however many fields want it.
type trait uint16

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
)

func traitsOf(value []byte) trait {
	var t trait
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
	set(len(bytes.TrimSpace(value)) != len(value), outerSpace)
	set(len(value) > 1 && value[0] == '{' && value[len(value)-1] == '}', jsonObject)
	set(bytes.ContainsAny(value, " '\\"), hardForLibpq)
	return t
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

// singleValue are the secret fields that hold one value and no document.
func singleValue(e *walker.Entry) bool {
	return secretField(e) && !strings.Contains(e.Note, "JSON document") && !strings.Contains(e.Note, "PEM")
}

var rules = []rule{
	{hasNUL, true, anyField, "the value has a NUL byte in it", "store it as text"},
	{refers, true, anyField, "the value itself begins with env. or vault., so Bifrost would take it for a reference", "store the value that is meant, not a reference to it"},
	{inQuotes, true, anyField, "the value begins or ends with a double quote, which Bifrost strips when it reads its database", "store it without"},
	{masked, true, anyField, "the value looks like a mask, which Bifrost takes for no change", "store the value itself, not what Bifrost shows of it"},
	{empty, true, secretField, "the value is empty", "store a value"},
	{hasLineBreak, true, header, "the value has a line break in it, which a header cannot carry", "store it without"},
	{hasLineBreak, false, keyValue, "the value has a line break in it", "store it without"},
	{outerSpace, false, singleValue, "the value begins or ends with space", "store it without"},
	{jsonObject, false, singleValue, "the value is a JSON object and the field wants one value", "name a key of it: vault.path#key"},
	{hardForLibpq, false, postgresPassword, "the password has a space, a quote or a backslash in it, which Bifrost below 1.5 passes on unquoted", "use Bifrost 1.5 or later, or another password"},
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
