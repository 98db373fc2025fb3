package sources

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOptionsPath(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, dir := range []string{"home/v1", "home-too", "out"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"home/..data": "v1", "home/sec": "..data", "home/away": "../out", "home/gone": "../out/nothing", "home/deep": at("out"),
		"home/loop": "loop", "home/later": "v1/nothing", "door": "home",
	} {
		if err := os.Symlink(target, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		path string
		in   bool
	}{
		{".", true}, {"v1", true}, {"sec", true}, {"sec/key", true}, {"sec/not/there", true}, {"not/there", true}, {at("home/v1"), true},
		{at("door/v1"), true}, {"v1/../v1", true}, {"..data", true}, {"..not-there", true}, {"later", true},
		{"..", false}, {"../home-too", false}, {at("home-too"), false}, {"away", false}, {"away/key", false}, {"away/not/there", false}, {"gone", false},
		{"deep", false}, {"/", false}, {"/etc", false}, {"/run/secret", false}, {"", true},
	} {
		// The folder may be reached through a link itself.
		for _, dir := range []string{at("home"), at("door")} {
			got, err := Options{Dir: dir, Within: []string{dir}}.Path("block.path", tt.path)
			if (err == nil) != tt.in {
				t.Errorf("%q from %s: %q, %v; want inside: %v", tt.path, dir, got, err, tt.in)
			}
			if err != nil && (KindOf(err) != BadSettings || HintOf(err) == "") {
				t.Errorf("%q: %v has no kind or no hint", tt.path, err)
			}
			if _, err := (Options{Dir: dir}).Path("block.path", tt.path); err != nil {
				t.Errorf("%q without limits: %v", tt.path, err)
			}
		}
	}
	// A link that was inside is looked at again.
	o := Options{Dir: at("home"), Within: []string{at("home")}}
	if err := os.Remove(at("home/..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../out", at("home/..data")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Path("block.path", "sec/key"); err == nil {
		t.Error("a link that leads out since is followed")
	}
}

func TestInQuotes(t *testing.T) {
	for text, want := range map[string]bool{
		`"a"`: true, `'a'`: true, "`a`": true, "“a”": true, "‘a’": true, `""`: true,
		"": false, `"`: false, `"a`: false, `a"`: false, `"a'`: false, "aa": false, "a'b'": false, "”a“": false,
	} {
		if got := InQuotes(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
