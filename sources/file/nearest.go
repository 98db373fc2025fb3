package file

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
)

// maxCandidates bounds how many names are looked at for a suggestion.
const maxCandidates = 1000

// holds returns the hint for a name that is not there: the one that was likely
// meant, else some of the names there are.
func holds(where, name string, names []string) string {
	if len(names) == 0 {
		return where + " holds no secret"
	}
	slices.Sort(names)
	names = names[:min(len(names), maxCandidates)]
	count := fmt.Sprintf("%s holds %d names", where, len(names))
	switch len(names) {
	case 1:
		count = where + " holds one name"
	case maxCandidates:
		count += " or more"
	}
	if suggestion := didYouMean(name, names); suggestion != "" {
		return suggestion + count
	}
	return count + ": " + few(names)
}

// few quotes the first of names.
func few(names []string) string {
	const shown = 3
	quoted := make([]string, 0, shown+1)
	for _, name := range names[:min(len(names), shown)] {
		quoted = append(quoted, strconv.Quote(name))
	}
	if len(names) > shown {
		quoted = append(quoted, "...")
	}
	return strings.Join(quoted, ", ")
}

// didYouMean asks for the candidate that name is most likely a misspelling or a
// part of, ready to be put before another sentence. It is empty if none is near.
func didYouMean(name string, candidates []string) string {
	best, least := "", len(name)/3+1
	for _, candidate := range candidates {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q? ", best)
}

// distance returns how many characters have to be changed, added or taken away to make
// a of b (Levenshtein), letter case apart; 1 where either is the beginning of
// the other; and a large number where that would take long and tell nothing.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if min(len(a), len(b)) >= 3 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return min(max(len(a), len(b))-min(len(a), len(b)), 1)
	}
	if max(len(a), len(b)) > 256 || max(len(a)-len(b), len(b)-len(a)) > len(a)/3 {
		return math.MaxInt
	}
	return levenshtein.ComputeDistance(a, b)
}
