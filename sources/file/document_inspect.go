package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidwall/gjson"

	"bifrost-secrets/sources"
)

// beside gives what keeps the marks of the file: they stand where the file
// itself does, which a link may lead to, now here and now there.
func (d *document) beside() (*keeper, error) {
	real, err := filepath.EvalSymlinks(d.path)
	if err != nil {
		return nil, failure(d.path, err)
	}
	dir, name := filepath.Split(real)
	return newKeeper(filepath.Clean(dir+"."), "."+name), nil
}

// current gives the version of one secret. The file has one time for all of its
// secrets; the index knows which of them our last writes did not touch.
func (x *index) current(name, document string) string {
	if e, ok := x.Secrets[name]; ok && x.Document == document && e.Version != "" {
		return e.Version
	}
	return document
}

// Inspect reads the file once and looks for each name in it.
func (d *document) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	if len(names) == 0 {
		return items
	}
	values, version, x, err := d.loadMarked(ctx)
	for _, name := range names {
		item := sources.Item{Name: name}
		_, there := values[name]
		switch {
		case name == "":
			_, item.Err = d.value(nil, "")
		case err != nil:
			item.Err = err
		case there:
			item.Exists, item.Version, item.Mark = true, x.current(name, version), x.entry(name).mark()
		}
		items[name] = item
	}
	return items
}

// List gives the names in the file.
func (d *document) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	values, version, x, err := d.loadMarked(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]sources.Item{}
	for name := range values {
		if strings.HasPrefix(name, prefix) && name != "" {
			byName[name] = sources.Item{Name: name, Exists: true, Version: x.current(name, version), Mark: x.entry(name).mark()}
		}
	}
	return sortedItems(byName), nil
}

// loadMarked reads the file and then the index: see the order in which they are
// written.
func (d *document) loadMarked(ctx context.Context) (map[string]gjson.Result, string, *index, error) {
	values, version, err := d.load(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	k, err := d.beside()
	if err != nil {
		return nil, "", nil, err
	}
	root, err := os.OpenRoot(k.dir)
	if err != nil {
		return nil, "", nil, failure(k.dir, err)
	}
	defer func() { _ = root.Close() }()
	x, err := k.marks(root)
	return values, version, x, err
}
