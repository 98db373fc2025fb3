package file

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bifrost-secrets/sources"
	"bifrost-secrets/walker/regular"
)

// found is the file of a secret, or the lack of one.
type found struct {
	file string      // below the root; empty where there is none
	info fs.FileInfo // of the file itself, or of what a link leads to
	link bool
}

// look finds the file of a secret, as Fetch does.
func look(root *os.Root, local string) (found, error) {
	for _, file := range []string{local, local + ".age"} {
		info, err := root.Stat(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return found{}, err
		}
		f := found{file: file, info: info}
		if self, err := root.Lstat(file); err == nil {
			f.link = self.Mode()&fs.ModeSymlink != 0
		}
		return f, nil
	}
	return found{}, nil
}

func (f found) version() string {
	if f.info == nil {
		return ""
	}
	return versionOf(f.info)
}

// Inspect looks at the file of each name, and reads none but its mark.
func (d *directory) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	root, err := d.root()
	if err == nil {
		defer func() { _ = root.Close() }()
		err = d.checkMarks(root)
	}
	for _, name := range names {
		item := sources.Item{Name: name, Err: err}
		if err == nil {
			item = d.marked(ctx, root, d.inspect(ctx, root, name))
		}
		items[name] = item
	}
	return items
}

// marked adds the mark to what was seen of a file: see the order in which they
// are written.
func (d *directory) marked(ctx context.Context, root *os.Root, item sources.Item) sources.Item {
	for range maxPasses {
		if !item.Exists {
			break
		}
		e, err := d.markOf(root, item.Name, item.Version)
		if err != nil {
			return sources.Item{Name: item.Name, Err: err}
		}
		if item.Mark = e.mark(); e != nil {
			break
		}
		// Was the mark that of a file put in the place of this one meanwhile?
		again := d.inspect(ctx, root, item.Name)
		if again == item {
			break
		}
		item = again
	}
	return item
}

func (d *directory) inspect(ctx context.Context, root *os.Root, name string) sources.Item {
	item := sources.Item{Name: name}
	local, err := localName(name)
	subject := d.subject(name)
	if err == nil && ctx.Err() != nil {
		err = stopped(ctx, subject)
	}
	if err != nil {
		item.Err = err
		return item
	}
	f, err := look(root, local)
	switch {
	case err != nil:
		item.Err = failure(subject, err)
	case f.info != nil && !f.info.Mode().IsRegular():
		item.Err = notRegular(subject, regular.KindOfFile(f.info))
	case f.info != nil:
		item.Exists, item.Version = true, f.version()
	}
	return item
}

// List returns the secrets in the directory and the ones below it.
func (d *directory) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	byName := map[string]sources.Item{}
	from := path.Dir(prefix + "x") // no name outside of it begins so
	if !fs.ValidPath(from) {
		return nil, nil
	}
	err = d.walk(ctx, root, from, func(at string, entry fs.DirEntry) error {
		if at != "." && strings.HasPrefix(path.Base(at), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name := at
		info, err := root.Stat(filepath.FromSlash(at)) // of what a link leads to
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if bare, ok := strings.CutSuffix(at, ".age"); ok {
			if name = bare; byName[name].Exists {
				return nil // a file without the suffix stands before it
			}
		}
		if strings.HasPrefix(name, prefix) {
			byName[name] = sources.Item{Name: name, Exists: true, Version: versionOf(info)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := d.checkMarks(root); err != nil {
		return nil, err
	}
	for name, item := range byName {
		item = d.marked(ctx, root, item)
		if item.Err != nil {
			return nil, item.Err
		}
		if byName[name] = item; !item.Exists {
			delete(byName, name) // deleted meanwhile
		}
	}
	return sortedItems(byName), nil
}

// walk calls visit with what is below from, until ctx ends. What is taken away
// meanwhile is left out.
func (d *directory) walk(ctx context.Context, root *os.Root, from string, visit func(at string, entry fs.DirEntry) error) error {
	return fs.WalkDir(root.FS(), from, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return stopped(ctx, d.path)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return failure(filepath.Join(d.path, filepath.FromSlash(at)), err)
		}
		return visit(at, entry)
	})
}

// sortedItems returns items by their names.
func sortedItems(byName map[string]sources.Item) []sources.Item {
	items := slices.Collect(maps.Values(byName))
	slices.SortFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return items
}

// Identities implements [sources.Inspector]. A secret may lie in a file of its
// name or, encrypted, in one with .age behind it, and a reference may name either.
func (*directory) Identities(name string) []string {
	if short, ok := strings.CutSuffix(name, ".age"); ok && short != "" {
		return []string{name, short}
	}
	return []string{name}
}
