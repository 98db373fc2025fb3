package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bifrost-secrets/sources"
)

// maxPaths bounds how many paths are looked at for aliases: links to folders can
// make any number of a few files.
const maxPaths = 1 << 17

// Aliases implements [sources.Aliaser]: a name leads to a secret by a symbolic
// link, to its file or to a folder above it, or by a hard link.
func (d *directory) Aliases(ctx context.Context, names []string) (map[string][]string, error) {
	return d.aliases(ctx, names, maxPaths)
}

func (d *directory) aliases(ctx context.Context, names []string, most int) (map[string][]string, error) {
	root, err := d.root()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	w := aliasWalk{directory: d, ctx: ctx, root: root, most: most, files: map[key][]file{}}
	top, err := root.Stat(".")
	if err == nil {
		err = w.folder(".", []fs.FileInfo{top})
	}
	if err != nil {
		return nil, failure(d.path, err)
	}
	aliases := map[string][]string{}
	for _, name := range names {
		local, err := readableName(name)
		if err != nil {
			continue // nothing leads to what cannot be
		}
		f, err := look(root, local)
		if err != nil || f.info == nil {
			continue
		}
		for _, other := range w.files[keyOf(f.info)] {
			if other.name != name && os.SameFile(other.info, f.info) {
				aliases[name] = append(aliases[name], other.name)
			}
		}
	}
	return aliases, nil
}

// key is the same for the paths of one file, and hardly for others.
type key struct{ size, time int64 }

func keyOf(info fs.FileInfo) key { return key{info.Size(), info.ModTime().UnixNano()} }

type file struct {
	name string
	info fs.FileInfo
}

type aliasWalk struct {
	*directory
	ctx   context.Context
	root  *os.Root
	files map[key][]file
	paths int
	most  int
}

// folder goes through a folder, which links may have led to. above are the folders
// that it lies in, itself included: one of them again is a circle.
func (w *aliasWalk) folder(dir string, above []fs.FileInfo) error {
	if w.ctx.Err() != nil {
		return stopped(w.ctx, w.path)
	}
	entries, err := list(w.root, filepath.FromSlash(dir), -1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if w.paths++; w.paths > w.most {
			return sources.NewError(sources.Unusable, w.path+" has more paths than can be looked at", "take links to folders away that lead to one another")
		}
		at := path.Join(dir, entry.Name())
		if _, err := readableName(at); err != nil {
			continue // no name leads there
		}
		info, err := w.root.Stat(filepath.FromSlash(at))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP):
			continue // gone, or a link to nothing
		case err != nil && entry.Type()&fs.ModeSymlink != 0:
			continue // out of the directory, where nothing is read
		case err != nil:
			return err
		case info.IsDir():
			if slices.ContainsFunc(above, func(one fs.FileInfo) bool { return os.SameFile(one, info) }) {
				continue
			}
			if err := w.folder(at, append(above[:len(above):len(above)], info)); err != nil {
				return err
			}
		case info.Mode().IsRegular():
			name := strings.TrimSuffix(at, ".age")
			w.files[keyOf(info)] = append(w.files[keyOf(info)], file{name, info})
		}
	}
	return nil
}
