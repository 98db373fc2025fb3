package walker

import (
	"fmt"
	"strings"
)

// Rows reads a table of tab-separated columns, one row a line. Lines that are empty or
// begin with # are left out.
func Rows[T any](text string, columns int, row func(col []string) (T, error)) ([]T, error) {
	all := make([]T, 0, strings.Count(text, "\n"))
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		col := strings.Split(line, "\t")
		if len(col) != columns {
			return nil, fmt.Errorf("line %d: %d columns, want %d", i+1, len(col), columns)
		}
		one, err := row(col)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		all = append(all, one)
	}
	return all, nil
}
