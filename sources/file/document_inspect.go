package file

import (
	"context"
	"strings"

	"bifrost-secrets/sources"
)

// Inspect reads the file once and looks for each name in it. Nothing in it is
// ours: see [Open].
func (d *document) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	if len(names) == 0 {
		return items
	}
	values, version, err := d.load(ctx)
	for _, name := range names {
		item := sources.Item{Name: name}
		_, there := values[name]
		switch {
		case name == "":
			_, item.Err = d.value(nil, "")
		case err != nil:
			item.Err = err
		case there:
			item.Exists, item.Version = true, version
		}
		items[name] = item
	}
	return items
}

// List returns the names in the file.
func (d *document) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	values, version, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]sources.Item{}
	for name := range values {
		if strings.HasPrefix(name, prefix) && name != "" {
			byName[name] = sources.Item{Name: name, Exists: true, Version: version}
		}
	}
	return sortedItems(byName), nil
}
