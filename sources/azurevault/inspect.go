package azurevault

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"golang.org/x/sync/errgroup"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
)

// listFrom is the number of names from which on the lists of secrets, 25 in a
// page, are cheaper than asking for each that may not exist.
const listFrom = 10

// look asks for the versions of a secret and, where it has none, whether it is
// deleted. A request for the current version alone would transfer its value.
func (a *act) look(i id) (*described, error) {
	d, err := a.versions(i)
	if err == nil && !d.exists {
		return a.deleted(i)
	}
	return d, err
}

func (a *act) versions(i id) (*described, error) {
	d := &described{versions: map[string]*version{}}
	pager := func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListSecretPropertiesVersionsResponse] {
		return c.NewListSecretPropertiesVersionsPager(i.secret, nil)
	}
	err := pages(a, "ListSecretPropertiesVersions", pager, func(page azsecrets.ListSecretPropertiesVersionsResponse) (*string, bool) {
		for _, p := range page.Value {
			if p == nil || !i.owns(p.ID) {
				return nil, false
			}
			v := &version{id: p.ID.Version(), tags: p.Tags, enabled: true}
			if p.Attributes != nil {
				v.enabled = p.Attributes.Enabled == nil || *p.Attributes.Enabled
				if p.Attributes.Created != nil {
					v.created = *p.Attributes.Created
				}
			}
			d.exists, d.versions[v.id] = true, v
			d.managed = d.managed || isTrue(p.Managed)
			d.keeps = d.keeps || protected(p.Attributes)
		}
		return page.NextLink, page.Value != nil
	})
	if err != nil {
		fault := a.as(looking).fault(i, err)
		if fault.Kind == sources.NotFound {
			return &described{}, nil
		}
		return nil, fault
	}
	if !d.exists {
		return d, nil
	}
	if err := a.settle(i, d); err != nil {
		return nil, err
	}
	d.findMark()
	return d, nil
}

// settle finds the current version, by its time, or, where two are of the same
// second, by asking.
func (a *act) settle(i id, d *described) error {
	newest := d.newest()
	if d.current = newest[0]; len(newest) == 1 {
		return nil
	}
	one := i
	one.version = ""
	out, err := a.get(one)
	if err == nil && out.ID != nil {
		if v := d.versions[out.ID.Version()]; v != nil {
			d.current = v
		}
		return nil
	}
	fault := a.as(looking).fault(i, err)
	if fault.Kind != sources.Disabled {
		return fault
	}
	for _, v := range newest {
		if !v.enabled {
			d.current = v
		}
	}
	return nil
}

// deleted asks whether a secret is deleted and can be recovered.
func (a *act) deleted(i id) (*described, error) {
	var out azsecrets.GetDeletedSecretResponse
	err := a.call("GetDeletedSecret", func(c *azsecrets.Client) (err error) {
		out, err = c.GetDeletedSecret(a.ctx, i.secret, nil)
		return err
	})
	if err != nil {
		fault := a.as(looking).fault(i, err)
		// Who may not see deleted ones is told by the write that fails.
		if fault.Kind == sources.NotFound || fault.Kind == sources.Denied {
			return &described{}, nil
		}
		return nil, fault
	}
	d := &described{exists: true, mark: markOf(out.Tags), managed: isTrue(out.Managed), keeps: protected(out.Attributes), gone: a.now()}
	if out.ScheduledPurgeDate != nil {
		d.gone = *out.ScheduledPurgeDate
	}
	return d, nil
}

// Inspect asks for the versions of each secret; where there are many names,
// only of those that the lists have.
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
	var there map[string]id
	if len(ids) >= listFrom {
		if listed, err := a.list(); err == nil { // else each is asked for
			there = listed
		}
	}
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, i := range ids {
		all.Go(func() error {
			d, err := &described{}, error(nil)
			if _, listed := there[strings.ToLower(i.secret)]; there == nil || listed {
				d, err = a.look(i)
			}
			item := sources.Item{Name: i.text, Err: err}
			if err == nil {
				item = d.item(i.text)
			}
			mu.Lock()
			defer mu.Unlock()
			items[i.text] = item
			return nil
		})
	}
	_ = all.Wait()
	return items
}

// pages asks for the pages of a list. The pager is that of the session which its
// first page came from. each reports whether a page is one of that list, and the
// link to the next: one that leads back would go round for ever.
func pages[T any](a *act, method string, pager func(*azsecrets.Client) *runtime.Pager[T], each func(T) (next *string, ok bool)) error {
	seen := map[string]bool{}
	var p *runtime.Pager[T]
	for first := true; first || p.More(); first = false {
		var page T
		err := a.call(method, func(c *azsecrets.Client) (err error) {
			if first {
				p = pager(c)
			}
			page, err = p.NextPage(a.ctx)
			return err
		})
		if err != nil {
			return err
		}
		next, ok := each(page)
		switch {
		case !ok:
			return netfault.Other(a.host, "")
		case next == nil:
		case seen[*next]:
			return netfault.Endless(a.host)
		default:
			seen[*next] = true
		}
	}
	return nil
}

// list gives the secrets of the vault, those that are deleted included where it
// may be seen, by their names in lower case.
func (a *act) list() (map[string]id, error) {
	all := map[string]id{}
	add := func(one *azsecrets.ID) {
		if one != nil {
			all[strings.ToLower(one.Name())] = id{text: Names.Name(one.Name()), secret: one.Name()}
		}
	}
	there := func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListSecretPropertiesResponse] {
		return c.NewListSecretPropertiesPager(nil)
	}
	err := pages(a, "ListSecretProperties", there, func(page azsecrets.ListSecretPropertiesResponse) (*string, bool) {
		for _, p := range page.Value {
			if p == nil {
				return nil, false
			}
			add(p.ID)
		}
		return page.NextLink, page.Value != nil
	})
	if err != nil {
		return nil, a.as(listing).fault(id{}, err)
	}
	gone := func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListDeletedSecretPropertiesResponse] {
		return c.NewListDeletedSecretPropertiesPager(nil)
	}
	err = pages(a, "ListDeletedSecretProperties", gone, func(page azsecrets.ListDeletedSecretPropertiesResponse) (*string, bool) {
		for _, p := range page.Value {
			if p == nil {
				return nil, false
			}
			add(p.ID)
		}
		return page.NextLink, page.Value != nil
	})
	if err != nil {
		if fault := a.as(listing).fault(id{}, err); fault.Kind != sources.Denied {
			return nil, fault
		}
	}
	return all, nil
}

// List asks for the lists of secrets, and for the versions of each whose name
// begins with prefix.
func (s *source) List(ctx context.Context, prefix string) ([]sources.Item, error) {
	a, fault := s.begin(ctx, listing)
	if fault != nil {
		return nil, fault
	}
	there, err := a.list()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var items []sources.Item
	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, i := range there {
		if !strings.HasPrefix(i.text, prefix) {
			continue
		}
		all.Go(func() error {
			d, err := a.look(i)
			if err != nil || !d.exists { // it has just gone
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			items = append(items, d.item(i.text))
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b sources.Item) int { return strings.Compare(a.Name, b.Name) })
	return items, nil
}
