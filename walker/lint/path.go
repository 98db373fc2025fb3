package lint

import "strings"

// lastName returns the name of the last member in a path, which may be followed
// by the indexes of arrays.
func lastName(path string) string {
	for strings.HasSuffix(path, "]") && !strings.HasSuffix(path, `"]`) {
		path = path[:strings.LastIndexByte(path, '[')]
	}
	if quoted, ok := strings.CutSuffix(path, `"]`); ok {
		// A quote inside of a name has a backslash before it.
		return quoted[strings.LastIndex(quoted, `["`)+2:]
	}
	return path[strings.LastIndexAny(path, ".]")+1:]
}
