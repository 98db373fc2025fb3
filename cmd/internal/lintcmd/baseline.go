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
	"strings"
	"sync"

	"bifrost-secrets/walker"
	"bifrost-secrets/walker/lint"
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
	old     []accepted
	toWrite bool

	mu    sync.Mutex // several files are looked at side by side
	left  map[[2]string]int
	seen  map[string]bool // the files that were looked at
	now   []accepted
	known int // findings that the baseline has
}

// readBaseline returns the baseline that a flag names. One that is to be written
// need not be there.
func readBaseline(name string, toWrite bool) (*baseline, error) {
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, usage("", "%s: %s", name, cause(err))
	}
	b := &baseline{name: name, dir: dir, toWrite: toWrite, left: map[[2]string]int{}, seen: map[string]bool{}}
	if _, err := os.Stat(name); toWrite && errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	text, err := readFile(name, walker.MaxSize, "write it with --write-baseline "+name)
	if err != nil {
		return nil, err
	}
	var file baselineFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil || file.Version != baselineVersion {
		return nil, usage("write it again with --write-baseline, to a file that is not there yet", "%s: not a baseline of this version of lint", name)
	}
	b.old = file.Findings
	for i := range b.old {
		b.left[b.old[i].key()]++
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

// take returns the findings that the baseline does not have, and notes that the
// file was looked at. One that is to be written has them all.
func (b *baseline) take(name string, doc *walker.Document, findings []lint.Finding) []lint.Finding {
	file := name
	if doc != nil { // else it is the address of a database
		file = fileName(b.dir, name)
	}
	prints := lint.Fingerprints(doc, findings)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[file] = true
	fresh := make([]lint.Finding, 0, len(findings))
	for i := range findings {
		a := accepted{file, findings[i].Rule, findings[i].Path, prints[i]}
		b.now = append(b.now, a)
		if b.toWrite {
			continue
		}
		if b.left[a.key()] > 0 {
			b.left[a.key()]--
			b.known++
			continue
		}
		fresh = append(fresh, findings[i])
	}
	return fresh
}

// gone returns, once, what the baseline has and is there no more: in the files that
// were looked at, and in those that do not exist.
func (b *baseline) gone() (all []accepted) {
	for _, a := range b.old {
		if b.left[a.key()] > 0 && !b.stays(a.File) {
			b.left[a.key()]--
			all = append(all, a)
		}
	}
	return all
}

// stays reports whether nothing is known of a file: it exists, and was not looked
// at.
func (b *baseline) stays(file string) bool {
	if b.seen[file] || strings.Contains(file, "://") {
		return !b.seen[file]
	}
	_, err := os.Stat(filepath.Join(b.dir, filepath.FromSlash(file)))
	return err == nil
}

// write writes what was found, and what is known of files that were not looked
// at. It returns how many findings that are.
func (b *baseline) write() (int, error) {
	all := []accepted{}
	for _, a := range b.old {
		if b.stays(a.File) {
			all = append(all, a)
		}
	}
	all = append(all, b.now...)
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
	if err := replaceFile(b.name, text.Bytes(), nil); err != nil {
		return 0, usage("", "%s: cannot be written: %s", b.name, cause(err))
	}
	return len(all), nil
}
