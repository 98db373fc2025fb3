package walker

import (
	_ "embed"
	"errors"
	"slices"
	"sync"
)

//go:embed entities.tsv
var entitiesText string

// Pair are two members of one object, by their names, of which One never changes
// without Other but by a rotation that is not done yet. Where Both is true, Other
// does not change without One either.
type Pair struct {
	One, Other string
	Both       bool
}

type entities struct {
	patterns [][]string // steps
	pairs    []Pair
}

// together reads the embedded table once. A fault in it is one of the build.
var together = sync.OnceValue(func() *entities {
	t, err := parseEntities(entitiesText)
	if err != nil {
		panic("walker: entities.tsv: " + err.Error())
	}
	return t
})

func parseEntities(text string) (*entities, error) {
	t := &entities{}
	_, err := Rows(text, 4, func(col []string) (any, error) {
		switch {
		case col[1] == "" || col[1] == "-":
			return nil, errors.New("the second column is empty")
		case col[0] == "entity" && col[2] == "-":
			t.patterns = append(t.patterns, PatternSteps(col[1]))
		case col[0] == "pair" && col[2] != "-" && (col[3] == "both" || col[3] == "-"):
			t.pairs = append(t.pairs, Pair{One: col[1], Other: col[2], Both: col[3] == "both"})
		default:
			return nil, errors.New("neither an entity nor a pair")
		}
		return nil, nil
	})
	return t, err
}

// Pairs returns every pair. The result is shared and must not be changed.
func Pairs() []Pair { return together().pairs }

// Entity returns the path of the object that the field at path belongs to and
// changes with: path itself where the field stands for itself. e may be nil.
func (e *Entry) Entity(path string) string {
	if e == nil {
		return path
	}
	pattern := PatternSteps(e.Pattern)
	for _, one := range together().patterns {
		if len(one) >= len(pattern) || !slices.Equal(one, pattern[:len(one)]) {
			continue
		}
		if steps, ok := SplitPath(path); ok && len(steps) > len(one) {
			return JoinPath(steps[:len(one)])
		}
		break
	}
	return path
}
