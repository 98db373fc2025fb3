package render

import (
	"fmt"
	"slices"
	"testing"

	"bifrost-secrets/sources"
)

// A backend that is down is one problem with all places, in the order of the list:
// which stays as it is, and whose places are not copied again with each problem.
func TestMerged(t *testing.T) {
	var list []Problem
	var want []Place
	for i := range 10_000 {
		at := make([]Place, 1, 4)
		at[0] = Place{Path: fmt.Sprint("a.", i)}
		want = append(want, at[0])
		list = append(list, Problem{Kind: sources.Unreachable, Reason: "no answer", Reference: fmt.Sprint("vault.", i), Places: at})
	}
	var got []Problem
	if n := testing.AllocsPerRun(1, func() { got = Merged(list) }); n > 100 {
		t.Errorf("%.0f allocations", n)
	}
	if len(got) != 1 || !got[0].Several || !slices.Equal(got[0].Places, want) {
		t.Errorf("%d problems, the first with %d places", len(got), len(got[0].Places))
	}
	for i, one := range list {
		if len(one.Places) != 1 || one.Places[:2][1] != (Place{}) {
			t.Fatalf("the problem %d is changed: %v", i, one.Places[:2])
		}
	}
}
