//go:build unix

package child

import (
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	base := []string{"A=1", "B=2", "malformed", "=C:=x", "A=3", "EMPTY=", "D=x=y"}
	got := Environment(base, []string{"E=4", "B=5"})
	want := []string{"A=3", "EMPTY=", "D=x=y", "E=4", "B=5"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if base[0] != "A=1" || len(base) != 7 {
		t.Error("base was changed")
	}
	if got := Environment(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("got %#v, want an environment that is empty, and not ours", got)
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("A=1\nB=2\nA=", "B=3\n=x\n\nA==")
	f.Fuzz(func(t *testing.T, base, add string) {
		got := Environment(strings.Split(base, "\n"), strings.Split(add, "\n"))
		want := map[string]string{}
		for _, entry := range append(strings.Split(base, "\n"), strings.Split(add, "\n")...) {
			if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
				want[name] = value
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for _, entry := range got {
			if name, value, _ := strings.Cut(entry, "="); want[name] != value {
				t.Fatalf("got %q, want %q", entry, want[name])
			}
		}
	})
}
