package walker

import (
	"fmt"
	"strings"
	"unicode"
)

// unseen names the characters that leave no mark on the screen, or look like
// plain space.
var unseen = map[rune]string{
	'\ufeff': "a byte order mark",
	'\u200b': "a zero-width space",
	'\u200c': "a zero-width non-joiner",
	'\u200d': "a zero-width joiner",
	'\u2060': "a word joiner",
	'\u200e': "a left-to-right mark",
	'\u200f': "a right-to-left mark",
	'\u061c': "an Arabic letter mark",
	'\u00ad': "a soft hyphen",
	'\u00a0': "a no-break space",
	'\u202f': "a narrow no-break space",
	'\u3000': "an ideographic space",
	'\u2028': "a line separator",
	'\u2029': "a paragraph separator",
	'\u115f': "a filler", '\u1160': "a filler", '\u3164': "a filler", '\uffa0': "a filler",
	'\u2800': "an empty braille pattern",
	'\u034f': "a grapheme joiner",
}

// UnseenName returns what a character is called that people do not see, with its
// code: "a zero-width space (U+200B)". It returns "" for every other character
// and for plain ASCII space.
func UnseenName(r rune) string {
	name := unseen[r]
	switch {
	case r == ' ' || '\t' <= r && r <= '\r':
		return ""
	case name != "":
	case '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069':
		name = "a mark of the direction of text"
	case unicode.Is(unicode.Zs, r):
		name = "a space that is not the plain one"
	case unicode.IsControl(r):
		name = "a control character"
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		name = "a character that leaves no mark"
	default:
		return ""
	}
	return fmt.Sprintf("%s (U+%04X)", name, r)
}

// TrimUnseen returns text without the space and the unseen characters at its
// ends.
func TrimUnseen(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || UnseenName(r) != "" })
}

// typographic are the quotes that word processors and chat programs write.
const typographic = "‘’‚‛“”„‟‹›«»′″`´＂＇「」『』"

// TypographicQuote reports whether r is a quote that no program writes around a
// value, but a word processor or a chat does.
func TypographicQuote(r rune) bool { return strings.ContainsRune(typographic, r) }

// alike maps characters to those that they are taken for.
var alike = map[rune]rune{
	'。': '.', '｡': '.', '․': '.', '﹒': '.', '∕': '/', '⁄': '/', '﹟': '#',
	'а': 'a', 'е': 'e', 'ѵ': 'v', 'ν': 'v', // Cyrillic and Greek letters
}

// asSeen returns text as people see it: without characters that leave no mark,
// and with plain ones for those that look like them. odd is the first of them.
func asSeen(text string) (seen string, odd rune) {
	for i := 0; ; i++ {
		if i == len(text) {
			return text, 0
		}
		if text[i] >= 0x80 || text[i] < ' ' {
			break
		}
	}
	seen = strings.Map(func(r rune) rune {
		as := r
		switch {
		case unicode.IsSpace(r):
			as = ' '
		case UnseenName(r) != "":
			as = -1
		case '！' <= r && r <= '～': // the full-width forms of ASCII
			as = r - '！' + '!'
		case alike[r] != 0:
			as = alike[r]
		}
		if as != r && odd == 0 && r > ' ' {
			odd = r
		}
		return as
	}, text)
	return seen, odd
}
