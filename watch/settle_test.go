package watch

import (
	"slices"
	"testing"

	"bifrost-secrets/render"
)

// Problems stand as the document has them, whatever the names of the secrets.
func TestProblemsInOrder(t *testing.T) {
	at := func(line, column int) []render.Place { return []render.Place{{Line: line, Column: column}} }
	list := []render.Problem{
		{Secret: "a", Places: at(10, 3)}, {Secret: "b", Places: at(9, 30)}, {Secret: "c", Places: at(9, 4)}, {Secret: "d"},
	}
	slices.SortStableFunc(list, inOrder)
	got := ""
	for i := range list {
		got += list[i].Secret
	}
	check(t, got, "dcba")
}
