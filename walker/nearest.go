package walker

import (
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
)

// KnownHint returns what to do about a name that is none of words: it asks for those
// that were likely meant, and lists all of them.
func KnownHint(name string, words []string) string {
	hint := "known are " + strings.Join(words, ", ")
	near := Nearest(name, words)
	if len(near) == 0 {
		return hint
	}
	for i := range near {
		near[i] = strconv.Quote(near[i])
	}
	return "did you mean " + strings.Join(near, " or ") + "? " + hint
}

// Nearest returns the words that name is most likely a misspelling or a part of.
// Capital letters, space, hyphens and underscores make no difference.
func Nearest(name string, words []string) (near []string) {
	name = bare(name)
	least := max(len(name)/3, 1)
	for _, word := range words {
		d := distance(name, bare(word))
		if d < least {
			near, least = near[:0], d
		}
		if d == least {
			near = append(near, word)
		}
	}
	return near
}

var bare = strings.NewReplacer("-", "", "_", "", " ", "").Replace

// distance returns how many characters have to be changed, added or taken away to
// make b of a; 1 where one of them is a part of the other.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	switch short, long := min(len(a), len(b)), max(len(a), len(b)); {
	case a == b:
		return 0
	case short >= 3 && (strings.Contains(a, b) || strings.Contains(b, a)):
		return 1
	case long-short > long/3:
		return long // near nothing, and perhaps costly
	}
	return levenshtein.ComputeDistance(a, b)
}
