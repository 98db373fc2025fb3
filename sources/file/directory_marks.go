package file

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"bifrost-secrets/sources"
)

// A directory keeps the mark of each secret in a file of its own, in a hidden
// folder: what a write costs does not depend on how many secrets there are. A
// mark has nothing of the value.
//
// That of a new secret is written before it, and removed after it: whoever is
// killed in between leaves a mark without a secret, and never a secret of ours
// without a mark. That of a secret which changes is written after it: until then
// it is ours by the old one. Nor may such a mark make ours what a person then puts there: while a
// secret is being made or deleted its mark is pending, and counts for the one
// file whose version it names. Settled, it counts whatever people do to the file.
const (
	marksFolder = ".bifrost-secrets"
	settled     = ".json"
	pending     = ".pending"
)

// maxMark bounds a mark, in bytes, and maxStem the part of its name that is one
// name to the file system: 255 bytes are, with room for what is put after it.
const (
	maxMark = 1 << 20
	maxStem = 200
	joint   = "=" // ends what goes on in a folder; no escaped name has it
)

// markPath returns where the mark of a secret stands.
func markPath(name, suffix string) string {
	dir, rest := marksFolder, url.QueryEscape(name)
	for len(rest) > maxStem {
		dir, rest = filepath.Join(dir, rest[:maxStem]+joint), rest[maxStem:]
	}
	return filepath.Join(dir, rest+suffix)
}

// markedName is the reverse of markPath, of a path with slashes. What is none of
// our files is not ok.
func markedName(at string) (name, suffix string, ok bool) {
	stem, ok := strings.CutPrefix(at, marksFolder+"/")
	suffix = path.Ext(stem)
	if !ok || suffix != settled && suffix != pending {
		return "", "", false
	}
	name, err := url.QueryUnescape(strings.ReplaceAll(strings.TrimSuffix(stem, suffix), joint+"/", ""))
	return name, suffix, err == nil && markPath(name, suffix) == filepath.FromSlash(at)
}

// checkMarks finds what would make every secret look like somebody else's.
func (d *directory) checkMarks(root *os.Root) error {
	subject := filepath.Join(d.path, marksFolder)
	info, err := root.Stat(marksFolder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // nothing is ours
	case err != nil:
		return failure(subject, err)
	case !info.IsDir():
		return lost(subject, "is not a folder")
	}
	return nil
}

func lost(subject, what string) error {
	return sources.NewError(sources.Unusable, subject+" "+what+": it says which secrets are ours",
		"restore it from a copy, or take it away; without it, what it was for counts as somebody else's")
}

// markOf returns the mark of a secret that is there in some version, or nil where
// that is not ours.
func (d *directory) markOf(root *os.Root, name, version string) (*entry, error) {
	// Whoever writes meanwhile renames a mark, either way: hence the
	// third look.
	for _, suffix := range []string{settled, pending, settled} {
		e, err := d.mark(root, name, suffix)
		switch {
		case err != nil:
			return nil, err
		case e == nil:
		case suffix == settled, e.Version == version:
			e.pending = suffix == pending
			return e, nil
		}
	}
	return nil, nil
}

// mark reads a mark; it is nil where there is none.
func (d *directory) mark(root *os.Root, name, suffix string) (*entry, error) {
	at := markPath(name, suffix)
	subject := filepath.Join(d.path, at)
	c, err := readFile(root, at, subject, maxMark, nil)
	if sources.KindOf(err) == sources.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e entry
	if err := json.Unmarshal(c.data, &e); err != nil || e.Owner == "" {
		return nil, lost(subject, "cannot be read")
	}
	return &e, nil
}

// saveMark puts a mark in place.
func (d *directory) saveMark(root *os.Root, name string, e entry) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	if len(b) >= maxMark {
		return refused(name, "the names of the gateway and the field have more bytes than can be kept", "take a shorter --gateway")
	}
	suffix := settled
	if e.pending {
		suffix = pending
	}
	at := markPath(name, suffix)
	subject := filepath.Join(d.path, at)
	if _, err := d.makeFolders(root, filepath.Dir(at)); err != nil {
		return writeFailure(subject, err)
	}
	if e.pending {
		// Of a secret that somebody took away.
		if err := d.forget(root, name, settled); err != nil {
			return err
		}
	}
	old, _ := root.Lstat(at)
	s, err := d.stage(root, filepath.Dir(at), append(b, '\n'), old)
	if err != nil {
		return writeFailure(subject, err)
	}
	_, err = s.commit(at)
	return writeFailure(subject, err)
}

// settle makes the mark of a secret that is there count for good. Should the
// system go down before that lasts, the next writer settles it.
func (d *directory) settle(root *os.Root, name string) error {
	at := markPath(name, settled)
	return writeFailure(filepath.Join(d.path, at), d.do("settle", func() error { return root.Rename(markPath(name, pending), at) }))
}

// unsettle makes a mark count for the file of that version alone, which is to be
// deleted.
func (d *directory) unsettle(root *os.Root, name string, e entry, version string) error {
	if e.pending {
		return nil
	}
	if e.Version != version {
		e.Version, e.Token = version, "" // a person's, not that of our last write
		if err := d.saveMark(root, name, e); err != nil {
			return err
		}
	}
	at := markPath(name, settled)
	err := d.do("unsettle", func() error { return root.Rename(at, markPath(name, pending)) })
	if err == nil {
		err = d.syncDir(root, filepath.Dir(at))
	}
	return writeFailure(filepath.Join(d.path, at), err)
}

// forget removes a mark, if there is one.
func (d *directory) forget(root *os.Root, name, suffix string) error {
	at := markPath(name, suffix)
	if err := d.do("forget", func() error { return root.Remove(at) }); !errors.Is(err, fs.ErrNotExist) {
		return writeFailure(filepath.Join(d.path, at), err)
	}
	return nil
}

// tidyMarks removes, the first time, the marks of secrets that are not there: a
// killed process left them, or somebody took the files away. Whoever makes a
// secret of that name by hand is not to lose it. It reads no mark but what a
// killed process left pending, and settles that where its secret is there.
func (d *directoryStore) tidyMarks(ctx context.Context, root *os.Root) error {
	if err := d.checkMarks(root); err != nil || d.tidied {
		return err
	}
	err := d.walk(ctx, root, marksFolder, func(at string, file fs.DirEntry) error {
		name, suffix, ok := markedName(at)
		if !ok || file.IsDir() {
			return nil
		}
		local, err := localName(name)
		if err != nil {
			return nil // nor could we have made that
		}
		f, err := look(root, local)
		if err != nil {
			return nil // whoever writes to that name is told
		}
		switch {
		case f.info == nil:
			return d.forget(root, name, suffix)
		case suffix == settled:
			return nil
		}
		e, err := d.mark(root, name, pending)
		switch {
		case err != nil || e == nil:
			return nil // as above
		case e.Version == f.version():
			return d.settle(root, name)
		}
		return d.forget(root, name, pending)
	})
	d.tidied = err == nil
	return err
}
