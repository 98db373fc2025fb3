package report

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis stands for what is not shown.
const ellipsis = "…"

// Clean keeps what comes from outside from moving the cursor, changing a colour,
// turning the direction of writing or beginning a line of its own.
func Clean(text string) string {
	clean := true
	for i := 0; i < len(text) && clean; i++ {
		clean = ' ' <= text[i] && text[i] <= '~'
	}
	if clean {
		return text // as nearly every text is
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// appendClean adds text like Clean, but no more than limit columns of it, and
// gives the columns that it takes.
func appendClean(dst, text []byte, limit int) ([]byte, int) {
	width := 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if !strconv.IsPrint(r) {
			r = utf8.RuneError
		}
		w := columns(r)
		// A mark without a width of its own may follow its letter a thousand
		// times over, so what is shown is limited in bytes too.
		if width+w > limit || i > 8*limit {
			return append(dst, ellipsis...), width + 1
		}
		dst = utf8.AppendRune(dst, r)
		width += w
		i += n
	}
	return dst, width
}

// wide are the blocks whose characters take two columns of a terminal, in the
// grain that a caret needs.
var wide = [...][2]rune{
	{0x1100, 0x115f}, {0x231a, 0x231b}, {0x23e9, 0x23ec}, {0x2614, 0x2615}, {0x26a1, 0x26a1}, {0x2705, 0x2705},
	{0x2728, 0x2728}, {0x274c, 0x274c}, {0x2b50, 0x2b50}, {0x2e80, 0x303e}, {0x3041, 0x4dbf}, {0x4e00, 0xa4cf},
	{0xa960, 0xa97f}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff01, 0xff60}, {0xffe0, 0xffe6},
	{0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
}

// columns gives the columns that a printable character takes on a terminal.
func columns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me), 0x1160 <= r && r <= 0x11ff:
		return 0
	}
	for _, block := range wide {
		if block[0] <= r && r <= block[1] {
			return 2
		}
	}
	return 1
}
