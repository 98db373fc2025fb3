package file

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bifrost-secrets/sources"
)

// Every path by which a reference reaches a secret is found, and none that reads
// another one.
func TestAliases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := storeAt(t, map[string]string{"path": dir})
	for _, name := range []string{"app/key", "app/other", "app/sub/deep", "lone"} {
		mustPut(t, s, name, "1", "")
	}
	link(t, "app/key", filepath.Join(dir, "file"))
	link(t, "file", filepath.Join(dir, "chain"))
	link(t, "app/key", filepath.Join(dir, ".hidden"))
	link(t, "app", filepath.Join(dir, "folder"))
	link(t, "../app/sub", filepath.Join(dir, "app", "again"))
	link(t, "..", filepath.Join(dir, "app", "circle"))
	link(t, "self", filepath.Join(dir, "self"))
	link(t, "nothing", filepath.Join(dir, "dangling"))
	link(t, write(t, filepath.Join(t.TempDir(), "outside"), canary), filepath.Join(dir, "out"))
	if err := os.Link(filepath.Join(dir, "app", "other"), filepath.Join(dir, "hard.age")); err != nil {
		t.Fatal(err)
	}
	got, err := s.(sources.Aliaser).Aliases(t.Context(), []string{"app/key", "app/other", "app/sub/deep", "lone", "none", "../bad"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"app/key":      {".hidden", "chain", "file", "folder/key"},
		"app/other":    {"folder/other", "hard"},
		"app/sub/deep": {"app/again/deep", "folder/again/deep", "folder/sub/deep"},
		"lone":         nil, "none": nil, "../bad": nil,
	} {
		slices.Sort(got[name])
		if !slices.Equal(got[name], want) {
			t.Errorf("%s is also %v, want %v", name, got[name], want)
		}
		for _, alias := range got[name] {
			if alias != "hard" { // which is not encrypted
				openAt(t, dir).wantValue(t, alias, canary+"1")
			}
		}
	}
}

// Links to folders that make ever more paths are an error, and no endless walk.
func TestAliasesBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const deep = 5
	for i := range deep {
		for _, side := range []string{"a", "b"} {
			if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint("d", i)), 0o700); err != nil {
				t.Fatal(err)
			}
			link(t, fmt.Sprintf("../d%d", i+1), filepath.Join(dir, fmt.Sprint("d", i), side))
		}
	}
	write(t, filepath.Join(dir, fmt.Sprint("d", deep), "key"), canary)
	d := storeAt(t, map[string]string{"path": dir}).(*directoryStore)
	got, err := d.aliases(t.Context(), []string{"d5/key"}, 1000)
	if err != nil || len(got["d5/key"]) != 62 { // 2 ways from d4, 4 from d3, and so on
		t.Fatalf("%v %v", got, err)
	}
	_, err = d.aliases(t.Context(), []string{"d5/key"}, 100)
	if sources.KindOf(err) != sources.Unusable || !strings.Contains(err.Error(), "more paths than can be looked at") {
		t.Errorf("%v", err)
	}
}
