package file

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"bifrost-secrets/sources"
)

// documentStore is one JSON object, to be written. Every write replaces the file;
// all bytes but those of the value stay.
type documentStore struct {
	*document
	*keeper
}

// fileName gives the name of the file in its directory.
func (d *documentStore) fileName() string { return strings.TrimPrefix(d.prefix, ".") }

// MaxValue is that of any source.
func (*documentStore) MaxValue() int { return sources.MaxValue }

// Put writes one value into the file.
func (d *documentStore) Put(ctx context.Context, w sources.Write) (string, error) {
	if w.Name == "" {
		_, err := d.value(nil, "")
		return "", err
	}
	if err := refuseAlways(w); err != nil {
		return "", err
	}
	subject := fmt.Sprintf("%q in %s", w.Name, d.path)
	if !utf8.Valid(w.Value.Reveal()) || !utf8.ValidString(w.Name) {
		return "", refused(w.Name, subject+" cannot be stored: it is not UTF-8 text, and JSON is", "store it as base64, or in a directory with one file a secret")
	}
	version := ""
	err := d.edit(ctx, func(e *edited) error {
		if _, there := e.values[w.Name]; there {
			version = e.marks.current(w.Name, versionOf(e.info))
		}
		if done, err := admit(e.marks.entry(w.Name), w, version, subject); done || err != nil {
			return err
		}
		s, err := e.save(setMember(e.data, w.Name, w.Value.Reveal()), func(version string) {
			e.marks.Secrets[w.Name] = entry{Owner: w.Mark.Owner, Path: w.Mark.Path, Version: version, Token: w.Token}
		})
		version = s
		return err
	})
	if err != nil {
		return "", writeFailure(subject, err)
	}
	return version, nil
}

// Delete takes one key out of the file. There is no recovery.
func (d *documentStore) Delete(ctx context.Context, name, owner string, _ sources.DeleteOptions) error {
	if name == "" {
		_, err := d.value(nil, "")
		return err
	}
	if owner == "" {
		return nobody(name)
	}
	subject := fmt.Sprintf("%q in %s", name, d.path)
	return writeFailure(subject, d.edit(ctx, func(e *edited) error {
		if _, there := e.values[name]; !there {
			return nil
		}
		if err := admitDelete(e.marks.entry(name), name, owner, subject); err != nil {
			return err
		}
		// The mark goes with the next write, should this process be killed
		// between the two files.
		_, err := e.save(deleteMember(e.data, name), func(string) {})
		if err != nil {
			return err
		}
		delete(e.marks.Secrets, name)
		return d.saveIndex(e.root, e.marks)
	}))
}

// edited is the file while it is being written.
type edited struct {
	*documentStore
	root   *os.Root
	info   fs.FileInfo
	as     envelope
	data   []byte // the plain text
	values map[string]gjson.Result
	marks  *index
}

// edit reads the file under the lock, and lets change write it.
func (d *documentStore) edit(ctx context.Context, change func(*edited) error) error {
	return d.locked(ctx, func(root *os.Root) error {
		e := &edited{documentStore: d, root: root}
		var err error
		if e.info, err = root.Stat(d.fileName()); err != nil {
			return err
		}
		if !e.info.Mode().IsRegular() {
			return notRegular(d.path, e.info)
		}
		raw, err := readRaw(root, d.fileName(), maxDocument)
		if err != nil {
			return err
		}
		e.as = envelopeOf(raw)
		if e.data, _, err = plaintext(bytes.NewReader(raw), d.path, maxDocument, d.keys.Identities); err != nil {
			return err
		}
		if e.values, err = d.parsed(e.data); err != nil {
			return err
		}
		if e.marks, err = d.marks(root); err != nil {
			return err
		}
		for name := range e.marks.Secrets {
			if _, there := e.values[name]; !there {
				delete(e.marks.Secrets, name)
			}
		}
		return change(e)
	})
}

// save puts the index and then the file in place. mark notes the version in the
// index.
func (e *edited) save(data []byte, mark func(version string)) (string, error) {
	if len(data) > maxDocument {
		return "", refused("", e.path+" would be larger than a file of secrets may be", "use a directory with one file a secret")
	}
	content, err := e.seal(data, e.as, e.path)
	if err != nil {
		return "", err
	}
	s, err := e.stage(e.root, ".", content, e.info)
	if err != nil {
		return "", err
	}
	before := versionOf(e.info)
	for name, one := range e.marks.Secrets {
		one.Version = e.marks.current(name, before)
		e.marks.Secrets[name] = one
	}
	e.marks.Document = s.version
	mark(s.version)
	if err := e.saveIndex(e.root, e.marks); err != nil {
		s.discard()
		return "", err
	}
	return s.version, e.commit(s, e.fileName())
}
