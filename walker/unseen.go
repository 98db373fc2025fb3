package walker

import (
	"fmt"
	"strings"
	"unicode"
)

// unseen returns the name of a character that leaves no mark on the screen, or looks
// like plain space, if it has one of its own.
func unseen(r rune) string {
	switch r {
	case '\ufeff':
		return "a byte order mark"
	case '\u200b':
		return "a zero-width space"
	case '\u200c':
		return "a zero-width non-joiner"
	case '\u200d':
		return "a zero-width joiner"
	case '\u2060':
		return "a word joiner"
	case '\u200e':
		return "a left-to-right mark"
	case '\u200f':
		return "a right-to-left mark"
	case '\u061c':
		return "an Arabic letter mark"
	case '\u00ad':
		return "a soft hyphen"
	case '\u00a0':
		return "a no-break space"
	case '\u202f':
		return "a narrow no-break space"
	case '\u3000':
		return "an ideographic space"
	case '\u2028':
		return "a line separator"
	case '\u2029':
		return "a paragraph separator"
	case '\u115f', '\u1160', '\u3164', '\uffa0':
		return "a filler"
	case '\u2800':
		return "an empty braille pattern"
	case '\u034f':
		return "a grapheme joiner"
	}
	return ""
}

// UnseenName returns what a character is called that people do not see, with its
// code: "a zero-width space (U+200B)". It returns "" for every other character
// and for plain ASCII space.
func UnseenName(r rune) string {
	if ' ' <= r && r <= '~' {
		return ""
	}
	name := unseen(r)
	switch {
	case '\t' <= r && r <= '\r':
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

// alike returns the character that r is taken for, as a rule itself.
func alike(r rune) rune {
	switch r {
	case '。', '｡', '․', '﹒':
		return '.'
	case '∕', '⁄':
		return '/'
	case '﹟':
		return '#'
	case 'а': // of Cyrillic and Greek letters
		return 'a'
	case 'е':
		return 'e'
	case 'ѵ', 'ν':
		return 'v'
	}
	return r
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
		default:
			as = alike(r)
		}
		if as != r && odd == 0 && r > ' ' {
			odd = r
		}
		return as
	}, text)
	return seen, odd
}
