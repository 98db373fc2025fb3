package gcpsecrets

import (
	"context"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/api/secretmanager/v1"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

const (
	pageSize = 500
	// listFrom is the number of names from which on the list of secrets is
	// cheaper than asking for each.
	listFrom = 10
)

// Inspect asks for each secret and for its newest version; where there are many
// names, for the list of secrets in place of the former.
func (s *source) Inspect(ctx context.Context, names []string) map[string]sources.Item {
	items := make(map[string]sources.Item, len(names))
	var ids []id
	for _, name := range names {
		i, bad := s.parse(name)
		if bad != nil {
			items[name] = sources.Item{Name: name, Err: bad}
			continue
		}
		ids = append(ids, i)
	}
	if len(ids) == 0 {
		return items
	}
	a, fault := s.begin(ctx, looking)
	if fault != nil {
		for _, i := range ids {
			items[i.text] = sources.Item{Name: i.text, Err: named(fault, i.text)}
		}
		return items
	}
	var listed map[string]*described
	if len(ids) >= listFrom {
		// Who may not list may still look at each.
		listed, _ = a.list()
	}
	found := make([]sources.Item, len(ids))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for n, i := range ids {
		all.Go(func() error {
			d, err := a.inspect(i, listed)
			if found[n] = (sources.Item{Name: i.text, Err: err}); err == nil {
				found[n] = d.item(i.text)
			}
			return nil
		})
	}
	_ = all.Wait()
	for _, item := range found {
		items[item.Name] = item
	}
	return items
}

func (a *act) inspect(i id, listed map[string]*described) (*described, error) {
	if listed == nil || i.project != a.project {
		return a.look(i)
	}
	d := listed[i.secret]
	if d == nil {
		return &described{}, nil
	}
	if err := a.newest(i, d); err != nil {
		return nil, err
	}
	return d, nil
}

// list gives every secret of the project by its id.
func (a *act) list() (map[string]*described, error) {
	all := map[string]*described{}
	seen := map[string]bool{}
	token := ""
	for {
		var out *secretmanager.ListSecretsResponse
		err := a.call("ListSecrets", true, func(ctx context.Context, secrets *secretmanager.ProjectsSecretsService) (err error) {
			out, err = secrets.List("projects/" + a.project).PageSize(pageSize).PageToken(token).Context(ctx).Do()
			return err
		})
		if err != nil {
			return nil, a.as(listing).fault(id{}, err)
		}
		if out == nil || slices.Contains(out.Secrets, nil) {
			return nil, netfault.Other(host, "")
		}
		for _, one := range out.Secrets {
			all[path.Base(one.Name)] = describe(one)
		}
		if token = out.NextPageToken; token == "" {
			return all, nil
		}
		if seen[token] {
			return nil, netfault.Endless(host)
		}
		seen[token] = true
	}
}

// List asks for the list of secrets of the project, and for the newest version
// of each whose name begins with prefix.
func (s *source) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	a, fault := s.begin(ctx, listing)
	if fault != nil {
		return nil, fault
	}
	all, err := a.list()
	if err != nil {
		return nil, err
	}
	var items []sources.Item
	var ids []id
	for secret := range all {
		if name := Names.Name(secret); strings.HasPrefix(name, prefix) {
			ids = append(ids, id{text: name, project: s.project, secret: secret})
		}
	}
	slices.SortFunc(ids, func(a, b id) int { return strings.Compare(a.text, b.text) })
	var versions errgroup.Group
	versions.SetLimit(atOnce)
	for _, i := range ids {
		versions.Go(func() error { return a.newest(i, all[i.secret]) })
	}
	if err := versions.Wait(); err != nil {
		return nil, err
	}
	for _, i := range ids {
		items = append(items, all[i.secret].item(i.text))
	}
	return items, nil
}
