package azurevault

import (
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/perkey"
)

// listFrom is the number of names from which on the lists of secrets, 25 in a
// page, are cheaper than asking for each that may not exist.
const listFrom = 10

// version is what is known of one version beside its value.
type version struct {
	id      string
	tags    map[string]string
	created time.Time
	enabled bool
}

// described is what the vault tells of a secret beside its value.
type described struct {
	exists   bool // deleted ones do
	versions map[string]*version
	current  *version // of no version where it is deleted or was never made
	mark     *sources.Mark
	managed  bool      // the vault renews it: it is of a certificate
	gone     time.Time // when a deleted one is purged
	keeps    bool      // the vault does not let it be purged
}

func (d *described) item() sources.Item {
	return sources.Item{Exists: d.exists, Version: d.current.id, Mark: d.mark, Gone: d.gone, Rotated: d.managed}
}

// look asks for the versions of a secret and, where it has none, whether it is
// deleted. A request for the current version alone would transfer its value.
func (s *source) look(o *operation, n perkey.Name) (*described, *sources.Error) {
	d, fault := s.versions(o, n)
	if fault == nil && !d.exists {
		return s.deleted(o, n)
	}
	return d, fault
}

func (s *source) versions(o *operation, n perkey.Name) (*described, *sources.Error) {
	n.Version = ""
	d := &described{versions: map[string]*version{}, current: &version{}}
	fault := pages(s, o, looking, n, func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListSecretPropertiesVersionsResponse] {
		return c.NewListSecretPropertiesVersionsPager(n.ID, nil)
	}, func(page azsecrets.ListSecretPropertiesVersionsResponse) ([]*azsecrets.SecretProperties, *string) {
		return page.Value, page.NextLink
	}, func(p *azsecrets.SecretProperties) bool {
		if !owns(n, p.ID) {
			return false
		}
		v := &version{id: p.ID.Version(), tags: texts(p.Tags), enabled: true}
		if a := p.Attributes; a != nil {
			v.enabled = a.Enabled == nil || *a.Enabled
			if a.Created != nil {
				v.created = *a.Created
			}
		}
		d.exists, d.versions[v.id] = true, v
		d.managed = d.managed || isTrue(p.Managed)
		d.keeps = d.keeps || protected(p.Attributes)
		return true
	})
	switch {
	case fault != nil && fault.Kind == sources.NotFound:
		return &described{current: &version{}}, nil
	case fault != nil || !d.exists:
		return d, fault
	}
	fault = s.settle(o, n, d)
	d.findMark()
	return d, fault
}

// settle finds the current version, by its time, or, where two are of the same
// second, by asking.
func (s *source) settle(o *operation, n perkey.Name, d *described) *sources.Error {
	newest := d.newest()
	if d.current = newest[0]; len(newest) == 1 {
		return nil
	}
	asked := reading
	asked.Permission, asked.Done = looking.Permission, looking.Done
	got, fault := s.get(o, asked, n)
	if fault == nil && got.ID != nil {
		if v := d.versions[got.ID.Version()]; v != nil {
			d.current = v
		}
		return nil
	}
	if fault == nil || fault.Kind != sources.Disabled {
		return fault
	}
	for _, v := range newest {
		if !v.enabled {
			d.current = v
		}
	}
	return nil
}

// newest returns the versions that may be the current one: times have whole
// seconds, so there may be several.
func (d *described) newest() (all []*version) {
	for _, v := range d.versions {
		switch {
		case len(all) == 0 || v.created.After(all[0].created):
			all = []*version{v}
		case v.created.Equal(all[0].created):
			all = append(all, v)
		}
	}
	return all
}

// deleted asks whether a secret is deleted and can be recovered.
func (s *source) deleted(o *operation, n perkey.Name) (*described, *sources.Error) {
	got, fault := call(s, o, asking, n, func(c *azsecrets.Client) (azsecrets.GetDeletedSecretResponse, error) {
		return c.GetDeletedSecret(o.Ctx, n.ID, nil)
	})
	d := &described{current: &version{}}
	if fault != nil {
		// Who may not see deleted ones is told by the write that fails.
		if fault.Kind == sources.NotFound || fault.Kind == sources.Denied {
			fault = nil
		}
		return d, fault
	}
	d.exists, d.mark, d.managed, d.keeps, d.gone = true, marks.Mark(texts(got.Tags)), isTrue(got.Managed), protected(got.Attributes), s.now()
	if got.ScheduledPurgeDate != nil {
		d.gone = *got.ScheduledPurgeDate
	}
	return d, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

func protected(a *azsecrets.SecretAttributes) bool {
	return a != nil && a.RecoveryLevel != nil && !strings.Contains(*a.RecoveryLevel, "Purgeable")
}

// lookers asks for the versions of each secret; where there are many names, only
// of those that the lists have.
func (s *source) lookers(o *operation, names []perkey.Name) perkey.Looker {
	var there map[string]perkey.Name
	if len(names) >= listFrom {
		if listed, fault := s.all(o); fault == nil { // else each is asked for
			there = listed
		}
	}
	return func(n perkey.Name) (sources.Item, *sources.Error) {
		if _, listed := there[strings.ToLower(n.ID)]; there != nil && !listed {
			return sources.Item{}, nil
		}
		d, fault := s.look(o, n)
		return d.item(), fault
	}
}

// all returns the secrets of the vault, those that are deleted included where it
// may be seen, by their names in lower case.
func (s *source) all(o *operation) (map[string]perkey.Name, *sources.Error) {
	all := map[string]perkey.Name{}
	add := func(one *azsecrets.ID) bool {
		if one != nil {
			all[strings.ToLower(one.Name())] = perkey.Name{Text: Names.Name(one.Name()), ID: one.Name()}
		}
		return true
	}
	fault := pages(s, o, listing, perkey.Name{}, func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListSecretPropertiesResponse] {
		return c.NewListSecretPropertiesPager(nil)
	}, func(page azsecrets.ListSecretPropertiesResponse) ([]*azsecrets.SecretProperties, *string) {
		return page.Value, page.NextLink
	}, func(p *azsecrets.SecretProperties) bool { return add(p.ID) })
	if fault != nil {
		return nil, fault
	}
	fault = pages(s, o, listingDeleted, perkey.Name{}, func(c *azsecrets.Client) *runtime.Pager[azsecrets.ListDeletedSecretPropertiesResponse] {
		return c.NewListDeletedSecretPropertiesPager(nil)
	}, func(page azsecrets.ListDeletedSecretPropertiesResponse) ([]*azsecrets.DeletedSecretProperties, *string) {
		return page.Value, page.NextLink
	}, func(p *azsecrets.DeletedSecretProperties) bool { return add(p.ID) })
	if fault != nil && fault.Kind != sources.Denied {
		return nil, fault
	}
	return all, nil
}

// list asks for the lists of secrets, and for the versions of each whose name
// begins with prefix.
func (s *source) list(o *operation, prefix string) (names []perkey.Name, look perkey.Looker, fault *sources.Error) {
	all, fault := s.all(o)
	for _, n := range all {
		if strings.HasPrefix(n.Text, prefix) {
			names = append(names, n)
		}
	}
	return names, s.lookers(o, nil), fault
}

// findMark takes the mark of the current version, or, where it has no word of a
// tool, of the newest before it that has one.
func (d *described) findMark() {
	all := make([]*version, 0, len(d.versions))
	for _, v := range d.versions {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *version) int {
		if a == d.current || b == d.current {
			return map[bool]int{true: -1, false: 1}[a == d.current]
		}
		return b.created.Compare(a.created)
	})
	for _, v := range all {
		if v.tags[sources.ToolKey] != "" {
			d.mark = marks.Mark(v.tags)
			return
		}
	}
}
