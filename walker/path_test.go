package walker

import (
	"slices"
	"testing"
)

func TestSplitPath(t *testing.T) {
	name := func(s string) Step { return Step{Name: s} }
	index := func(i int) Step { return Step{Index: i, IsIndex: true} }
	for path, want := range map[string][]Step{
		"":                                 nil,
		"encryption_key":                   {name("encryption_key")},
		"providers.openai.keys[0].value":   {name("providers"), name("openai"), name("keys"), index(0), name("value")},
		`a["x.y"].b`:                       {name("a"), name("x.y"), name("b")},
		`["x\"]"][12]`:                     {name(`x"]`), index(12)},
		`a[""]`:                            {name("a"), name("")},
		`["\u0007"].b`:                     {name("\a"), name("b")},
		`["00\udbe8\ude8a"]`:               {name("00\U0010a28a")},
		"config.headers.X-A:b@c/d$e[3][4]": {name("config"), name("headers"), name("X-A:b@c/d$e"), index(3), index(4)},
	} {
		got, ok := SplitPath(path)
		if !ok || !slices.Equal(got, want) || JoinPath(got) != path {
			t.Errorf("%s: got %v %v, want %v; joined it is %s", path, got, ok, want, JoinPath(got))
		}
	}
	for _, path := range []string{".a", "a..b", "a.", "a[", "a[]", "a[-1]", "a[01]", "a[x]", `a["`, `a["b`, `a["b"`, `a["\q"]`, "a b", "a[1]b", `["a"]b`} {
		if got, ok := SplitPath(path); ok {
			t.Errorf("%s: taken for a path: %v", path, got)
		}
	}
}

// Every path that the walk makes can be taken apart, and put together again.
func FuzzSplitPath(f *testing.F) {
	f.Add(`a["x.y"].b[3]`)
	f.Add(`["\ud800"]`)
	f.Fuzz(func(t *testing.T, path string) {
		steps, ok := SplitPath(path)
		if !ok {
			return
		}
		again := JoinPath(steps)
		back, ok := SplitPath(again)
		if !ok || !slices.Equal(steps, back) {
			t.Errorf("%q became %q", path, again)
		}
	})
}
