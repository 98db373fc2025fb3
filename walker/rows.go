package walker

import (
	"fmt"
	"strings"
)

// Rows reads a table of tab-separated columns, one row a line. Lines that are empty or
// begin with # are left out. The columns are the same memory at each call of row.
func Rows[T any](text string, columns int, row func(col []string) (T, error)) ([]T, error) {
	all := make([]T, 0, strings.Count(text, "\n"))
	col := make([]string, 0, columns)
	for i := 1; text != ""; i++ {
		var line string
		if line, text, _ = strings.Cut(text, "\n"); line == "" || line[0] == '#' {
			continue
		}
		col = col[:0]
		for more := true; more; {
			var one string
			one, line, more = strings.Cut(line, "\t")
			col = append(col, one)
		}
		if len(col) != columns {
			return nil, fmt.Errorf("line %d: %d columns, want %d", i, len(col), columns)
		}
		one, err := row(col)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i, err)
		}
		all = append(all, one)
	}
	return all, nil
}
