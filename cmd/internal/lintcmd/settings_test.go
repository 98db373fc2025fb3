package lintcmd

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindSettings(t *testing.T) {
	top := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{top}, parts...)...) }
	for _, dir := range []string{at("repo", "a", "b"), at("repo", ".git"), at("plain", "a", "b")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{at(settingsName), at("repo", settingsName), at("plain", "a", settingsName)} {
		write(t, name, "{}")
	}
	for _, tt := range []struct{ name, here, first, want string }{
		{"the root of the repository", at("plain"), at("repo", "a", "b", "c.json"), at("repo", settingsName)},
		{"a folder", at("repo", "a"), "b", at("repo", settingsName)},
		{"above the working directory, in a repository", at("repo", "a", "b"), "c.json", at("repo", settingsName)},
		{"the working directory, outside", at("plain"), "a/b/c.json", at("plain", "a", settingsName)},
		{"not above it", at("plain", "a", "b"), "c.json", ""},
		{"not above the file's own folder", at("repo"), at("plain", "c.json"), ""},
		{"far above", top, "plain/c.json", at(settingsName)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(tt.here)
			if got := findSettings(tt.first); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// An editor may have put a byte order mark before it.
func TestMarkedBaseline(t *testing.T) {
	name := filepath.Join(t.TempDir(), "baseline.json")
	if err := os.WriteFile(name, []byte("\ufeff"+`{"version":1,"findings":[{"file":"a","rule":"prefix","path":"b","fingerprint":"c"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := readBaseline(name, false)
	if err != nil || b.left[[2]string{"a", "c"}] != 1 {
		t.Errorf("%+v, %v", b, err)
	}
}
