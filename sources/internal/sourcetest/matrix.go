package sourcetest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// page holds the table of what each backend can do: a row for each test of the
// suite, by its name, and a column for each backend.
const page = "../../docs/backends/README.md"

// matrix checks that the page says of this backend what the suite has shown: yes
// where the test ran, no where its ability is lacking, with the reason below, and
// where a test of the backend's own takes its place, that one's name.
func (s Setup) matrix(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows, column := map[string][]string{}, -1
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if i := slices.Index(cells, s.Column); i > 0 && column < 0 {
			column = i
		}
		rows[strings.Trim(cells[0], "`")] = cells
	}
	if column < 0 {
		t.Fatalf("%s has no column %q", page, s.Column)
	}
	for i, one := range slices.Concat(reading, writing) {
		want := "yes"
		if reason := s.Lacks[one.needs]; i >= len(reading) && s.Lacks[Writing] != "" {
			want = "no"
		} else if reason != "" {
			want = "no"
			if _, elsewhere, ok := strings.Cut(reason, ": see Test"); ok {
				want = "`Test" + elsewhere + "`"
			}
		}
		if row := rows[one.name]; len(row) <= column || row[column] != want {
			t.Errorf("%s: the row %q says %q of %s, want %q", page, one.name, row, s.Column, want)
		}
	}
	for ability, reason := range s.Lacks {
		if strings.Contains(reason, ": see Test") {
			continue
		}
		if !explains(string(text), s.Column, string(ability), reason) {
			t.Errorf("%s has no line with %q and %q that says %q", page, s.Column, ability, reason)
		}
	}
}

// explains reports whether a line of the page gives that reason for a column and an
// ability, among others: "- COLUMN, COLUMN, ABILITY, ABILITY: REASON".
func explains(text, column, ability, reason string) bool {
	for line := range strings.Lines(text) {
		head, said, ok := strings.Cut(strings.TrimPrefix(line, "- "), ": ")
		about := strings.Split(head, ", ")
		if ok && said == reason+"\n" && slices.Contains(about, column) && slices.Contains(about, ability) {
			return true
		}
	}
	return false
}
