package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/sealed"
	"bifrost-secrets/walker/regular"
)

// directoryStore is one file a secret, to be written.
type directoryStore struct{ *directory }

// Traits implements [sources.Store].
func (*directoryStore) Traits() sources.Traits { return sources.File.Traits }

// Put writes the file of a secret. A new one has mode 0600 and is encrypted where
// an identity or recipients are set; one that is there keeps its mode, its owner
// and its encryption.
func (d *directoryStore) Put(ctx context.Context, w sources.Write) (string, error) {
	local, err := localName(w.Name)
	if err != nil {
		return "", err
	}
	if bad := d.Traits().Limits.Check(w); bad != nil {
		return "", bad
	}
	subject := d.subject(w.Name)
	if saysEncrypted(w.Name) {
		return "", refused(w.Name, subject+" would be taken for the encrypted file of another secret", "take a name that does not end in .age")
	}
	if envelopeOf(w.Value.Reveal()).encrypted {
		return "", refused(w.Name, subject+" would hold what age has encrypted already", "store what it decrypts to; with "+block+".identity it is encrypted in its file")
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
		is := d.standing(w.Name, e, version)
		is.Made = func() (bool, error) { return e.Version == version && e.Token == w.Token && w.Token != "", nil }
		done, err := is.AdmitPut(w)
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
		d.tidied = err == nil // else the next write looks what was left
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
		return found{}, notRegular(subject, regular.KindOfFile(f.info))
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
	} else {
		raw, err := readRaw(root, f.file, sources.MaxValue)
		if err != nil {
			return "", err
		}
		as, to = envelopeOf(raw), f.file
		as.encrypted = as.encrypted || saysEncrypted(to) // whatever somebody has put there
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
	made, err := d.makeFolders(root, filepath.Dir(local))
	if err != nil {
		return "", err
	}
	s, err := d.stage(root, filepath.Dir(local), content, f.info)
	if err != nil {
		d.unmake(root, made)
		return "", err
	}
	e := entry{Owner: w.Mark.Owner, Path: w.Mark.Path, Version: s.version, Token: w.Token, pending: f.info == nil}
	if !e.pending {
		placed, err := s.commit(to)
		if placed {
			err = errors.Join(err, d.saveMark(root, w.Name, e))
		}
		return s.version, err
	}
	placed := false
	if err = d.saveMark(root, w.Name, e); err != nil {
		s.discard()
	} else {
		placed, err = s.commit(to)
	}
	if !placed {
		_ = d.forget(root, w.Name, pending) // else it counts for nothing, and the next writer removes it
		d.unmake(root, made)
		return "", err
	}
	return s.version, errors.Join(err, d.settle(root, w.Name))
}

// makeFolders makes dir and those above it, and lasting. It returns those that
// were not there, the innermost last; on an error there are none.
func (d *directory) makeFolders(root *os.Root, dir string) (made []string, err error) {
	for at := dir; at != "."; at = filepath.Dir(at) {
		if _, err := root.Stat(at); err == nil {
			break
		}
		made = append(made, at)
	}
	slices.Reverse(made)
	for _, at := range made {
		if err = d.do("mkdir", func() error { return root.Mkdir(at, 0o700) }); errors.Is(err, fs.ErrExist) {
			err = nil // a link to nothing is found by whoever writes into it
		}
		if err == nil {
			err = d.syncDir(root, filepath.Dir(at))
		}
		if err != nil {
			d.unmake(root, made)
			return nil, err
		}
	}
	return made, nil
}

// unmake removes the folders that makeFolders has made, unless somebody has put
// something into them.
func (d *directory) unmake(root *os.Root, made []string) {
	for _, at := range slices.Backward(made) {
		_ = d.do("rmdir", func() error { return root.Remove(at) })
	}
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
func (d *directoryStore) Delete(ctx context.Context, name, owner string, o sources.DeleteOptions) error {
	local, err := localName(name)
	if err != nil {
		return err
	}
	if err := sources.CheckDelete(name, owner); err != nil {
		return err
	}
	subject := d.subject(name)
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
		if _, err := d.standing(name, e, f.version()).AdmitDelete(owner, o.Expect); err != nil {
			return err
		}
		if err := d.unsettle(root, name, *e, f.version()); err != nil {
			_ = d.settle(root, name) // which may be done, but may not last
			return err
		}
		if err := d.do("remove", func() error { return root.Remove(f.file) }); err != nil {
			return errors.Join(err, d.settle(root, name)) // it is there, and ours as before
		}
		if err := d.syncDir(root, filepath.Dir(f.file)); err != nil {
			return err
		}
		return d.forget(root, name, pending)
	})
	return writeFailure(subject, err)
}

func (d *directory) subject(name string) string { return fmt.Sprintf("%q in %s", name, d.path) }

// standing returns what the rule of changes is told of a secret with that mark, in
// that version; both are empty where nothing is there.
func (d *directory) standing(name string, e *entry, version string) sources.Standing {
	return sources.Standing{
		Subject: sources.Subject{Name: name, Text: d.subject(name)}, Exists: version != "", Version: version, Mark: e.mark(),
	}
}

func refused(name, message, hint string) error {
	return sources.NewError(sources.Refused, message, hint).Of(name)
}
