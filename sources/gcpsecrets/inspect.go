package gcpsecrets

import (
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"bifrost-secrets/sources"
	"bifrost-secrets/sources/netfault"
	"bifrost-secrets/sources/perkey"
)

const (
	pageSize = 500
	// listFrom is the number of names from which on the list of secrets is
	// cheaper than asking for each.
	listFrom = 10
)

// described is what GCP tells of a secret beside its value.
type described struct {
	secret
	exists  bool
	mark    *sources.Mark // nil where it is not ours
	claim   claim
	rotated bool
	version string // the number of the newest version in whatever state; empty where there is none
}

func describe(s *secret) *described {
	return &described{
		secret: *s, exists: true, mark: markOf(s), claim: parseClaim(s.Annotations[writeAnnotation]),
		// GCP itself only tells a topic that it is time, but whoever listens
		// will write a version of its own.
		rotated: s.Rotation != nil && (s.Rotation.NextRotationTime != "" || s.Rotation.RotationPeriod != ""),
	}
}

func (d *described) item() sources.Item {
	return sources.Item{Exists: d.exists, Version: d.version, Mark: d.mark, Rotated: d.rotated}
}

// number is the version as a number; 0 where there is none.
func (d *described) number() int {
	n, _ := strconv.Atoi(d.version)
	return n
}

// get looks at one secret, without its version. One that does not exist is no
// error.
func (s *source) get(o *operation, n perkey.Name) (*described, *sources.Error) {
	var got secret
	fault := s.call(o, looking, n, http.MethodGet, resource(n), nil, nil, &got)
	switch {
	case fault != nil && fault.Kind == sources.NotFound:
		return &described{}, nil
	case fault != nil:
		return nil, fault
	case path.Base(got.Name) != n.ID:
		return nil, netfault.Other(host, n.Text)
	}
	return describe(&got), nil
}

// newest asks for the number of the newest version.
func (s *source) newest(o *operation, n perkey.Name, d *described) *sources.Error {
	n.Version = ""
	var got version
	fault := s.call(o, numbering, n, http.MethodGet, versioned(n), nil, nil, &got)
	switch {
	case fault != nil && fault.Kind == sources.NotFound:
		return nil // none yet
	case fault != nil:
		return fault
	}
	if d.version = numberOf(n, got); d.version == "" {
		return netfault.Other(host, n.Text)
	}
	return nil
}

// numberOf returns the number of a version of a secret, and "" for what is no
// version of it.
func numberOf(n perkey.Name, v version) string {
	number := path.Base(v.Name)
	if i, err := strconv.Atoi(number); err != nil || i <= 0 || !owns(n, v.Name) {
		return ""
	}
	return number
}

// look asks for all of it.
func (s *source) look(o *operation, n perkey.Name) (*described, *sources.Error) {
	d, fault := s.get(o, n)
	if fault == nil && d.exists {
		fault = s.newest(o, n, d)
	}
	return d, fault
}

// lookers asks for each secret and for its newest version; where there are many
// names, for the list of secrets in place of the former.
func (s *source) lookers(o *operation, names []perkey.Name) perkey.Looker {
	var listed map[string]*described
	if len(names) >= listFrom {
		listed, _ = s.all(o) // who may not list may still look at each
	}
	return func(n perkey.Name) (sources.Item, *sources.Error) {
		if listed != nil && n.Project == s.project {
			return s.listed(o, n, listed)
		}
		d, fault := s.look(o, n)
		if fault != nil {
			return sources.Item{}, fault
		}
		return d.item(), nil
	}
}

// listed looks at what the list told of a secret, and asks for its version.
func (s *source) listed(o *operation, n perkey.Name, listed map[string]*described) (sources.Item, *sources.Error) {
	if listed[n.ID] == nil {
		return sources.Item{}, nil
	}
	d := *listed[n.ID] // which may have more than one name
	fault := s.newest(o, n, &d)
	return d.item(), fault
}

// all returns every secret of the project by its id.
func (s *source) all(o *operation) (map[string]*described, *sources.Error) {
	all := map[string]*described{}
	seen := map[string]bool{}
	for token := ""; !seen[token]; {
		seen[token] = true
		secrets, next, fault := s.page(o, strconv.Itoa(pageSize), token)
		if fault != nil {
			return nil, fault
		}
		if slices.Contains(secrets, nil) {
			return nil, netfault.Other(host, "")
		}
		for _, one := range secrets {
			all[path.Base(one.Name)] = describe(one)
		}
		if token = next; token == "" {
			return all, nil
		}
	}
	return nil, netfault.Endless(host)
}

// list asks for the list of secrets of the project, and for the newest version of
// each whose name begins with prefix.
func (s *source) list(o *operation, prefix string) ([]perkey.Name, perkey.Looker, *sources.Error) {
	all, fault := s.all(o)
	var names []perkey.Name
	for id := range all {
		if name := Names.Name(id); strings.HasPrefix(name, prefix) {
			names = append(names, perkey.Name{Text: name, Project: s.project, ID: id})
		}
	}
	return names, func(n perkey.Name) (sources.Item, *sources.Error) { return s.listed(o, n, all) }, fault
}
