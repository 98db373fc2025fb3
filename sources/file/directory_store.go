package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
)

// directoryStore is one file a secret, to be written.
type directoryStore struct{ *directory }

// MaxValue is that of any source.
func (*directoryStore) MaxValue() int { return sources.MaxValue }

// Put writes the file of a secret. A new one has mode 0600 and is encrypted where
// an identity or recipients are set; one that is there keeps its mode, its owner
// and its encryption.
func (d *directoryStore) Put(ctx context.Context, w sources.Write) (string, error) {
	local, err := localName(w.Name)
	if err != nil {
		return "", err
	}
	if err := refuseAlways(w); err != nil {
		return "", err
	}
	subject := fmt.Sprintf("%q in %s", w.Name, d.path)
	if strings.HasSuffix(w.Name, ".age") {
		return "", refused(w.Name, subject+" would be taken for the encrypted file of another secret", "take a name that does not end in .age")
	}
	version := ""
	err = d.locked(ctx, func(root *os.Root) error {
		if err := d.tidyMarks(ctx, root); err != nil {
			return err
		}
		f, err := d.writable(root, local, w.Name, subject)
		if err != nil {
			return err
		}
		var e *entry
		if version = f.version(); version != "" {
			if e, err = d.markOf(root, w.Name, version); err != nil {
				return err
			}
		}
		done, err := admit(e, w, version, subject)
		if err != nil {
			return err
		}
		if e != nil && e.pending {
			if err := d.settle(root, w.Name); err != nil {
				return err
			}
		}
		if !done {
			version, err = d.replace(root, f, local, w, subject)
		}
		return err
	})
	return version, writeFailure(subject, err)
}

// writable finds the file of a secret and what keeps it from being replaced.
func (d *directoryStore) writable(root *os.Root, local, name, subject string) (found, error) {
	for dir := filepath.Dir(local); dir != "."; dir = filepath.Dir(dir) {
		info, err := root.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return found{}, refused(name, fmt.Sprintf("%s cannot be there: %q is a secret itself, and not a folder", subject, filepath.ToSlash(dir)), "take another name or prefix")
		case errors.Is(err, syscall.ENOTDIR):
			continue
		}
		if _, err := root.Lstat(filepath.Join(dir, "..data")); err == nil {
			return found{}, kubernetes(filepath.Join(d.path, dir))
		}
	}
	f, err := look(root, local)
	switch {
	case err != nil:
		return found{}, writeFailure(subject, err)
	case f.info == nil:
		return f, nil
	case f.link:
		return found{}, refused(name, subject+" is a symbolic link", "write to what it leads to, or take the link away")
	case f.info.IsDir():
		return found{}, refused(name, subject+" is a folder of other secrets", "take another name or prefix")
	case !f.info.Mode().IsRegular():
		return found{}, notRegular(subject, f.info)
	}
	return f, nil
}

// replace puts the mark and then the file in place.
func (d *directoryStore) replace(root *os.Root, f found, local string, w sources.Write, subject string) (string, error) {
	as, to := envelope{encrypted: d.seals()}, local
	if f.info == nil {
		if as.encrypted {
			to += ".age"
		}
		d.step()
		if err := makeFolders(root, filepath.Dir(local)); err != nil {
			return "", err
		}
	} else {
		raw, err := readRaw(root, f.file, sources.MaxValue)
		if err != nil {
			return "", err
		}
		as, to = envelopeOf(raw), f.file
	}
	value := w.Value.Reveal()
	if as.encrypted {
		var err error
		if value, err = sealed.Pack(sealed.Label{Name: w.Name}, value); err != nil {
			return "", refused(w.Name, subject+" cannot be sealed: its name is not UTF-8 text", "take another name")
		}
	}
	content, err := d.seal(value, as, subject)
	if err != nil {
		return "", err
	}
	s, err := d.stage(root, filepath.Dir(local), content, f.info)
	if err != nil {
		return "", err
	}
	e := entry{Owner: w.Mark.Owner, Path: w.Mark.Path, Version: s.version, Token: w.Token, pending: f.info == nil}
	if err := d.saveMark(root, w.Name, e); err != nil {
		s.discard()
		return "", err
	}
	if err := d.commit(s, to); err != nil || !e.pending {
		return s.version, err
	}
	return s.version, d.settle(root, w.Name)
}

// makeFolders makes dir and those above it, and lasting.
func makeFolders(root *os.Root, dir string) error {
	if _, err := root.Stat(dir); err == nil {
		return nil
	}
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for ; dir != "."; dir = filepath.Dir(dir) {
		if err := syncDir(root, filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// readRaw reads a file as it is on the disk; limit is that of its plain text.
func readRaw(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, 2*limit+headerRoom))
}

// Delete removes the file of a secret. There is no recovery.
func (d *directoryStore) Delete(ctx context.Context, name, owner string, _ sources.DeleteOptions) error {
	local, err := localName(name)
	if err != nil {
		return err
	}
	if owner == "" {
		return nobody(name)
	}
	subject := fmt.Sprintf("%q in %s", name, d.path)
	err = d.locked(ctx, func(root *os.Root) error {
		if err := d.tidyMarks(ctx, root); err != nil {
			return err
		}
		f, err := look(root, local)
		switch {
		case err != nil:
			return err
		case f.info == nil:
			return errors.Join(d.forget(root, name, settled), d.forget(root, name, pending))
		case f.info.IsDir():
			return nil
		}
		e, err := d.markOf(root, name, f.version())
		if err != nil {
			return err
		}
		if err := admitDelete(e, name, owner, subject); err != nil {
			return err
		}
		if err := d.unsettle(root, name, *e, f.version()); err != nil {
			return err
		}
		d.step()
		if err := root.Remove(f.file); err != nil {
			return err
		}
		d.step()
		if err := syncDir(root, filepath.Dir(f.file)); err != nil {
			return err
		}
		return d.forget(root, name, pending)
	})
	return writeFailure(subject, err)
}

func refused(name, message, hint string) error {
	return &sources.Error{Kind: sources.Refused, Name: name, Message: message, Hint: hint}
}
