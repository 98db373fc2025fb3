package hashivault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
)

// Inspect reads the metadata of each name, a bounded number at a time. Version 1
// of the engine has none: there it lists the folder of each name.
func (s *source) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	o := s.begin(ctx, looking)
	return forEach(names, func(name string) sources.Item {
		item, fault := o.inspect(name)
		if fault != nil {
			return sources.Item{Name: name, Err: fault}
		}
		return item
	})
}

func (o *operation) inspect(name string) (sources.Item, *sources.Error) {
	if bad := checkName(name); bad != nil {
		return sources.Item{}, bad
	}
	_, _, mount, fault := o.signIn()
	if fault != nil {
		own := *fault
		own.Name = name
		return sources.Item{}, &own
	}
	if mount.version == 1 {
		return o.inspectFolder(name)
	}
	d, fault := o.describe(name)
	if fault != nil {
		return sources.Item{}, fault
	}
	return d.item(name), nil
}

func (o *operation) inspectFolder(name string) (sources.Item, *sources.Error) {
	folder, last := split(name)
	entries, fault := o.list(folder)
	if fault != nil {
		fault.Name = name
		return sources.Item{}, fault
	}
	return sources.Item{Name: name, Exists: slices.Contains(entries, last)}, nil
}

// split cuts a name, or the beginning of one, behind its last slash.
func split(name string) (folder, last string) {
	i := strings.LastIndexByte(name, '/') + 1
	return name[:i], name[i:]
}

// List walks the folders below prefix, a bounded number at a time, and reads the
// metadata of every secret there. An entry without any version is no secret.
func (s *source) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	o := s.begin(ctx, listing)
	folder, _ := split(prefix)
	if folder != "" && sources.CheckPath(strings.TrimSuffix(folder, "/")) != "" {
		return nil, &sources.Error{
			Kind: sources.BadName, Name: prefix, Hint: nameHint,
			Message: fmt.Sprintf("no name of a secret in vault begins with %q", shorten(prefix)),
		}
	}
	names, fault := o.walk(folder, prefix)
	if fault != nil {
		return nil, fault
	}
	items := make([]sources.Item, len(names))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, name := range names {
		group.Go(func() error {
			items[i] = sources.Item{Name: name, Exists: true}
			if o.version() == 1 {
				return nil
			}
			d, fault := o.describe(name)
			if fault == nil {
				items[i] = d.item(name)
			}
			return asError(fault)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(item sources.Item) bool { return !item.Exists })
	slices.SortFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return items, nil
}

// walk gives the names below a folder that begin with prefix, level by level.
func (o *operation) walk(folder, prefix string) (names []string, fault *sources.Error) {
	for level := []string{folder}; len(level) > 0; {
		entries := make([][]string, len(level))
		var group errgroup.Group
		group.SetLimit(atOnce)
		for i, folder := range level {
			group.Go(func() error {
				var fault *sources.Error
				entries[i], fault = o.list(folder)
				return asError(fault)
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err.(*sources.Error)
		}
		var below []string
		for i, folder := range level {
			for _, entry := range entries[i] {
				name := folder + entry
				switch {
				case !strings.HasPrefix(name, prefix):
				case !strings.HasSuffix(name, "/"):
					names = append(names, name)
				case sources.CheckPath(strings.TrimSuffix(name, "/")) == "":
					below = append(below, name)
				}
			}
		}
		level = below
	}
	return names, nil
}

// list gives the entries of one folder, those of folders with a slash at the end.
func (o *operation) list(folder string) (entries []string, fault *sources.Error) {
	var got *api.Secret
	fault = o.doing(listing).call("metadata", strings.TrimSuffix(folder, "/"), func(ctx context.Context, c *api.Client, path string) (err error) {
		got, err = c.Logical().ListWithContext(ctx, path)
		return err
	})
	if fault != nil || got == nil {
		return nil, fault
	}
	all, ok := got.Data["keys"].([]any)
	for _, one := range all {
		entry, text := one.(string)
		ok = ok && text
		entries = append(entries, entry)
	}
	if !ok {
		return nil, o.unreachable("an answer without a list", nil)
	}
	slices.Sort(entries)
	return slices.Compact(entries), nil
}
