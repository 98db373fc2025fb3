package lintcmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"bifrost-secrets/render/publish"
	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
	"bifrost-secrets/walker/regular"
)

// baselineVersion is that of the form of the file and of the fingerprints in it.
const baselineVersion = 1

// accepted is a finding that is known and let be. Files are named from the folder
// of the baseline, with slashes; nothing of a value is in it.
type accepted struct {
	File        string `json:"file"`
	Rule        string `json:"rule"`
	Path        string `json:"path"`
	Fingerprint string `json:"fingerprint"` // that of SARIF
}

type baselineFile struct {
	Version  int        `json:"version"`
	Findings []accepted `json:"findings"`
}

func (a *accepted) key() [2]string { return [2]string{a.File, a.Fingerprint} }

// baseline are the findings that a repository has had since before it was linted.
type baseline struct {
	name    string
	dir     string // absolute
	toWrite bool

	mu    sync.Mutex // several files are looked at side by side
	left  map[[2]string]int
	now   []accepted // to be written
	known int        // findings that the baseline has
}

// readBaseline returns the baseline that a flag names. One that is to be written
// need not be there; what is there and is none is not overwritten.
func readBaseline(name string, toWrite bool) (*baseline, error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, usage("", "%s: %s", name, regular.Cause(err))
	}
	b := &baseline{name: name, dir: dir, toWrite: toWrite, left: map[[2]string]int{}}
	if _, err := os.Stat(name); toWrite && errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	text, err := readFile(name, walker.MaxSize, "write it with --write-baseline "+name)
	if err != nil {
		return nil, err
	}
	var file baselineFile
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil || file.Version != baselineVersion {
		return nil, usage("write it again with --write-baseline, to a file that is not there yet", "%s: not a baseline of this version of lint", name)
	}
	for i := range file.Findings {
		b.left[file.Findings[i].key()]++
	}
	return b, nil
}

// fileName returns the name of a file as the baseline has it: it is the same
// wherever lint is run.
func fileName(dir, name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		if rel, err := filepath.Rel(dir, abs); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(name)
}

// take returns the findings that the baseline does not have. One that is to be
// written has them all.
func (b *baseline) take(name string, doc *walker.Document, findings []lint.Finding) []lint.Finding {
	file := name
	if doc != nil { // else it is the address of a database
		file = fileName(b.dir, name)
	}
	prints := lint.Fingerprints(doc, findings)
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh := make([]lint.Finding, 0, len(findings))
	for i := range findings {
		a := accepted{file, findings[i].Rule, findings[i].Path, prints[i]}
		switch {
		case b.toWrite:
			b.now = append(b.now, a)
		case b.left[a.key()] > 0:
			b.left[a.key()]--
			b.known++
		default:
			fresh = append(fresh, findings[i])
		}
	}
	return fresh
}

// write writes what was found, and returns how many findings that are.
func (b *baseline) write() (int, error) {
	all := append([]accepted{}, b.now...)
	slices.SortStableFunc(all, func(x, y accepted) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Path, y.Path), cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(baselineFile{baselineVersion, all}); err != nil {
		return 0, err
	}
	if err := replace(b.name, "cannot be written", text.Bytes(), b.name, publish.Options{Mode: 0o644}); err != nil {
		return 0, err
	}
	return len(all), nil
}
