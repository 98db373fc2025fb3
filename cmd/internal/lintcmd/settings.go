package lintcmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/regular"
)

// settingsName is what a settings file is called.
const settingsName = ".bifrost-secrets-lint.json"

// settingsMost is more than any settings file has, in bytes.
const settingsMost = 1 << 20

// readSettings returns the settings for a run whose first file is first.
func (r *run) readSettings(first string) (*lint.Settings, error) {
	name := r.settings
	if name == "" {
		if name = findSettings(first); name == "" {
			return nil, nil
		}
	}
	text, err := readFile(name, settingsMost, "name the file with --settings")
	if err != nil {
		return nil, err
	}
	if r.settledDir, err = filepath.Abs(filepath.Dir(name)); err != nil {
		return nil, usage("", "%s: %s", name, regular.Cause(err))
	}
	s, err := lint.ParseSettings(text)
	if err != nil {
		return nil, usage("docs/lint.md says what a settings file may hold", "%s: %s", name, err)
	}
	return s, nil
}

func (r *run) settledFor(name string) *lint.Settings {
	return r.settled.For(fileName(r.settledDir, name))
}

// readFile returns what stands in a file that a flag names; hint is what to do
// where there is none.
func readFile(name string, most int64, hint string) ([]byte, error) {
	text, _, err := regular.ReadFile(name, most)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usage(hint, "%s: no such file", name)
	case err != nil:
		return nil, usage("", "%s: cannot be read: %s", name, regular.Cause(err))
	}
	return text, nil
}

// findSettings looks for a settings file in the folder of first and those above
// it, up to the root of the repository. Outside of a repository it goes no
// higher than the working directory: what lies about in a home or in /tmp should
// not decide what is found. The result is empty where there is none.
func findSettings(first string) string {
	dir, err := filepath.Abs(first)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	top := limit(dir)
	for {
		name := filepath.Join(dir, settingsName)
		if _, err := os.Stat(name); err == nil {
			return name
		}
		if dir == top || dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// limit returns the highest folder to look in for dir.
func limit(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, ".git")); err == nil {
			return d
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, dir); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return here
		}
	}
	return dir
}
