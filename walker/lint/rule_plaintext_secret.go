package lint

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"bifrost-secrets/walker"
)

// PlaintextSecret is the id of the rule that finds secrets in plain text.
const PlaintextSecret = "plaintext-secret"

var plaintextSecret = Rule{
	ID: PlaintextSecret, Severity: Warning,
	Summary: "a secret that stands in the file itself",
	field: func(c *checker, f *walker.Field) {
		for i := range c.look.leaks {
			if l := &c.look.leaks[i]; l.hashed {
				c.at(f, "", "a bcrypt hash, from which the password cannot be read, but can be guessed").Severity = Note
			} else {
				c.tellLeak(f, l)
			}
		}
	},
	document: (*checker).strayLeaks,
}

func (c *checker) tellLeak(f *walker.Field, l *leak) {
	kind := ""
	if !l.fake {
		kind = shapeOf(l.text)
	}
	found := c.at(f, l.hint, l.message(kind))
	if l.within > 0 && !f.Object {
		found.Span = c.within(found.Span, l)
	}
	switch {
	case l.fake:
		found.Severity = Note
	case kind != "":
		found.Severity = Error
	}
}

// cursor goes through a string of the document, of which it knows the place of each
// byte of the text. It goes back to the start for one that it has passed.
type cursor struct {
	of   walker.Span
	at   int // in the document
	text int // in the text
}

// within returns the place of a leak in a string of the document.
func (c *checker) within(of walker.Span, l *leak) walker.Span {
	return walker.Span{Start: c.rawOffset(of, l.within), End: c.rawOffset(of, l.within+len(l.text))}
}

// rawOffset returns where in the document a byte of the text of a string stands.
func (c *checker) rawOffset(of walker.Span, offset int) int {
	cur := &c.cursor
	if cur.of != of || cur.text > offset {
		*cur = cursor{of: of, at: of.Start + 1}
	}
	for b := c.doc.Bytes(); cur.text < offset && cur.at < of.End-1; cur.text++ {
		switch at := cur.at; {
		case b[at] != '\\':
			cur.at++
		case b[at+1] != 'u':
			cur.at += 2
		default:
			r, n := rune(unit(b[at:])), len(`\u0000`)
			if utf16.IsSurrogate(r) && b[at+n] == '\\' && b[at+n+1] == 'u' {
				if both := utf16.DecodeRune(r, rune(unit(b[at+n:]))); both != utf8.RuneError {
					r, n = both, 2*n
				}
			}
			cur.text += len(string(r)) - 1 // of one half alone, that of the character in its place
			cur.at += n
		}
	}
	return cur.at
}

// unit returns the number in an escape: \u00e9.
func unit(escape []byte) uint64 {
	n, _ := strconv.ParseUint(string(escape[len(`\u`):len(`\u0000`)]), 16, 16) // checked when the document was read
	return n
}

// strayLeaks reports the secrets outside of every field: nothing but their form,
// or the name that they have, tells that they are any.
func (c *checker) strayLeaks() {
	c.keysAsNames()
	c.leaksInComments()
	type stray struct {
		suspect
		leaks []leak
	}
	var all []stray
	var offsets []int
	for _, one := range c.facts.strays {
		if leaks := c.strayLeak(one); len(leaks) > 0 {
			all = append(all, stray{one, leaks})
			offsets = append(offsets, one.Start)
		}
	}
	paths := c.doc.Paths(offsets...)
	for _, one := range all {
		for i := range one.leaks {
			l := &one.leaks[i]
			kind := shapeOf(l.text)
			span := one.Span
			if l.within > 0 {
				span = c.within(span, l)
			}
			found := c.report(paths[one.Start], span, "take it out of the file; if a field was meant, check the spelling of the members above", l.message(kind)+", outside of every field that is known")
			switch {
			case kind == virtualKey && identifies(lastName(found.Path)):
				found.Severity = Note // the id of a virtual key may look like one
			case kind != "":
				found.Severity = Error
			}
		}
	}
}

// anySecret stands for the field that a secret outside of every field was meant
// for.
var anySecret = &walker.Entry{Kind: walker.SecretKind}

func identifies(name string) bool {
	all := words(name)
	return len(all) > 0 && (all[len(all)-1] == "id" || all[len(all)-1] == "ids")
}

// strayLeak finds secrets in a string of which no more is known than its name.
// The path of a URL may have parameters too.
func (c *checker) strayLeak(s suspect) []leak {
	text := c.doc.String(s.Span)
	if strings.HasPrefix(text, "/") && strings.ContainsAny(text, "?#") && !strings.ContainsAny(text, " \t\n\"'") {
		text = "https://host" + text
	}
	name := ""
	if s.hint != silent {
		name = c.doc.String(s.name)
	}
	all := openLeaks(text, name)
	value := text[authScheme(text):]
	if len(all) == 0 && s.hint == tells && value != "" && !strings.Contains(value, " ") && credible(value, name, tells, len(name) <= len("key")) && !looksFake(value, isPassword(name)) {
		if miss := walker.FindNearMiss(anySecret, text); !miss.Found() && !walker.IsMasked(text) {
			return []leak{{text: text, what: inPlainText}}
		}
	}
	kept := all[:0]
	for _, l := range all {
		if !l.fake {
			kept = append(kept, l)
		}
	}
	return kept
}
